"""A telemetry with time in our hands and a log that can be read back."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from proxy.telemetry.facts import Telemetry
from proxy.telemetry.log import Log

WALL_AT_START = 1_760_000_000.25


class Clock:
    """Both clocks at once: monotonic from 1000, wall from WALL_AT_START."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return WALL_AT_START + self.now - 1000.0

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Lines(io.StringIO):
    """A stream that knows what was written to it as JSON lines."""

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def names(self) -> list[str]:
        return [event["event"] for event in self.events()]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def log(lines: Lines, clock: Clock) -> Log:
    return Log(format="json", level="debug", access="all", stream=lines, wall=clock.wall)


@pytest.fixture
def telemetry(log: Log, clock: Clock) -> Telemetry:
    return Telemetry(
        upstreams=["orders", "stock"],
        audiences=["orders"],
        log=log,
        wall=clock.wall,
        monotonic=clock.monotonic,
    )
