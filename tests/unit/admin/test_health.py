"""`proxy.admin.health`."""

from __future__ import annotations

import io
from typing import Any

import pytest

from proxy.admin.health import Health
from proxy.telemetry.facts import Telemetry
from proxy.telemetry.log import Log

GRANTED: dict[str, Any] = {
    "reason": "start",
    "seconds": 0.2,
    "lifetime_seconds": 60.0,
    "expires_in_seconds": 59.0,
}
FAILED: dict[str, Any] = {
    "reason": "start",
    "result": "refused",
    "seconds": 0.2,
    "code": "grant_refused",
    "detail": "invalid_client canary",
    "retry_in_seconds": 10.0,
    "live_for_seconds": None,
}


class Wall:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def telemetry(wall: Wall) -> Telemetry:
    log = Log(format="json", level="error", access="off", stream=io.StringIO(), wall=wall)
    names = ["orders", "stock"]
    return Telemetry(upstreams=names, audiences=names, log=log, wall=wall, monotonic=wall)


@pytest.mark.parametrize(
    ("listening", "draining", "ready"),
    [(False, False, False), (True, False, True), (True, True, False), (False, True, False)],
)
def test_ready_means_listening_and_not_draining(
    telemetry: Telemetry, *, listening: bool, draining: bool, ready: bool
) -> None:
    health = Health(telemetry)
    health.listening, health.draining = listening, draining
    assert health.ready is ready


def test_a_dead_authorization_server_does_not_cost_readiness(telemetry: Telemetry) -> None:
    health = Health(telemetry, prefetched=["orders"])
    health.listening = True
    telemetry.audiences["orders"].fetch_failed(**FAILED)
    assert health.ready


def test_without_waiting_the_start_is_over_once_it_listens(telemetry: Telemetry) -> None:
    health = Health(telemetry, prefetched=["orders"], started_at=100.0)
    assert not health.startup_complete(100.0)
    health.listening = True
    assert health.startup_complete(100.0)


def test_the_start_waits_for_the_first_token_of_each_prefetched_audience(
    telemetry: Telemetry,
) -> None:
    health = Health(
        telemetry, prefetched=["orders", "stock"], wait_for_tokens_seconds=30.0, started_at=100.0
    )
    health.listening = True
    assert health.without_first_token() == ["orders", "stock"]
    telemetry.audiences["orders"].token_granted(**GRANTED)
    assert health.without_first_token() == ["stock"]
    assert not health.startup_complete(101.0)
    telemetry.audiences["stock"].token_granted(**GRANTED)
    assert health.startup_complete(101.0)


def test_an_audience_that_is_not_prefetched_is_not_waited_for(telemetry: Telemetry) -> None:
    health = Health(telemetry, prefetched=["orders"], wait_for_tokens_seconds=30.0)
    health.listening = True
    telemetry.audiences["orders"].token_granted(**GRANTED)
    assert health.startup_complete(1.0)


def test_a_failed_fetch_is_no_token_but_the_waiting_ends(telemetry: Telemetry) -> None:
    health = Health(
        telemetry, prefetched=["orders"], wait_for_tokens_seconds=30.0, started_at=100.0
    )
    health.listening = True
    telemetry.audiences["orders"].fetch_failed(**FAILED)
    assert not health.startup_complete(129.9)
    assert health.startup_complete(130.0)


def test_a_token_let_go_does_not_undo_the_start(telemetry: Telemetry) -> None:
    health = Health(telemetry, prefetched=["orders"], wait_for_tokens_seconds=30.0)
    health.listening = True
    telemetry.audiences["orders"].token_granted(**GRANTED)
    telemetry.audiences["orders"].token_let_go()
    assert health.startup_complete(1.0)


def test_the_report_tells_each_audience_and_how_long_its_token_lives(
    telemetry: Telemetry, wall: Wall
) -> None:
    health = Health(telemetry)
    health.listening = True
    orders = telemetry.audiences["orders"]
    orders.token_granted(**GRANTED)
    wall.now += 10
    assert health.report().splitlines() == [
        "listening: yes",
        "draining: no",
        "audience orders: live, expires in 49 s",
        "audience stock: absent",
    ]
    orders.fetch_failed(**FAILED)
    wall.now += 50
    assert health.report().splitlines()[2] == (
        "audience orders: failing, 1 failures in a row, expired 1 s ago"
    )
    assert "canary" not in health.report()
