"""Facts, health and the last minute, with time in our hands, and what the status makes of them."""

from __future__ import annotations

import io
import json
from typing import Any

from proxy.admin import page, status_json
from proxy.admin.health import Health
from proxy.admin.status import Status, collect
from proxy.telemetry.facts import Telemetry
from proxy.telemetry.last_minute import LastMinute
from proxy.telemetry.log import Log

WALL_AT_START = 1_760_000_000.0
"""2025-10-09 08:53:20 UTC."""


class Scene:
    """A process that began 1000 s ago on the monotonic clock; `advance` lets time pass."""

    def __init__(self, *audiences: str, upstreams: tuple[str, ...] = ("orders",)) -> None:
        self.passed = 0.0
        self.set_by = 0.0
        log = Log(format="json", level="debug", access="off", stream=io.StringIO(), wall=self.wall)
        self.telemetry = Telemetry(
            upstreams=upstreams,
            audiences=audiences,
            log=log,
            wall=self.wall,
            monotonic=self.monotonic,
        )
        self.health = Health(self.telemetry)
        self.health.listening = True
        self.health.listening_on = ["127.0.0.1:8080"]
        self.last_minute = LastMinute(self.telemetry, clock=self.monotonic)
        self.sample()

    def monotonic(self) -> float:
        return 1000.0 + self.passed

    def wall(self) -> float:
        return WALL_AT_START + self.passed + self.set_by

    def sample(self) -> None:
        for _ in self.last_minute.sampling():
            pass

    def advance(self, seconds: float, *, sample: bool = False) -> None:
        self.passed += seconds
        if sample:
            self.sample()

    def granted(self, audience: str, *, lifetime_seconds: float = 600.0) -> None:
        self.telemetry.audiences[audience].token_granted(
            reason="start",
            seconds=0.25,
            lifetime_seconds=lifetime_seconds,
            expires_in_seconds=lifetime_seconds,
        )

    def failed(
        self, audience: str, code: str = "authorization_server_unavailable", **changes: Any
    ) -> None:
        facts: dict[str, Any] = {
            "reason": "renewal",
            "result": "unavailable",
            "seconds": 0.004,
            "code": code,
            "detail": "canary-detail of what the server said",
            "retry_in_seconds": 8.0,
            "live_for_seconds": None,
        }
        self.telemetry.audiences[audience].fetch_failed(**(facts | changes))

    def requested(self, upstream: str, *seconds: float, status: int = 200) -> None:
        for each in seconds:
            origin = "upstream" if status < 500 else "proxy"
            self.telemetry.upstreams[upstream].request_finished("GET", status, origin, each)

    def status(self) -> Status:
        return collect(
            self.telemetry,
            self.health,
            self.last_minute,
            now=self.wall(),
            uptime_seconds=self.passed,
            admin="127.0.0.1:9090",
        )

    def json(self) -> Any:
        return json.loads("".join(status_json.pieces(self.status())))

    def page(self, refresh: int = 5) -> str:
        return "".join(page.pieces(self.status(), refresh))
