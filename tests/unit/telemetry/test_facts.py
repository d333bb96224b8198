"""`proxy.telemetry.facts`: one method per fact moves metric and log together."""

from __future__ import annotations

import math
import random
import string
from typing import TYPE_CHECKING, Any

import pytest

from proxy.errors import Fault
from proxy.telemetry.upstream import METHODS, OTHER, UpstreamFacts

if TYPE_CHECKING:
    from conftest import Clock, Lines

    from proxy.telemetry.audience import AudienceFacts
    from proxy.telemetry.facts import Telemetry

GRANTED: dict[str, Any] = {
    "reason": "renewal",
    "seconds": 0.2,
    "lifetime_seconds": 3600.0,
    "expires_in_seconds": 3599.0,
}
FAILED: dict[str, Any] = {
    "reason": "renewal",
    "result": "unavailable",
    "seconds": 0.2,
    "code": "authorization_server_unavailable",
    "detail": "connection refused",
    "retry_in_seconds": 1.0,
    "live_for_seconds": 900.0,
}
NO_TOKEN = FAILED | {"live_for_seconds": None}


@pytest.fixture
def orders(telemetry: Telemetry) -> UpstreamFacts:
    return telemetry.upstreams["orders"]


@pytest.fixture
def audience(telemetry: Telemetry) -> AudienceFacts:
    return telemetry.audiences["orders"]


def test_there_are_facts_for_what_is_answered_before_an_upstream_is_known(
    telemetry: Telemetry,
) -> None:
    assert list(telemetry.upstreams) == ["", "orders", "stock"]


def test_a_finished_request_is_counted_by_method_status_and_origin(orders: UpstreamFacts) -> None:
    orders.request_finished("GET", 200, "upstream", 0.3)
    orders.request_finished("GET", 200, "upstream", 0.3)
    orders.request_finished("OPTIONS", 418, "upstream", 0.3)
    assert orders.requests["GET", 200, "upstream"] == 2
    assert orders.requests["OPTIONS", 418, "upstream"] == 1
    assert sum(orders.duration.counts) == 3


def test_a_thousand_methods_of_a_hostile_caller_are_one_series(orders: UpstreamFacts) -> None:
    chance = random.Random(7)
    letters = string.ascii_letters + string.digits + "-_!#$%&'*+.^`|~"
    before = set(orders.requests)
    methods = {"".join(chance.choices(letters, k=chance.randint(1, 40))) for _ in range(1000)}
    methods -= METHODS
    for method in methods:
        orders.request_finished(method, 200, "upstream", 0.1)
    assert set(orders.requests) - before == {(OTHER, 200, "upstream")}
    assert orders.requests[OTHER, 200, "upstream"] == len(methods)


def test_methods_are_case_sensitive(orders: UpstreamFacts) -> None:
    orders.request_finished("get", 200, "upstream", 0.1)
    assert orders.requests[OTHER, 200, "upstream"] == 1
    assert orders.requests["GET", 200, "upstream"] == 0


def test_statuses_that_no_registry_knows_are_one_series(orders: UpstreamFacts) -> None:
    before = set(orders.requests)
    for status in (*range(100), *range(600, 1000)):
        orders.request_finished("GET", status, "upstream", 0.1)
    assert len(set(orders.requests) - before) == 1


def test_every_code_can_be_counted_and_no_other(orders: UpstreamFacts) -> None:
    for fault in Fault:
        orders.failed(fault.value)
    assert set(orders.errors.values()) == {1}
    with pytest.raises(KeyError):
        orders.failed("made_up")


def test_a_401_is_counted_by_what_came_of_it(orders: UpstreamFacts) -> None:
    orders.unauthorized("renewed_ok")
    assert orders.unauthorized_actions == {"renewed_ok": 1, "renewed_still_401": 0, "passed": 0}


