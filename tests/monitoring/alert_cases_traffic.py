"""Cases about what callers meet: slow token requests, waiting, rejected tokens, failed requests."""

from __future__ import annotations

from monitoring.alert_case import KUBERNETES, MACHINE, Case, Fired, Labels, series

SLOW = "TokenProxyAuthorizationServerSlow"
WAITING = "TokenProxyWaitingForTokens"
REJECTS = "TokenProxyUpstreamRejectsTokens"
JOB = {"job": "token-proxy"}
NAMESPACE = {"job": "shop/token-proxy", "namespace": "shop"}

AT_EVERY_MINUTE = {f"{minute}m": list[Fired]() for minute in range(1, 47, 3)}


def buckets(
    metric: str, process: Labels, shares: dict[str, str], count: str, audience: str = "orders"
) -> dict[str, str]:
    """Return a histogram; `shares` are the buckets below `+Inf`."""
    its = process | {"audience": audience}
    shown = {series(f"{metric}_bucket", its, le=le): values for le, values in shares.items()}
    return shown | {
        series(f"{metric}_bucket", its, le="+Inf"): count,
        series(f"{metric}_count", its): count,
    }


def fetches(process: Labels, *, quick: str, to_2_5: str, to_5: str) -> dict[str, str]:
    """Return token requests by how long they took, cumulative: up to 1 s, 2.5 s and 5 s."""
    shares = {"0.1": quick, "1.0": quick, "2.5": to_2_5, "5.0": to_5}
    return buckets("tokenproxy_token_fetch_duration_seconds", process, shares, to_5)


def waits(process: Labels, *, short: str, all_of_them: str, hits: str) -> dict[str, str]:
    """Return waits for a token, up to 250 ms and all of them, and look-ups that did not wait."""
    shares = {"0.1": short, "0.25": short, "5.0": all_of_them}
    its = process | {"audience": "orders"}
    return buckets("tokenproxy_token_wait_seconds", process, shares, all_of_them) | {
        series("tokenproxy_token_lookups_total", its, result="hit"): hits,
        series("tokenproxy_token_lookups_total", its, result="joined"): all_of_them,
    }


def answers(
    process: Labels,
    *,
    fine: str,
    refused: str,
    passed: str = "0x200",
    still: str = "0x200",
    ok: str = "0x200",
) -> dict[str, str]:
    """Return an upstream's answers 200 and 401, and what came of the 401s to our token."""
    its = process | {"upstream": "stock"}
    of_upstream = its | {"method": "GET", "origin": "upstream"}
    unauthorized = "tokenproxy_upstream_unauthorized_total"
    return {
        series("tokenproxy_requests_total", of_upstream, code="200"): fine,
        series("tokenproxy_requests_total", of_upstream, code="401"): refused,
        series(unauthorized, its, action="passed"): passed,
        series(unauthorized, its, action="renewed_still_401"): still,
        series(unauthorized, its, action="renewed_ok"): ok,
    }


def rejects(labels: Labels, place: str, share: str, tried: str) -> Fired:
    return Fired(
        REJECTS,
        "critical",
        labels | {"upstream": "stock"},
        f"Upstream stock{place} answered 401 to our token in {share} of its answers of the last 10 "
        f"minutes, and so for at least 5 minutes. Callers get these 401. {tried} What to do: "
        "compare the audience and the scope asked for with what the upstream wants, and the "
        "clocks. The log has more, in the event upstream_unauthorized.",
    )


WHAT_TO_DO_IF_SLOW = (
    "Callers notice it only where they have to wait: at a start, and after a 401 or an outage. "
    "What to do: see whether the authorization server is loaded, and the network and the name on "
    "the way to it; beyond timeout_seconds of the client a request counts as failed."
)
WHAT_TO_DO_IF_WAITING = (
    "What to do: see whether the authorization server is slow, whether an upstream answers 401 "
    "(each such token is dropped), and whether the audience's idle_seconds is shorter than its "
    "callers' pauses."
)

