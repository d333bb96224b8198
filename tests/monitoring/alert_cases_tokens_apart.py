"""Cases about tokens in which two things must be kept apart: two audiences, two causes."""

from __future__ import annotations

from monitoring.alert_case import MACHINE, Case, series
from monitoring.alert_cases_tokens import (
    GRANTED_AT_0,
    HOST,
    REFUSED,
    UNAVAILABLE,
    audience,
    missing,
    renewal_failing,
)

REFUSALS = series(
    "tokenproxy_token_fetches_total",
    MACHINE | {"audience": "orders"},
    reason="renewal",
    result="refused",
)

CASES = [
    Case(
        "one of two audiences fails: the other is not spoken of",
        audience(MACHINE, failures="0 1+1x20", failed="0 1+1x20", result="refused")
        | audience(MACHINE, name="stock", failures="0x20", expiry="3600x20", granted="0x20"),
        {
            "10m": [
                missing(
                    MACHINE,
                    HOST,
                    "10 attempts in a row failed. No token has been granted since it started.",
                    "refused",
                    REFUSED,
                )
            ]
        },
    ),
    Case(
        "down for a while with many attempts, then up and refusing with few: what fails now counts",
        audience(MACHINE, failures="0x2 12+12x5 73+1x12", failed="0x2 12+12x5 72x12")
        | {REFUSALS: "0x8 1+1x12"},
        {
            "8m": [
                missing(
                    MACHINE,
                    HOST,
                    "72 attempts in a row failed. No token has been granted since it started.",
                    "unavailable",
                    UNAVAILABLE,
                )
            ],
            "12m": [
                missing(
                    MACHINE,
                    HOST,
                    "76 attempts in a row failed. No token has been granted since it started.",
                    "refused",
                    REFUSED,
                )
            ],
        },
    ),
    Case(
        "a server that asks for patience: the last attempt was some minutes ago, and tells still",
        audience(MACHINE, failures="0x2 1x20", failed="0x2 1x20", expiry="3600x30", granted="0x30"),
        {
            "10m": [
                renewal_failing(
                    MACHINE,
                    HOST,
                    f"1 attempts in a row failed. {GRANTED_AT_0} The token still lasts 50m 0s.",
                    "unavailable",
                    UNAVAILABLE,
                )
            ]
        },
    ),
]
