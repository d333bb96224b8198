"""The metrics as they are specified, transcribed by hand.

Not made from the program, so that a metric that is renamed, or a value that goes missing, is found.
It is for a proxy with the upstreams and audiences named here.
"""

from __future__ import annotations

from typing import Any

UPSTREAMS = ("api", "dead", "denied")
AUDIENCES = ("denied", "orders")
CODES = (
    "no_route",
    "host_refused",
    "browser_refused",
    "not_allowed",
    "authorization_refused",
    "bad_request",
    "head_too_large",
    "body_too_large",
    "loop_detected",
    "grant_refused",
    "authorization_server_unavailable",
    "authorization_server_misspoke",
    "credential_unreadable",
    "token_wait_timeout",
    "upstream_unreachable",
    "upstream_timeout",
    "upstream_misspoke",
    "overloaded",
    "shutting_down",
)
REQUEST_BUCKETS = ".005 .01 .025 .05 .1 .25 .5 1 2.5 5 10 30"

# Name, type, labels; for each label the values that are there from the start. None: any.
TABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "tokenproxy_requests_total": (
        "counter",
        {"upstream": None, "method": None, "code": None, "origin": None},
    ),
    "tokenproxy_request_duration_seconds": (
        "histogram",
        {"upstream": ("", *UPSTREAMS), "le": REQUEST_BUCKETS},
    ),
    "tokenproxy_upstream_response_seconds": (
        "histogram",
        {"upstream": UPSTREAMS, "le": REQUEST_BUCKETS},
    ),
    "tokenproxy_requests_in_flight": ("gauge", {"upstream": ("", *UPSTREAMS)}),
    "tokenproxy_errors_total": ("counter", {"upstream": ("", *UPSTREAMS), "code": CODES}),
    "tokenproxy_upstream_unauthorized_total": (
        "counter",
        {"upstream": UPSTREAMS, "action": ("renewed_ok", "renewed_still_401", "passed")},
    ),
    "tokenproxy_upstream_connections": (
        "gauge",
        {"upstream": UPSTREAMS, "state": ("active", "idle")},
    ),
    "tokenproxy_upstream_connects_total": (
        "counter",
        {
            "upstream": UPSTREAMS,
            "result": ("success", "name", "refused", "timeout", "tls", "other"),
        },
    ),
    "tokenproxy_token_lookups_total": (
        "counter",
        {"audience": AUDIENCES, "result": ("hit", "stale", "joined", "miss", "refused")},
    ),
    "tokenproxy_token_wait_seconds": (
        "histogram",
        {"audience": AUDIENCES, "le": ".001 .005 .01 .025 .05 .1 .25 .5 1 2.5 5 10"},
    ),
    "tokenproxy_token_waiters": ("gauge", {"audience": AUDIENCES}),
    "tokenproxy_token_fetches_in_flight": ("gauge", {"audience": AUDIENCES}),
    "tokenproxy_token_fetches_total": (
        "counter",
        {
            "audience": AUDIENCES,
            "reason": ("start", "miss", "renewal", "rejected"),
            "result": (
                "success",
                "refused",
                "unavailable",
                "timeout",
                "misspoke",
                "credential_unreadable",
            ),
        },
    ),
    "tokenproxy_token_fetch_duration_seconds": (
        "histogram",
        {"audience": AUDIENCES, "le": ".01 .025 .05 .1 .25 .5 1 2.5 5 10 30"},
    ),
    "tokenproxy_token_consecutive_failures": ("gauge", {"audience": AUDIENCES}),
    # These three are absent until they are known.
    "tokenproxy_token_expiry_timestamp_seconds": ("gauge", {}),
    "tokenproxy_token_last_success_timestamp_seconds": ("gauge", {}),
    "tokenproxy_token_lifetime_seconds": ("gauge", {}),
    "tokenproxy_config_last_reload_successful": ("gauge", {}),
    "tokenproxy_config_last_reload_success_timestamp_seconds": ("gauge", {}),
    "tokenproxy_event_loop_lag_seconds": ("gauge", {}),
    "tokenproxy_build_info": ("gauge", {"version": None, "python": None}),
}
BEYOND_THE_TABLE = {"tokenproxy_limits_reached_total": "counter"}