CASES = [
    Case(
        "token requests take three to five seconds, in two processes of one job",
        fetches(KUBERNETES, quick="0x60", to_2_5="0x60", to_5="0+1x60")
        | fetches(
            KUBERNETES | {"pod": "web-1", "instance": "10.0.0.8:9090"},
            quick="0x60",
            to_2_5="0x60",
            to_5="0+1x60",
        )
        | {
            series("tokenproxy_token_expiry_timestamp_seconds", KUBERNETES, audience="orders"): (
                "60+60x60"
            )
        },
        {
            "5m": [],
            "40m": [
                Fired(
                    SLOW,
                    "warning",
                    NAMESPACE | {"audience": "orders"},
                    "Half of the token requests for audience orders in namespace shop took longer "
                    "than 2.5 s in the last 30 minutes (the median is about 3.75s). The token that "
                    f"ends first still lasts 1m 0s. {WHAT_TO_DO_IF_SLOW}",
                )
            ],
        },
    ),
    Case(
        "half of the requests wait for a token, and none is to be had",
        waits(MACHINE, short="0x60", all_of_them="0+30x60", hits="0+30x60")
        | {
            series("tokenproxy_token_waiters", MACHINE, audience="orders"): "12x60",
            series("tokenproxy_token_consecutive_failures", MACHINE, audience="orders"): "0x60",
        },
        {
            "5m": [],
            "30m": [
                Fired(
                    WAITING,
                    "warning",
                    JOB | {"audience": "orders"},
                    "50% of the requests that need audience orders waited longer than 250 ms for a "
                    "token in the last 5 minutes, and so for at least 10 minutes. 12 wait now. "
                    f"Tokens are granted. {WHAT_TO_DO_IF_WAITING}",
                )
            ],
        },
    ),
    Case(
        "an upstream refuses every token, fresh ones too",
        answers(KUBERNETES, fine="50x60", refused="0+10x60", passed="0+8x60", still="0+2x60"),
        {
            "4m": [],
            "20m": [
                rejects(
                    NAMESPACE, " in namespace shop", "100%", "Fresh tokens were refused as well."
                )
            ],
        },
    ),
    Case(
        "a quarter is refused, fresh tokens too",
        answers(MACHINE, fine="0+30x60", refused="0+10x60", passed="0+8x60", still="0+2x60"),
        {"20m": [rejects(JOB, "", "25%", "Fresh tokens were refused as well.")]},
    ),
    Case(
        "an upstream with on_unauthorized pass refuses every token",
        answers(MACHINE, fine="50x60", refused="0+10x60", passed="0+10x60"),
        {"20m": [rejects(JOB, "", "100%", "Whether it takes fresh tokens was not tried.")]},
    ),
]

QUIET = [
    Case(
        "false alarm: one slow token request among many",
        fetches(MACHINE, quick="0+1x29 29+1x30", to_2_5="0+1x29 29+1x30", to_5="0+1x60"),
        AT_EVERY_MINUTE,
    ),
    Case(
        "false alarm: tokens of an hour, the only token request was slow",
        fetches(MACHINE, quick="0x60", to_2_5="0x60", to_5="0x9 1x50"),
        AT_EVERY_MINUTE,
    ),
    Case(
        "false alarm: token requests of one second and a half",
        fetches(MACHINE, quick="0x60", to_2_5="0+1x60", to_5="0+1x60"),
        AT_EVERY_MINUTE,
    ),
    Case(
        "false alarm: a cold start, at which all callers wait once",
        waits(MACHINE, short="0x60", all_of_them="0 200x60", hits="0 0+100x60"),
        AT_EVERY_MINUTE,
    ),
    Case(
        "false alarm: a call every few minutes, each after the token was let go",
        waits(MACHINE, short="0x60", all_of_them="0 0 1 1 1 2 2 2 3 3 3 4x50", hits="0x60"),
        AT_EVERY_MINUTE,
    ),
    Case(
        "false alarm: 401s passed for a caller's own reasons",
        answers(MACHINE, fine="0+10x60", refused="0+3x60", passed="0+3x60"),
        AT_EVERY_MINUTE,
    ),
    Case(
        "false alarm: 401s without a challenge for a caller's own reasons, tried with fresh tokens",
        answers(MACHINE, fine="0+100x60", refused="0+10x60", passed="0+8x60", still="0+2x60"),
        AT_EVERY_MINUTE,
    ),
    Case(
        "false alarm: three requests in an hour, each refused",
        answers(MACHINE, fine="0x60", refused="0x9 1x20 2x20 3x9", passed="0x9 1x20 2x20 3x9"),
        AT_EVERY_MINUTE,
    ),
    Case(
        "false alarm: tokens are rejected, and the next one is taken",
        answers(MACHINE, fine="0+10x60", refused="0x60", ok="0+2x60"),
        AT_EVERY_MINUTE,
    ),
    Case(
        "false alarm: a restart after a rejection that is over",
        answers(
            MACHINE,
            fine="5000+10x29 0+10x30",
            refused="900x29 0x30",
            passed="800x29 0x30",
            still="100x29 0x30",
        ),
        AT_EVERY_MINUTE,
    ),
]
