"""Cases about tokens in which nobody is to be woken up; see `alert_cases_tokens`."""

from __future__ import annotations

from monitoring.alert_case import KUBERNETES, MACHINE, Case
from monitoring.alert_cases_tokens import audience

QUIET = [
    Case(
        "false alarm: tokens of 60 s, renewed as they should be",
        audience(KUBERNETES, failures="0x60", expiry="60+60x60", granted="0+60x60"),
        {"5m": [], "20m": [], "60m": []},
    ),
    Case(
        "false alarm: one blip on a token of 60 s, then recovery",
        audience(
            MACHINE,
            failures="0x10 1 0x20",
            failed="0x10 1x21",
            result="timeout",
            expiry="60+60x31",
            granted="0+60x31",
        ),
        {f"{minute}m": [] for minute in range(10, 22)},
    ),
    Case(
        "false alarm: an outage shorter than two minutes, with tokens of 60 s",
        audience(
            MACHINE,
            failures="0x39 4 5 5 5 6 6 6 0x40",
            failed="0x39 4 5 5 5 6 6 6 6x40",
            expiry="60x3 120x3 180x3 240x3 300x3 360x3 420x3 480x3 540x3 600x10 810x40",
            granted="0x80",
        ),
        {f"{seconds}s": [] for seconds in range(570, 780, 15)},
        interval="15s",
        evaluated_every="15s",
    ),
    Case(
        "false alarm: the server asks for 300 s of patience, and the token outlasts them",
        audience(
            MACHINE,
            failures="0x45 1x5 0x20",
            failed="0x45 1x30",
            expiry="3600x50 6660x20",
            granted="0x50 3060x20",
        ),
        {f"{minute}m": [] for minute in range(45, 60)},
    ),
    Case(
        "false alarm: the network comes up after the proxy, a few attempts fail at the start",
        audience(MACHINE, failures="4 9 0x20", failed="4 9 9x20", expiry="_ _ 3700x20"),
        {"0m": [], "1m": [], "2m": [], "5m": []},
    ),
    Case(
        "false alarm: an idle token was let go, its series with it",
        audience(KUBERNETES, failures="0x20", expiry="300x5 stale", granted="0x5 stale"),
        {"4m": [], "8m": [], "15m": []},
    ),
    Case(
        "false alarm: an idle token whose renewals failed was let go",
        audience(
            KUBERNETES,
            failures="0x5 1+1x4 0x20",
            failed="0x5 1+1x4 5x20",
            expiry="3600x9 stale",
            granted="0x9 stale",
        ),
        {"9m": [], "12m": [], "25m": []},
    ),
    Case(
        "false alarm: an audience that nobody has asked for yet",
        audience(MACHINE, failures="0x30"),
        {"5m": [], "30m": []},
    ),
    Case(
        "false alarm: one restart, all counters begin again",
        audience(
            MACHINE,
            failures="0x20",
            failed="7x9 0x10",
            expiry="3600x9 4200x10",
            granted="0x9 600x10",
            refused="50x9 0x10",
        ),
        {"9m": [], "11m": [], "15m": []},
    ),
]
