"""Cases about tokens in which somebody is to be told.

Each is a story of one audience in one process: how many attempts in a row failed, when its token
was granted and when it ends (Unix time; a case begins at 0).
"""

from __future__ import annotations

from monitoring.alert_case import KUBERNETES, MACHINE, Case, Fired, Labels, series

RENEWAL_FAILING = "TokenProxyTokenRenewalFailing"
EXPIRES_SOON = "TokenProxyTokenExpiresSoon"
MISSING = "TokenProxyTokenMissing"

REFUSED = (
    "grant_refused: the authorization server refuses us: compare client_id, secret or key, scope "
    "and audience with what is registered there."
)
UNAVAILABLE = (
    "authorization_server_unavailable: the authorization server cannot be reached or fails: see "
    "whether it is up, and the network, the name and the certificate on the way to it."
)
MISSPOKE = (
    "authorization_server_misspoke: what answers is no token endpoint, or not a sound one: check "
    "token_endpoint (or issuer, discovery)."
)
UNREADABLE = (
    "credential_unreadable: a file of our own credential cannot be read: check that it is mounted, "
    "whole, and readable for this user."
)
POD = "pod web-0 in namespace shop"
HOST = MACHINE["instance"]


def why(result: str, advice: str) -> str:
    return (
        f"The last attempts ended as {result}. What to do: {advice} "
        "The log has the rest, in the event token_fetch_failed."
    )


def renewal_failing(process: Labels, place: str, story: str, result: str, advice: str) -> Fired:
    """`story` is: `N attempts in a row failed. …` up to how long the token lasts."""
    felt = (
        "Callers that need it get 502 or 503."
        if story.endswith(" ago.")
        else "Callers notice nothing until it ends, and get 502 or 503 from then on."
    )
    return Fired(
        RENEWAL_FAILING,
        "warning",
        process | {"audience": "orders"},
        f"The token of audience orders at {place} cannot be renewed: {story} {felt} "
        f"{why(result, advice)}",
    )


def expires_soon(
    process: Labels, place: str, begin: str, story: str, result: str, advice: str
) -> Fired:
    return Fired(
        EXPIRES_SOON,
        "critical",
        process | {"audience": "orders"},
        f"{begin} audience orders at {place} get 502 or 503: its token cannot be renewed. {story} "
        f"{why(result, advice)}",
    )


def missing(process: Labels, place: str, story: str, result: str, advice: str) -> Fired:
    return Fired(
        MISSING,
        "critical",
        process | {"audience": "orders"},
        f"There is no token for audience orders at {place}; callers that need it get 502 or 503. "
        f"{story} {why(result, advice)}",
    )


def audience(
    process: Labels,
    *,
    failures: str,
    expiry: str | None = None,
    granted: str | None = None,
    failed: str = "0x200",
    result: str = "unavailable",
    refused: str = "0x200",
    name: str = "orders",
) -> dict[str, str]:
    """Return the series of one audience; `failed` are its failed fetches, by renewal."""
    its = process | {"audience": name}
    shown = {
        series("tokenproxy_token_consecutive_failures", its): failures,
        series("tokenproxy_token_fetches_total", its, reason="renewal", result=result): failed,
        series("tokenproxy_token_fetches_total", its, reason="renewal", result="success"): "1x200",
        series("tokenproxy_token_lookups_total", its, result="refused"): refused,
        series("tokenproxy_token_lookups_total", its, result="hit"): "0+60x200",
    }
    if expiry is not None:
        shown[series("tokenproxy_token_expiry_timestamp_seconds", its)] = expiry
    if granted is not None:
        shown[series("tokenproxy_token_last_success_timestamp_seconds", its)] = granted
    return shown


GRANTED_AT_0 = "The last token was granted at 1970-01-01 00:00:00 +0000 UTC."