def test_a_401_that_a_fresh_token_did_not_mend_is_logged_once_a_minute_with_what_to_look_at(
    orders: UpstreamFacts, clock: Clock, lines: Lines
) -> None:
    orders.unauthorized("renewed_ok")
    for _ in range(61):
        orders.unauthorized("renewed_still_401")
        orders.unauthorized("passed")
        clock.advance(1)
    told = [
        (e["event"], e["level"], e["upstream"], e["action"], e["times"]) for e in lines.events()
    ]
    assert told == [
        ("upstream_unauthorized", "warning", "orders", action, times)
        for times in (1, 61)
        for action in ("renewed_still_401", "passed")
    ]
    for event in lines.events():
        assert all(word in event["message"] for word in ("audience", "scope", "clocks"))


def test_why_an_upstream_cannot_be_reached_is_in_the_log(
    orders: UpstreamFacts, lines: Lines
) -> None:
    orders.connected("tls", "certificate has expired at 10.0.0.1:443")
    (event,) = lines.events()
    assert (event["result"], event["detail"]) == ("tls", "certificate has expired at 10.0.0.1:443")


def test_an_upstream_that_cannot_be_reached_is_logged_once_until_it_can(
    orders: UpstreamFacts, clock: Clock, lines: Lines
) -> None:
    for _ in range(90):
        orders.connected("refused")
        clock.advance(1)
    orders.connected("success")
    assert [(e["event"], e["failures"]) for e in lines.events()] == [
        ("upstream_connect_failed", 1),
        ("upstream_connect_failed", 61),
        ("upstream_connect_recovered", 90),
    ]
    assert orders.connects["refused"] == 90
    assert orders.connects["success"] == 1


def test_an_upstream_that_can_be_reached_is_not_logged(orders: UpstreamFacts, lines: Lines) -> None:
    orders.connected("success")
    assert lines.events() == []


def test_the_first_token_is_news_and_the_next_ones_are_not(
    audience: AudienceFacts, lines: Lines
) -> None:
    audience.token_granted(**GRANTED | {"reason": "start"})
    audience.token_granted(**GRANTED)
    assert [e["level"] for e in lines.events()] == ["info", "debug"]
    assert (
        lines.events()[0] | {"audience": "orders", "lifetime_seconds": 3600.0}
        == (lines.events()[0])
    )


def test_a_granted_token_tells_its_times(audience: AudienceFacts, clock: Clock) -> None:
    audience.token_granted(**GRANTED)
    assert audience.last_success_at == clock.wall()
    assert audience.expires_at == clock.wall() + 3599.0
    assert audience.lifetime_seconds == 3600.0
    clock.advance(3600)
    assert audience.expires_in_seconds == -1.0


def test_failures_are_logged_when_they_begin_once_a_minute_and_when_they_end(
    audience: AudienceFacts, clock: Clock, lines: Lines
) -> None:
    audience.token_granted(**GRANTED)
    for _ in range(70):
        audience.fetch_failed(**FAILED)
        clock.advance(1)
    audience.token_granted(**GRANTED)
    told = [(e["event"], e["level"], e.get("failures")) for e in lines.events()]
    assert told == [
        ("token_granted", "info", None),
        ("token_fetch_failed", "warning", 1),
        ("token_fetch_failed", "warning", 61),
        ("token_granted", "info", 70),
    ]
    assert "lives for 900 s" in lines.events()[1]["message"]
    assert lines.events()[1]["detail"] == "connection refused"


def test_that_the_old_token_has_lapsed_is_said_at_once_and_once(
    audience: AudienceFacts, clock: Clock, lines: Lines
) -> None:
    for left in (2.0, 1.0, 0.0, None, None):
        audience.fetch_failed(**FAILED | {"live_for_seconds": left})
        clock.advance(1)
    told = [(e["level"], e["failures"]) for e in lines.events()]
    assert told == [("warning", 1), ("error", 3)]
    assert "live_for_seconds" not in lines.events()[1]


