"""`proxy.admin.status` and `proxy.admin.status_json`: what is told, and that nothing else is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from unit.admin.scene import WALL_AT_START, Scene

from proxy.errors import ADVICE

if TYPE_CHECKING:
    from collections.abc import Callable

FIELDS = {
    "": (
        "version python now started_at state listen admin event_loop_lag_seconds "
        "configuration audiences fetches upstreams"
    ),
    "configuration": ("file sha256 loaded_at last_reload_at last_reload_successful problem"),
    "audiences": (
        "audience state usable expires_at expires_in_seconds lifetime_seconds last_success_at "
        "consecutive_failures failing_since failing_with advice retry_at waiters "
        "fetches_in_flight lookups"
    ),
    "fetches": ("ended_at audience reason result duration_seconds code"),
    "upstreams": (
        "upstream requests_in_flight requests_per_second requests_total codes codes_total "
        "errors errors_last_minute unauthorized unauthorized_last_minute latency_seconds "
        "connections"
    ),
}


def test_the_fields_are_exactly_those_of_the_list() -> None:
    scene = Scene("orders")
    scene.granted("orders")
    scene.failed("orders")
    told = scene.json()
    assert " ".join(told) == FIELDS[""]
    for key in ("audiences", "fetches", "upstreams"):
        assert told[key]
        for each in told[key]:
            assert " ".join(each) == FIELDS[key]
    assert " ".join(told["configuration"]) == FIELDS["configuration"]
    (audience,) = told["audiences"]
    assert set(audience["lookups"]) == {"hit", "stale", "joined", "miss", "refused"}
    upstream = told["upstreams"][0]
    assert set(upstream["codes"]) == {"1xx", "2xx", "3xx", "4xx", "5xx", "other"}
    assert set(upstream["latency_seconds"]) == {"p50", "p90", "p99"}
    assert set(upstream["connections"]) == {"active", "idle"}
    assert set(upstream["unauthorized"]) == {"renewed_ok", "renewed_still_401", "passed"}


def nothing(_: Scene) -> None:
    pass


def granted(scene: Scene) -> None:
    scene.granted("orders")
    scene.advance(60)


def failing_before_the_first(scene: Scene) -> None:
    scene.failed("orders", "grant_refused")


def failing_with_a_token(scene: Scene) -> None:
    granted(scene)
    scene.failed("orders")


def failing_without(scene: Scene) -> None:
    granted(scene)
    scene.failed("orders")
    scene.advance(600)


def rejected(scene: Scene) -> None:
    granted(scene)
    scene.telemetry.audiences["orders"].token_rejected()


def rejected_and_failing(scene: Scene) -> None:
    rejected(scene)
    scene.failed("orders")


def expired(scene: Scene) -> None:
    scene.granted("orders", lifetime_seconds=10)
    scene.advance(12)


def let_go(scene: Scene) -> None:
    granted(scene)
    scene.telemetry.audiences["orders"].token_let_go()


@pytest.mark.parametrize(
    ("happened", "state", "usable", "expires_in_seconds"),
    [
        (nothing, "absent", False, None),
        (granted, "live", True, 540.0),
        (failing_before_the_first, "failing", False, None),
        (failing_with_a_token, "failing", True, 540.0),
        (failing_without, "failing", False, -60.0),
        (rejected, "rejected", False, 540.0),
        (rejected_and_failing, "failing", False, 540.0),
        (expired, "absent", False, -2.0),
        (let_go, "idle", False, None),
    ],
)
def test_an_audience_is_told_as_it_stands(
    happened: Callable[[Scene], None],
    state: str,
    expires_in_seconds: float | None,
    *,
    usable: bool,
) -> None:
    scene = Scene("orders")
    happened(scene)
    (audience,) = scene.json()["audiences"]
    assert (audience["state"], audience["usable"]) == (state, usable)
    assert audience["expires_in_seconds"] == expires_in_seconds


def test_a_failure_is_told_with_its_beginning_its_reason_and_what_to_do() -> None:
    scene = Scene("orders")
    scene.granted("orders")
    scene.advance(100)
    scene.failed("orders", "grant_refused")
    scene.advance(5)
    scene.failed("orders", "grant_refused")
    (audience,) = scene.json()["audiences"]
    assert audience["failing_since"] == WALL_AT_START + 100
    assert audience["consecutive_failures"] == 2
    assert audience["failing_with"] == "grant_refused"
    assert audience["advice"] == ADVICE["grant_refused"]
    assert audience["retry_at"] == WALL_AT_START + 113
    assert audience["last_success_at"] == WALL_AT_START
    assert audience["lifetime_seconds"] == 600.0


def test_a_clock_set_back_moves_the_end_with_it() -> None:
    scene = Scene("orders")
    scene.granted("orders")
    scene.set_by = -500.0
    (audience,) = scene.json()["audiences"]
    assert audience["expires_in_seconds"] == pytest.approx(600)
    assert audience["usable"]


def test_fetches_are_told_newest_first_and_twenty_at_most() -> None:
    scene = Scene("orders")
    for _ in range(24):
        scene.advance(1)
        scene.failed("orders")
    scene.advance(1)
    scene.granted("orders")
    fetches = scene.json()["fetches"]
    assert len(fetches) == 20
    assert fetches[0] == {
        "ended_at": WALL_AT_START + 25,
        "audience": "orders",
        "reason": "start",
        "result": "success",
        "duration_seconds": 0.25,
        "code": None,
    }
    assert fetches[1]["code"] == "authorization_server_unavailable"
    assert [each["ended_at"] for each in fetches] == sorted(
        (each["ended_at"] for each in fetches), reverse=True
    )


def test_an_upstream_is_told_with_the_last_minute_and_since_the_start() -> None:
    scene = Scene("orders")
    facts = scene.telemetry.upstreams["orders"]
    scene.requested("orders", *[0.02] * 50, status=404)
    facts.failed("upstream_timeout")
    facts.unauthorized("renewed_ok")
    for _ in range(13):
        scene.advance(5, sample=True)
    scene.requested("orders", *[0.2] * 120)
    facts.failed("overloaded")
    facts.unauthorized("passed")
    facts.in_flight, facts.connections_active, facts.connections_idle = 3, 2, 7
    orders = next(each for each in scene.json()["upstreams"] if each["upstream"] == "orders")
    zeros = dict.fromkeys(("1xx", "2xx", "3xx", "4xx", "5xx", "other"), 0)
    assert orders["requests_per_second"] == 2.0
    assert orders["requests_total"] == 170
    assert orders["codes"] == zeros | {"2xx": 120}
    assert orders["codes_total"] == zeros | {"2xx": 120, "4xx": 50}
    assert orders["errors"] == {"upstream_timeout": 1, "overloaded": 1}
    assert orders["errors_last_minute"] == {"overloaded": 1}
    assert orders["unauthorized"] == {"renewed_ok": 1, "renewed_still_401": 0, "passed": 1}
    assert orders["unauthorized_last_minute"] == {
        "renewed_ok": 0,
        "renewed_still_401": 0,
        "passed": 1,
    }
    assert orders["latency_seconds"] == pytest.approx({"p50": 0.175, "p90": 0.235, "p99": 0.2485})
    assert orders["requests_in_flight"] == 3
    assert orders["connections"] == {"active": 2, "idle": 7}


def test_without_requests_there_are_no_latencies() -> None:
    told = Scene("orders").json()["upstreams"]
    assert [each["upstream"] for each in told] == ["", "orders"]
    for each in told:
        assert each["latency_seconds"] == {"p50": None, "p90": None, "p99": None}


@pytest.mark.parametrize(
    ("listening", "draining", "state"),
    [(False, False, "starting"), (True, False, "serving"), (True, True, "draining")],
)
def test_the_process_is_told_as_it_stands(state: str, *, listening: bool, draining: bool) -> None:
    scene = Scene()
    scene.health.listening, scene.health.draining = listening, draining
    scene.advance(40)
    told = scene.json()
    assert told["state"] == state
    assert told["now"] - told["started_at"] == 40
    assert (told["listen"], told["admin"]) == (["127.0.0.1:8080"], "127.0.0.1:9090")
    assert (told["audiences"], told["fetches"]) == ([], [])


def test_a_reload_that_failed_is_told_with_its_problem() -> None:
    scene = Scene()
    facts = scene.telemetry.configuration
    facts.source = "token-proxy.yaml"
    facts.reloaded(sha256="ab" * 32, changed=[])
    scene.advance(7)
    facts.reload_failed("token-proxy.yaml:3:1: no such key", asked=True)
    told = scene.json()["configuration"]
    assert told == {
        "file": "token-proxy.yaml",
        "sha256": "ab" * 32,
        "loaded_at": WALL_AT_START,
        "last_reload_at": WALL_AT_START + 7,
        "last_reload_successful": False,
        "problem": "token-proxy.yaml:3:1: no such key",
    }


def test_what_the_authorization_server_said_is_not_told() -> None:
    scene = Scene("orders")
    scene.failed("orders")
    assert "canary" not in json.dumps(scene.json())
    assert "canary" not in scene.page()


def test_a_number_that_is_none_is_null_and_not_nan() -> None:
    scene = Scene("orders")
    scene.granted("orders", lifetime_seconds=float("inf"))
    (audience,) = scene.json()["audiences"]
    assert audience["expires_at"] is None
    assert audience["lifetime_seconds"] is None


def depth(value: Any) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0)
    return 0


def test_a_thousand_upstreams_are_all_told() -> None:
    names = tuple(f"upstream-{number}" for number in range(1000))
    told = Scene(*names, upstreams=names).json()
    assert [each["upstream"] for each in told["upstreams"]] == ["", *names]
    assert [each["audience"] for each in told["audiences"]] == list(names)
    assert depth(told) == 4