CASES = [
    Case(
        "an outage that outlasts the token: a warning, a page five minutes before, one when it is "
        "over; silence once there is another",
        audience(
            KUBERNETES,
            failures="0x44 1+1x24 0x30",
            failed="0x44 1+1x24 25x30",
            expiry="3600x69 7800x30",
            granted="0x69 4200x30",
        ),
        {
            "50m": [],
            "52m": [
                renewal_failing(
                    KUBERNETES,
                    POD,
                    f"8 attempts in a row failed. {GRANTED_AT_0} The token still lasts 8m 0s.",
                    "unavailable",
                    UNAVAILABLE,
                )
            ],
            "56m": [
                renewal_failing(
                    KUBERNETES,
                    POD,
                    f"12 attempts in a row failed. {GRANTED_AT_0} The token still lasts 4m 0s.",
                    "unavailable",
                    UNAVAILABLE,
                ),
                expires_soon(
                    KUBERNETES,
                    POD,
                    "In 4m 0s callers that need",
                    f"{GRANTED_AT_0} The token still lasts 4m 0s.",
                    "unavailable",
                    UNAVAILABLE,
                ),
            ],
            "62m": [
                renewal_failing(
                    KUBERNETES,
                    POD,
                    f"18 attempts in a row failed. {GRANTED_AT_0} The token ended 2m 0s ago.",
                    "unavailable",
                    UNAVAILABLE,
                ),
                expires_soon(
                    KUBERNETES,
                    POD,
                    "Callers that need",
                    f"{GRANTED_AT_0} The token ended 2m 0s ago.",
                    "unavailable",
                    UNAVAILABLE,
                ),
                missing(
                    KUBERNETES,
                    POD,
                    f"18 attempts in a row failed. {GRANTED_AT_0} It ended 2m 0s ago.",
                    "unavailable",
                    UNAVAILABLE,
                ),
            ],
            "71m": [],
        },
    ),
    *(
        Case(
            f"wrong from the start ({result}), there was never a token and hence no expiry",
            audience(
                MACHINE, failures="0 1+1x20", failed="0 1+1x20", result=result, refused="0+9x20"
            ),
            {
                "2m": [],
                "10m": [
                    missing(
                        MACHINE,
                        HOST,
                        "10 attempts in a row failed. No token has been granted since it started.",
                        result,
                        advice,
                    )
                ],
            },
        )
        for result, advice in {
            "refused": REFUSED,
            "unavailable": UNAVAILABLE,
            "timeout": UNAVAILABLE,
            "misspoke": MISSPOKE,
            "credential_unreadable": UNREADABLE,
        }.items()
    ),
    Case(
        "a token of 60 s in a long outage, on a machine without Kubernetes",
        audience(
            MACHINE,
            failures="0x9 4+6x10",
            failed="0x9 4+6x10",
            result="timeout",
            expiry="60+60x8 600x11",
            granted="0+60x8 540x11",
        ),
        {
            "11m": [],
            "13m": [
                expires_soon(
                    MACHINE,
                    HOST,
                    "Callers that need",
                    "The last token was granted at 1970-01-01 00:09:00 +0000 UTC. "
                    "The token ended 3m 0s ago.",
                    "timeout",
                    UNAVAILABLE,
                ),
                missing(
                    MACHINE,
                    HOST,
                    "22 attempts in a row failed. "
                    "The last token was granted at 1970-01-01 00:09:00 +0000 UTC. "
                    "It ended 3m 0s ago.",
                    "timeout",
                    UNAVAILABLE,
                ),
            ],
        },
    ),
    Case(
        "an upstream rejected the token and no other is to be had: its expiry is still to come",
        audience(
            MACHINE,
            failures="0x9 1+1x10",
            failed="0x9 1+1x10",
            expiry="3600x20",
            granted="0x20",
            refused="0x9 0+30x10",
        ),
        {
            "14m": [
                missing(
                    MACHINE,
                    HOST,
                    f"5 attempts in a row failed. {GRANTED_AT_0} "
                    "An upstream answered 401 to that token, so it is used no more.",
                    "unavailable",
                    UNAVAILABLE,
                ),
            ],
        },
    ),
    Case(
        "a restart in an outage: counters and times are gone, and the page comes all the same",
        audience(
            KUBERNETES,
            failures="0x9 1+1x9 _ 1+1x10",
            failed="0x9 1+1x9 _ 1+1x10",
            expiry="3600x19 stale",
            granted="0x19 stale",
        ),
        {
            "19m": [
                renewal_failing(
                    KUBERNETES,
                    POD,
                    f"10 attempts in a row failed. {GRANTED_AT_0} The token still lasts 41m 0s.",
                    "unavailable",
                    UNAVAILABLE,
                )
            ],
            "26m": [
                missing(
                    KUBERNETES,
                    POD,
                    "6 attempts in a row failed. No token has been granted since it started.",
                    "unavailable",
                    UNAVAILABLE,
                )
            ],
        },
    ),
]