def test_another_cause_is_said_at_once_and_the_same_again_is_not(
    audience: AudienceFacts, clock: Clock, lines: Lines
) -> None:
    refused = NO_TOKEN | {"result": "refused", "code": "grant_refused", "detail": "invalid_client"}
    for failure in (NO_TOKEN, NO_TOKEN, refused, refused, NO_TOKEN):
        audience.fetch_failed(**failure)
        clock.advance(1)
    assert [(e["code"], e["failures"]) for e in lines.events()] == [
        ("authorization_server_unavailable", 1),
        ("grant_refused", 3),
        ("authorization_server_unavailable", 5),
    ]


def test_failures_count_in_a_row_and_a_token_ends_them(audience: AudienceFacts) -> None:
    audience.fetch_failed(**NO_TOKEN)
    audience.fetch_failed(**NO_TOKEN | {"result": "timeout"})
    assert audience.consecutive_failures == 2
    assert audience.fetches["renewal", "unavailable"] == 1
    assert audience.fetches["renewal", "timeout"] == 1
    audience.token_granted(**GRANTED)
    assert audience.consecutive_failures == 0
    assert audience.fetches["renewal", "success"] == 1
    assert sum(audience.fetch_duration.counts) == 3


def test_a_second_outage_is_news_again(audience: AudienceFacts, lines: Lines) -> None:
    for _ in range(2):
        audience.fetch_failed(**NO_TOKEN)
        audience.token_granted(**GRANTED)
    assert lines.names() == ["token_fetch_failed", "token_granted"] * 2
    assert [e["level"] for e in lines.events()] == ["error", "info"] * 2


def test_the_state_follows_the_token(audience: AudienceFacts, clock: Clock) -> None:
    states = [audience.state]
    audience.token_granted(**GRANTED)
    states.append(audience.state)
    audience.fetch_failed(**FAILED)
    states.append(audience.state)
    audience.token_let_go()
    states.append(audience.state)
    audience.token_granted(**GRANTED)
    states.append(audience.state)
    clock.advance(3600)
    states.append(audience.state)
    assert states == ["absent", "live", "failing", "idle", "live", "absent"]


def test_a_token_that_was_rejected_is_not_called_live(audience: AudienceFacts) -> None:
    states = []
    for next_step in (
        lambda: audience.token_granted(**GRANTED),
        lambda: audience.fetch_failed(**FAILED),
        audience.token_let_go,
    ):
        audience.token_granted(**GRANTED)
        audience.token_rejected()
        states.append(audience.state)
        next_step()
        states.append(audience.state)
    assert states == ["rejected", "live", "rejected", "failing", "rejected", "idle"]


def test_a_token_let_go_leaves_no_time_and_no_failure_behind(
    audience: AudienceFacts, lines: Lines
) -> None:
    audience.token_granted(**GRANTED)
    audience.fetch_failed(**FAILED)
    audience.token_let_go()
    assert audience.expires_at is audience.last_success_at is audience.lifetime_seconds is None
    assert math.isnan(audience.expires_in_seconds)
    assert audience.consecutive_failures == 0
    assert audience.has_had_token
    audience.token_granted(**GRANTED)
    assert lines.names()[-2:] == ["token_let_go", "token_granted"]
    assert lines.events()[-1]["level"] == "info"
    assert "failures" not in lines.events()[-1]


def test_a_hundred_401_at_once_are_one_line(audience: AudienceFacts, lines: Lines) -> None:
    for _ in range(100):
        audience.token_rejected()
    (event,) = lines.events()
    assert (event["level"], event["event"], event["audience"], event["times"]) == (
        "warning",
        "token_rejected",
        "orders",
        1,
    )


def test_odd_answers_are_folded_each_by_its_kind(
    audience: AudienceFacts, clock: Clock, lines: Lines
) -> None:
    for _ in range(3):
        audience.warn("expires_in_unreadable", "taken as absent")
        audience.warn("scope_differs", "less than asked for")
    clock.advance(60)
    audience.warn("scope_differs", "less than asked for")
    assert lines.names() == ["expires_in_unreadable", "scope_differs", "scope_differs"]
