"""`proxy.telemetry.last_minute`."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest

from proxy.errors import Fault
from proxy.telemetry.facts import Telemetry
from proxy.telemetry.histogram import REQUEST_BOUNDS, Histogram
from proxy.telemetry.last_minute import CLASSES, LastMinute, Traffic, percentile
from proxy.telemetry.log import Log


class Watched:
    """One upstream, and samples of it by a clock in our hands."""

    def __init__(self, upstreams: int = 1) -> None:
        self.now = 0.0
        log = Log(format="json", level="error", access="off", stream=io.StringIO(), wall=self.clock)
        names = ["orders", *(f"other-{number}" for number in range(upstreams - 1))]
        self.telemetry = Telemetry(
            upstreams=names, audiences=[], log=log, wall=self.clock, monotonic=self.clock
        )
        self.minute = LastMinute(self.telemetry, clock=self.clock)
        self.sample()

    def clock(self) -> float:
        return self.now

    def sample(self, at: float | None = None) -> None:
        self.now = self.now if at is None else at
        for _ in self.minute.sampling():
            pass

    def request(self, number: int = 1, status: int = 200, seconds: float = 0.02) -> None:
        facts = self.telemetry.upstreams["orders"]
        for _ in range(number):
            facts.request_finished("GET", status, "upstream", seconds)

    def traffic(self) -> Traffic:
        return self.minute.since(self.telemetry.upstreams["orders"])


def test_what_nobody_asked_for_is_all_zero() -> None:
    watched = Watched()
    watched.sample(30.0)
    traffic = watched.traffic()
    assert traffic.requests_per_second == 0
    assert set(traffic.codes.values()) == {0}
    assert set(traffic.durations) == {0}


def test_the_rate_is_over_the_time_that_passed() -> None:
    watched = Watched()
    watched.now = 20.0
    watched.request(100)
    assert watched.traffic().requests_per_second == 5.0


def test_just_after_the_start_a_few_requests_are_no_high_rate() -> None:
    watched = Watched()
    watched.now = 0.01
    watched.request(10)
    assert watched.traffic().requests_per_second == 2.0


def test_what_is_older_than_a_minute_no_longer_counts() -> None:
    watched = Watched()
    watched.request(100)
    for at in range(5, 65, 5):
        watched.sample(float(at))
        assert watched.traffic().requests == 100
    watched.request(6)
    watched.sample(65.0)
    assert watched.traffic().requests == 6
    assert watched.traffic().seconds == 60.0
    assert watched.traffic().codes_total["2xx"] == 106


def test_a_stalled_loop_does_not_lose_the_window() -> None:
    watched = Watched()
    watched.request(50)
    watched.sample(100.0)
    assert (watched.traffic().requests, watched.traffic().seconds) == (50, 100.0)


@pytest.mark.parametrize(
    ("status", "counted"),
    [(101, "1xx"), (200, "2xx"), (304, "3xx"), (499, "4xx"), (503, "5xx"), (42, "other")],
)
def test_answers_count_by_class(status: int, counted: str) -> None:
    watched = Watched()
    watched.request(3, status)
    expected = dict.fromkeys(CLASSES, 0) | {counted: 3}
    assert watched.traffic().codes == expected
    assert watched.traffic().codes_total == expected


def test_errors_and_401s_count_beside_requests() -> None:
    watched = Watched()
    facts = watched.telemetry.upstreams["orders"]
    facts.failed("overloaded")
    facts.unauthorized("passed")
    assert watched.traffic().errors == {each.value: 0 for each in Fault} | {"overloaded": 1}
    assert watched.traffic().unauthorized["passed"] == 1
    # Nothing finished in between, and still the next sample knows them.
    for at in (30.0, 65.0, 95.0):
        watched.sample(at)
    assert watched.traffic().errors["overloaded"] == 0
    assert watched.traffic().unauthorized["passed"] == 0


def test_an_upstream_that_came_with_a_reload_begins_at_zero() -> None:
    watched = Watched()
    watched.request(9)
    watched.sample(10.0)
    watched.telemetry.upstreams["orders"] = watched.telemetry.upstream("orders")
    watched.request(20)
    assert watched.traffic().requests == 20
    new = watched.telemetry.upstreams["new"] = watched.telemetry.upstream("new")
    new.request_finished("GET", 200, "upstream", 0.1)
    assert watched.minute.since(new).requests == 1
    del watched.telemetry.upstreams["new"]
    watched.sample(15.0)
    assert watched.minute.since(new).requests == 1


def test_the_rate_of_an_upstream_that_came_with_a_reload_is_since_then() -> None:
    watched = Watched()
    for at in (10.0, 20.0, 30.0, 40.0):
        watched.sample(at)
    new = watched.telemetry.upstreams["new"] = watched.telemetry.upstream("new")
    for at in (45.0, 50.0):
        watched.sample(at)
        for _ in range(50):
            new.request_finished("GET", 200, "upstream", 0.1)
    # 100 since the sample at 40, when it was not there yet.
    assert watched.minute.since(new).requests_per_second == 10.0


def test_without_a_sample_everything_counts() -> None:
    watched = Watched()
    fresh = LastMinute(watched.telemetry, clock=watched.clock)
    watched.request(2)
    assert fresh.since(watched.telemetry.upstreams["orders"]).requests == 2


def test_a_sample_of_many_upstreams_lets_the_event_loop_get_on() -> None:
    watched = Watched(upstreams=1000)
    assert len(list(watched.minute.sampling())) >= 1000 // 20


def counts(*seconds: float) -> list[int]:
    histogram = Histogram(REQUEST_BOUNDS)
    for each in seconds:
        histogram.observe(each)
    return histogram.counts


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile(REQUEST_BOUNDS, counts(), 0.5) is None


@pytest.mark.parametrize(
    ("seconds", "fraction", "expected"),
    [
        # Two in (0.01, 0.025]: the median is in the bucket's middle.
        ([0.02, 0.02], 0.5, 0.0175),
        ([0.02, 0.02], 1.0, 0.025),
        ([0.001] * 4, 0.5, 0.0025),
        ([0.001] * 9 + [7.0], 0.9, 0.005),
        ([0.001] * 9 + [7.0], 0.95, 7.5),
        # Beyond the last bound nothing is known but that.
        ([31.0], 0.5, 30.0),
        ([0.001, 3600.0], 0.99, 30.0),
    ],
)
def test_percentiles_are_interpolated_as_promql_does(
    seconds: list[float], fraction: float, expected: float
) -> None:
    assert percentile(REQUEST_BOUNDS, counts(*seconds), fraction) == pytest.approx(expected)


def test_a_higher_percentile_is_never_less() -> None:
    observed = counts(*(0.0007 * number**2 for number in range(200)))
    fractions = [number / 100 for number in range(1, 101)]
    values = [percentile(REQUEST_BOUNDS, observed, each) or 0.0 for each in fractions]
    assert all(one <= other for one, other in pairwise(values))
