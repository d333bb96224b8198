"""Documents in the shape of `/status.json`: nothing wrong, and all that can be wrong at once."""

from __future__ import annotations

from typing import Any

from proxy.errors import ADVICE

NOW = 1772334724.0
LONG_NAME = "a-very-long-name-of-an-audience-that-somebody-once-chose-in-a-hurry"


def audience(name: str, state: str, left: float | None = None, **others: Any) -> dict[str, Any]:
    """Return one audience; `left` is what is left of its token."""
    code = others.get("failing_with")
    return {
        "audience": name,
        "state": state,
        "usable": left is not None and left > 0,
        "expires_at": None if left is None else NOW + left,
        "expires_in_seconds": left,
        "lifetime_seconds": None if left is None else 3600.0,
        "last_success_at": None if left is None else NOW + left - 3600,
        "consecutive_failures": 0,
        "failing_since": None,
        "failing_with": None,
        "advice": ADVICE.get(code) if code else None,
        "retry_at": None,
        "waiters": 0,
        "fetches_in_flight": 0,
        "lookups": {"hit": 12, "stale": 0, "joined": 0, "miss": 1, "refused": 0},
    } | others


def upstream(name: str, **others: Any) -> dict[str, Any]:
    """Return one upstream, unused unless `others` say more."""
    return {
        "upstream": name,
        "requests_in_flight": 0,
        "requests_per_second": 0.0,
        "requests_total": 0,
        "codes": dict.fromkeys(("1xx", "2xx", "3xx", "4xx", "5xx", "other"), 0),
        "codes_total": {},
        "errors": {},
        "errors_last_minute": {},
        "unauthorized": {"renewed_ok": 0, "renewed_still_401": 0, "passed": 0},
        "unauthorized_last_minute": {"renewed_ok": 0, "renewed_still_401": 0, "passed": 0},
        "latency_seconds": {"p50": None, "p90": None, "p99": None},
        "connections": {"active": 0, "idle": 0},
    } | others


def document(**others: Any) -> dict[str, Any]:
    """Return a status of one live token, nothing wrong anywhere, unless `others` say more."""
    return {
        "version": "1.2.3",
        "python": "3.11.7",
        "now": NOW,
        "started_at": NOW - 11543,
        "state": "serving",
        "listen": ["127.0.0.1:8080"],
        "admin": "127.0.0.1:9090",
        "event_loop_lag_seconds": 0.001,
        "configuration": {
            "file": "/etc/token-proxy/config.yaml",
            "sha256": "ab" * 32,
            "loaded_at": NOW - 11543,
            "last_reload_at": NOW - 303,
            "last_reload_successful": True,
            "problem": None,
        },
        "audiences": [audience("billing", "live", 2467)],
        "fetches": [],
        "upstreams": [upstream("orders")],
    } | others


def in_trouble() -> dict[str, Any]:
    """Return a status with all that can be wrong at once, and names that are too long."""
    fetch = {"audience": "orders", "reason": "renewal", "duration_seconds": 0.15}
    failed = {"result": "unavailable", "code": "authorization_server_unavailable"}
    return document(
        configuration=document()["configuration"]
        | {"last_reload_successful": False, "problem": "config.yaml:12:3: audience: names none"},
        audiences=[
            audience("billing", "live", 2467),
            audience(
                "orders",
                "failing",
                723,
                consecutive_failures=4,
                failing_since=NOW - 303,
                failing_with="authorization_server_unavailable",
                retry_at=NOW + 12,
            ),
            audience(
                LONG_NAME,
                "failing",
                -63,
                consecutive_failures=1,
                failing_since=NOW - 90303,
                failing_with="grant_refused",
                retry_at=NOW + 42,
            ),
            audience("rare", "idle"),
            audience("new", "absent"),
            audience("partner", "rejected", 500, usable=False),
        ],
        fetches=[
            fetch | {"ended_at": NOW - 5 * number} | (failed if number < 3 else succeeded())
            for number in range(20)
        ],
        upstreams=[
            upstream(
                LONG_NAME,
                requests_in_flight=12345678,
                requests_per_second=12345.6,
                requests_total=123456789,
                codes=dict.fromkeys(("1xx", "2xx", "3xx", "4xx", "5xx", "other"), 99_999),
                errors={"grant_refused": 12, "upstream_timeout": 3},
                errors_last_minute={"upstream_timeout": 1},
                unauthorized={"renewed_ok": 3, "renewed_still_401": 0, "passed": 2},
                unauthorized_last_minute={"renewed_ok": 1, "renewed_still_401": 0, "passed": 0},
                latency_seconds={"p50": 0.0045, "p90": 0.1, "p99": 30.0},
                connections={"active": 12, "idle": 43},
            ),
            upstream("", requests_total=3, errors={"no_route": 3}),
        ],
    )


def succeeded() -> dict[str, Any]:
    """Return how a fetch ends well."""
    return {"result": "success", "code": None}
