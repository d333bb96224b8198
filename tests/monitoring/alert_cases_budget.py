"""Cases about the error budget, in all its windows."""

from __future__ import annotations

from monitoring.alert_case import MACHINE, Case, Fired, Labels, series

BURN = "TokenProxyErrorBudgetBurn"
JOB = {"job": "token-proxy"}
REFUSED = (
    "Most of them: grant_refused. What to do: the authorization server refuses us: compare "
    "client_id, secret or key, scope and audience with what is registered there."
)
ELSEWHERE = "What to do: see docs/errors.md, under this code."
SEVERITIES = {"1h": "critical", "6h": "critical", "3d": "warning"}
PARTS = {
    "1h": ("hour", "1.44", "5m", "50 hours"),
    "6h": ("6 hours", "0.6", "30m", "5 days"),
    "3d": ("3 days", "0.1", "6h", "30 days"),
}


def burn(window: str, share: str, reason: str, *, upstream: str = "orders") -> Fired:
    part, bound, short, gone = PARTS[window]
    whose = (
        f"to upstream {upstream}" if upstream else "were refused before an upstream was known, or"
    )
    return Fired(
        BURN,
        SEVERITIES[window],
        JOB | {"window": window} | ({"upstream": upstream} if upstream else {}),
        f"{share} of the requests {whose} failed at the proxy or for want of a token in the last "
        f"{part}, and more than {bound} % of those of the last {short}. At this pace the error "
        f"budget of 30 days (0.1 % of requests) is gone within {gone}. {reason}",
    )


def traffic(
    *,
    requests: str,
    failed: str,
    code: str = "grant_refused",
    status: str = "502",
    process: Labels = MACHINE,
    upstream: str = "orders",
) -> dict[str, str]:
    """Return requests that went well, and those that ended in `code`."""
    its = process | {"upstream": upstream}
    request = "tokenproxy_requests_total"
    return {
        series(request, its, method="GET", code="200", origin="upstream"): requests,
        series(request, its, method="GET", code=status, origin="proxy"): failed,
        series("tokenproxy_errors_total", its, code=code): failed,
    }


AT_SOME_MINUTES = {f"{minute}m": list[Fired]() for minute in range(1, 42, 4)}

CASES = [
    Case(
        "everything fails for some minutes: two pages and a ticket, the first ends when it ends",
        traffic(requests="0+100x119 12000x9 12000+100x60", failed="0x119 0+100x9 1000x60"),
        {
            "119m": [],
            "126m": [
                burn("1h", "10%", REFUSED),
                burn("6h", "4.762%", REFUSED),
                burn("3d", "4.762%", REFUSED),
            ],
            "150m": [burn("6h", "6.667%", REFUSED), burn("3d", "6.667%", REFUSED)],
        },
    ),
    Case(
        "one request of a hundred fails for six hours",
        traffic(requests="0+100x1440 0+99x360", failed="0x1440 0+1x360"),
        {
            "24h": [],
            "30h": [burn("6h", "1%", REFUSED), burn("3d", "0.1996%", REFUSED)],
        },
        evaluated_every="30m",
    ),
    Case(
        "two requests of a thousand fail for three days",
        traffic(
            requests="0+29940x144",
            failed="0+60x144",
            code="credential_unreadable",
            status="503",
        ),
        {
            "72h": [
                burn(
                    "3d",
                    "0.2%",
                    "Most of them: credential_unreadable. What to do: a file of our own credential "
                    "cannot be read: check that it is mounted, whole, and readable for this user.",
                )
            ]
        },
        interval="30m",
        evaluated_every="30m",
    ),
    *(
        Case(
            f"a tenth of the requests ends as {code}",
            traffic(requests="0+90x60", failed="0+10x60", code=code, status=status),
            {
                "20m": [
                    burn(window, "10%", f"Most of them: {code}. What to do: {advice}")
                    for window in PARTS
                ]
            },
        )
        for code, status, advice in (
            (
                "authorization_server_unavailable",
                "503",
                "the authorization server cannot be reached or fails: see whether it is up, and "
                "the network, the name and the certificate on the way to it.",
            ),
            (
                "authorization_server_misspoke",
                "502",
                "what answers is no token endpoint, or not a sound one: check token_endpoint (or "
                "issuer, discovery).",
            ),
            ("token_wait_timeout", "503", "see docs/errors.md, under this code."),
        )
    ),
    Case(
        "a twentieth is refused by a limit before an upstream is known",
        traffic(requests="0+95x60", failed="0x60")
        | {
            series("tokenproxy_errors_total", MACHINE, upstream="", code="overloaded"): "0+5x60",
            series(
                "tokenproxy_requests_total",
                MACHINE,
                upstream="",
                method="GET",
                code="503",
                origin="proxy",
            ): "0+5x60",
        },
        {
            "20m": [
                burn(
                    window,
                    "5%",
                    "Most of them: overloaded. What to do: see docs/errors.md, under this code.",
                    upstream="",
                )
                for window in PARTS
            ]
        },
    ),
    Case(
        "the proxy itself is at fault",
        {
            key: values
            for key, values in traffic(requests="0+90x60", failed="0+10x60", status="500").items()
            if "errors_total" not in key
        },
        {
            "20m": [
                burn(window, "10%", "The proxy itself is at fault: see internal_error in the log.")
                for window in PARTS
            ]
        },
    ),
]

QUIET = [
    Case(
        "false alarm: little traffic, and all five requests fail",
        traffic(requests="0x200", failed="0x9 1x5 2x5 3x5 4x5 5x130"),
        AT_SOME_MINUTES,
    ),
    *(
        Case(
            f"false alarm: {reason}",
            traffic(requests="0+10x200", failed="0+10x200", code=code, status=status),
            AT_SOME_MINUTES,
        )
        for reason, code, status in (
            ("the upstream cannot be reached", "upstream_unreachable", "502"),
            ("the upstream answers too late", "upstream_timeout", "504"),
            ("the upstream answers nonsense", "upstream_misspoke", "502"),
            ("a rollout", "shutting_down", "503"),
            ("callers ask for what is not allowed", "not_allowed", "403"),
        )
    ),
    Case(
        "false alarm: the upstream's own errors",
        {
            series(
                "tokenproxy_requests_total",
                MACHINE,
                upstream="orders",
                method="GET",
                code="503",
                origin="upstream",
            ): "0+10x200"
        },
        AT_SOME_MINUTES,
    ),
    Case(
        "false alarm: a restart after failures that are over",
        traffic(requests="0+100x19 0+100x100", failed="30x19 0x100"),
        AT_SOME_MINUTES,
    ),
    Case(
        "false alarm: one request of two thousand fails",
        traffic(requests="0+1999x200", failed="0+1x200"),
        AT_SOME_MINUTES,
    ),
    Case(
        "false alarm: a few refusals by a limit beside much traffic",
        traffic(requests="0+9000x200", failed="0x200")
        | {
            series("tokenproxy_errors_total", MACHINE, upstream="", code="overloaded"): "0+1x200",
        },
        AT_SOME_MINUTES,
    ),
]
