"""`proxy.telemetry.exposition`: what a scraper sees, read back with the library's own parser."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import prometheus_client
import pytest
from integration.foreign_server import require
from prometheus_client.parser import text_string_to_metric_families

from proxy import __version__
from proxy.errors import Fault
from proxy.telemetry.exposition import registry
from proxy.telemetry.scrape import render

if TYPE_CHECKING:
    from conftest import Clock

    from proxy.telemetry.facts import Telemetry

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def page_of(telemetry: Telemetry) -> str:
    return render(registry(telemetry), "")[0].decode()


def samples_of(telemetry: Telemetry) -> Samples:
    families = text_string_to_metric_families(page_of(telemetry))
    found: Samples = {}
    for sample in (sample for family in families for sample in family.samples):
        key = (sample.name, frozenset(sample.labels.items()))
        assert key not in found
        found[key] = sample.value
    return found


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return samples_of(telemetry).get((name, frozenset(labels.items())))


def label_sets(telemetry: Telemetry, name: str) -> list[dict[str, str]]:
    return [dict(labels) for found, labels in samples_of(telemetry) if found == name]


def test_every_counter_and_histogram_is_there_from_the_start_and_stands_at_zero(
    telemetry: Telemetry,
) -> None:
    families = [
        family
        for family in text_string_to_metric_families(page_of(telemetry))
        if family.name.startswith("tokenproxy_") and family.type in {"counter", "histogram"}
    ]
    assert len(families) == 11
    for family in families:
        assert family.samples
        assert {sample.value for sample in family.samples} == {0.0}


def test_every_error_code_is_there_for_every_upstream_and_for_none(telemetry: Telemetry) -> None:
    found = label_sets(telemetry, "tokenproxy_errors_total")
    assert len(found) == 3 * len(Fault)
    for name in ("", "orders", "stock"):
        assert {s["code"] for s in found if s["upstream"] == name} == {f.value for f in Fault}


def test_the_likely_requests_are_there_from_the_start(telemetry: Telemetry) -> None:
    found = label_sets(telemetry, "tokenproxy_requests_total")
    orders = [s for s in found if s["upstream"] == "orders"]
    assert {s["method"] for s in orders if s["code"] == "200" and s["origin"] == "upstream"} == {
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE",
    }  # fmt: skip
    ours = {(s["method"], s["code"]) for s in orders if s["origin"] == "proxy"}
    assert ours == {(m, c) for m in ("GET", "POST") for c in ("502", "503", "504")}
    assert {s["origin"] for s in found if not s["upstream"]} == {"proxy"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tokenproxy_upstream_unauthorized_total", 2 * 3),
        ("tokenproxy_upstream_connections", 2 * 2),
        ("tokenproxy_upstream_connects_total", 2 * 6),
        ("tokenproxy_token_lookups_total", 5),
        ("tokenproxy_token_fetches_total", 4 * 6),
        ("tokenproxy_requests_in_flight", 3),
        ("tokenproxy_request_duration_seconds_bucket", 3 * 13),
        ("tokenproxy_upstream_response_seconds_bucket", 2 * 13),
        ("tokenproxy_token_wait_seconds_bucket", 13),
        ("tokenproxy_token_fetch_duration_seconds_bucket", 12),
        ("tokenproxy_token_waiters", 1),
        ("tokenproxy_token_fetches_in_flight", 1),
        ("tokenproxy_token_consecutive_failures", 1),
    ],
)
def test_label_sets_are_complete(telemetry: Telemetry, name: str, expected: int) -> None:
    assert len(label_sets(telemetry, name)) == expected


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("request_duration", ".005 .01 .025 .05 .1 .25 .5 1 2.5 5 10 30"),
        ("upstream_response", ".005 .01 .025 .05 .1 .25 .5 1 2.5 5 10 30"),
        ("token_wait", ".001 .005 .01 .025 .05 .1 .25 .5 1 2.5 5 10"),
        ("token_fetch_duration", ".01 .025 .05 .1 .25 .5 1 2.5 5 10 30"),
    ],
)
def test_buckets_are_the_documented_ones(telemetry: Telemetry, name: str, bounds: str) -> None:
    found = label_sets(telemetry, f"tokenproxy_{name}_seconds_bucket")
    assert {float(s["le"]) for s in found} == {*map(float, bounds.split()), float("inf")}


def test_buckets_are_cumulative_and_end_at_the_count(telemetry: Telemetry) -> None:
    orders = telemetry.upstreams["orders"]
    for seconds in (0.001, 0.007, 0.3, 99.0):
        orders.request_finished("GET", 200, "upstream", seconds)
    name = "tokenproxy_request_duration_seconds"
    at = {le: value(telemetry, f"{name}_bucket", upstream="orders", le=le)
          for le in ("0.005", "0.01", "0.25", "0.5", "30.0", "+Inf")}  # fmt: skip
    assert list(at.values()) == [1, 2, 2, 3, 3, 4]
    assert value(telemetry, f"{name}_count", upstream="orders") == 4
    assert value(telemetry, f"{name}_sum", upstream="orders") == pytest.approx(99.308)


def test_what_was_counted_is_what_is_shown(telemetry: Telemetry) -> None:
    orders = telemetry.upstreams["orders"]
    orders.request_finished("BREW", 999, "upstream", 0.1)
    orders.in_flight = 3
    orders.connections_idle = 2
    orders.connected("tls")
    orders.unauthorized("passed")
    telemetry.upstreams[""].failed("no_route")
    shown = samples_of(telemetry)

    def at(name: str, **labels: str) -> float:
        return shown[f"tokenproxy_{name}", frozenset(labels.items())]

    request = {"method": "_OTHER", "code": "_OTHER", "origin": "upstream"}
    assert at("requests_total", upstream="orders", **request) == 1
    assert at("requests_in_flight", upstream="orders") == 3
    assert at("upstream_connections", upstream="orders", state="idle") == 2
    assert at("upstream_connects_total", upstream="orders", result="tls") == 1
    assert at("upstream_unauthorized_total", upstream="orders", action="passed") == 1
    assert at("errors_total", upstream="", code="no_route") == 1


def test_lookups_are_shown_by_where_the_token_came_from(telemetry: Telemetry) -> None:
    facts = telemetry.audiences["orders"]
    facts.hits, facts.stale, facts.joined, facts.misses, facts.refused = 1, 2, 3, 4, 5
    shown = {
        result: value(telemetry, "tokenproxy_token_lookups_total", audience="orders", result=result)
        for result in ("hit", "stale", "joined", "miss", "refused")
    }
    assert list(shown.values()) == [1, 2, 3, 4, 5]


def token_times(telemetry: Telemetry) -> list[float | None]:
    return [
        value(telemetry, f"tokenproxy_token_{name}_seconds", audience="orders")
        for name in ("expiry_timestamp", "last_success_timestamp", "lifetime")
    ]


def test_times_of_a_token_are_absent_until_known_stay_after_expiry_and_go_with_it(
    telemetry: Telemetry, clock: Clock
) -> None:
    facts = telemetry.audiences["orders"]
    assert token_times(telemetry) == [None, None, None]
    facts.token_granted(reason="start", seconds=0.1, lifetime_seconds=60.0, expires_in_seconds=59.5)
    granted = [clock.wall() + 59.5, clock.wall(), 60.0]
    assert token_times(telemetry) == granted
    clock.advance(3600)
    assert token_times(telemetry) == granted
    facts.token_let_go()
    assert token_times(telemetry) == [None, None, None]


def test_the_process_tells_its_build_and_its_configuration(
    telemetry: Telemetry, clock: Clock
) -> None:
    build = {"version": __version__, "python": platform.python_version()}
    assert value(telemetry, "tokenproxy_build_info", **build) == 1
    name = "tokenproxy_config_last_reload"
    assert value(telemetry, f"{name}_successful") == 1
    assert value(telemetry, f"{name}_success_timestamp_seconds") == clock.wall()
    telemetry.configuration.problem = "wrong"
    telemetry.event_loop_lag_seconds = 0.25
    assert value(telemetry, f"{name}_successful") == 0
    assert value(telemetry, "tokenproxy_event_loop_lag_seconds") == 0.25


def test_process_and_collector_metrics_stand_beside(telemetry: Telemetry) -> None:
    names = {name for name, _ in samples_of(telemetry)}
    assert "python_gc_collections_total" in names
    if sys.platform == "linux":
        assert {"process_resident_memory_bytes", "process_open_fds"} <= names


def test_there_are_no_created_series(telemetry: Telemetry) -> None:
    assert not [name for name, _ in samples_of(telemetry) if name.endswith("_created")]


def test_the_global_registry_is_left_alone(telemetry: Telemetry) -> None:
    before = {family.name for family in prometheus_client.REGISTRY.collect()}
    page_of(telemetry)
    assert {family.name for family in prometheus_client.REGISTRY.collect()} == before
    assert not [name for name in before if name.startswith("tokenproxy_")]


def test_a_name_with_quotes_and_backslashes_keeps_the_page_readable(telemetry: Telemetry) -> None:
    odd = 'a"b\\c\nd'
    telemetry.upstreams[odd] = telemetry.upstreams.pop("stock")
    telemetry.upstreams[odd].name = odd
    assert value(telemetry, "tokenproxy_requests_in_flight", upstream=odd) == 0


def test_a_scrape_in_a_thread_survives_counting_meanwhile(telemetry: Telemetry) -> None:
    # 5,400 label sets come into being while the page is rendered again and again.
    own = registry(telemetry)
    over = threading.Event()
    trouble: list[BaseException] = []
    pages: list[bytes] = []

    def scrape() -> None:
        try:
            while not over.is_set() or not pages:
                pages.append(render(own, "")[0])
        except RuntimeError as error:
            trouble.append(error)

    thread = threading.Thread(target=scrape)
    thread.start()
    orders = telemetry.upstreams["orders"]
    for status in range(100, 600):
        for method in ("GET", "PUT", "POST", "HEAD", "TRACE"):
            orders.request_finished(method, status, "upstream", 0.1)
    over.set()
    thread.join()
    assert trouble == []
    assert pages


def test_promtool_has_nothing_to_complain_about(telemetry: Telemetry) -> None:
    promtool = shutil.which("promtool")
    require(promtool, "promtool is not installed")
    assert promtool is not None
    page = page_of(telemetry)
    # The names of `process_*` and `python_gc_*` are the client library's.
    ours = [line for line in page.splitlines() if "tokenproxy_" in line]
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input="\n".join([*ours, ""]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
