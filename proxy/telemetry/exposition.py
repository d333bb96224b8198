"""The facts as Prometheus metrics, put together at scrape time.

Safe in a thread beside the event loop: it only reads, and copies each dict and list (in one step of
the interpreter) before it walks it. `docs/metrics.md` has a heading for each metric. No `_created`
series: they double the number of series for a reset that Prometheus sees anyway.
"""

from __future__ import annotations

import platform
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector as CollectorInterface

from proxy import __version__
from proxy.telemetry.upstream import OTHER, OTHER_STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.telemetry.audience import AudienceFacts
    from proxy.telemetry.facts import Telemetry
    from proxy.telemetry.histogram import Histogram
    from proxy.telemetry.upstream import UpstreamFacts


def registry(telemetry: Telemetry) -> CollectorRegistry:
    """Return a registry of our own, never the library's global one, with `process_*` beside."""
    own = CollectorRegistry()
    own.register(Collector(telemetry))
    ProcessCollector(registry=own)
    GCCollector(registry=own)
    return own


class Collector(CollectorInterface):
    """Yields every metric of this program; the values are those of the moment of the call."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def collect(self) -> Iterator[Metric]:
        """Yield the families, upstreams first; `""` only where it can ever count."""
        upstreams = list(self._telemetry.upstreams.copy().values())
        yield from _requests(upstreams)
        yield from _connections([facts for facts in upstreams if facts.name])
        audiences = list(self._telemetry.audiences.copy().values())
        yield from _tokens(audiences)
        yield from _fetches(audiences)
        yield from _token_times(audiences)
        yield from _process(self._telemetry)


def _requests(upstreams: list[UpstreamFacts]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "tokenproxy_requests",
        "Answers given to callers, by who made them.",
        labels=["upstream", "method", "code", "origin"],
    )
    for facts in upstreams:
        for (method, status, origin), count in facts.requests.copy().items():
            code = OTHER if status == OTHER_STATUS else str(status)
            requests.add_metric([facts.name, method, code, origin], count)
    yield requests
    yield _histogram(
        "tokenproxy_request_duration_seconds",
        "From a request's head to the last byte of its answer.",
        "upstream",
        {facts.name: facts.duration for facts in upstreams},
    )
    yield _histogram(
        "tokenproxy_upstream_response_seconds",
        "From the request sent to the head of the upstream's answer.",
        "upstream",
        {facts.name: facts.response for facts in upstreams if facts.name},
    )
    yield _gauge(
        "tokenproxy_requests_in_flight",
        "Requests whose answer is not over yet.",
        "upstream",
        {facts.name: facts.in_flight for facts in upstreams},
    )
    yield _counter(
        "tokenproxy_errors",
        "Answers of our own that tell of an error, by code.",
        ["upstream", "code"],
        {facts.name: facts.errors for facts in upstreams},
    )


def _connections(upstreams: list[UpstreamFacts]) -> Iterator[Metric]:
    yield _counter(
        "tokenproxy_upstream_unauthorized",
        "Answers 401 of the upstream to a token of ours, by what came of it.",
        ["upstream", "action"],
        {facts.name: facts.unauthorized_actions for facts in upstreams},
    )
    connections = GaugeMetricFamily(
        "tokenproxy_upstream_connections",
        "Open connections to the upstream.",
        labels=["upstream", "state"],
    )
    for facts in upstreams:
        connections.add_metric([facts.name, "active"], facts.connections_active)
        connections.add_metric([facts.name, "idle"], facts.connections_idle)
    yield connections
    yield _counter(
        "tokenproxy_upstream_connects",
        "Attempts to connect to the upstream, by how they ended.",
        ["upstream", "result"],
        {facts.name: facts.connects for facts in upstreams},
    )


def _tokens(audiences: list[AudienceFacts]) -> Iterator[Metric]:
    yield _counter(
        "tokenproxy_token_lookups",
        "Tokens asked for by requests, by where they came from.",
        ["audience", "result"],
        {
            facts.name: {
                "hit": facts.hits,
                "stale": facts.stale,
                "joined": facts.joined,
                "miss": facts.misses,
                "refused": facts.refused,
            }
            for facts in audiences
        },
    )
    yield _histogram(
        "tokenproxy_token_wait_seconds",
        "How long requests waited for a token that was not there.",
        "audience",
        {facts.name: facts.wait for facts in audiences},
    )
    yield _gauge(
        "tokenproxy_token_waiters",
        "Requests that wait for a token.",
        "audience",
        {facts.name: facts.waiters for facts in audiences},
    )


def _fetches(audiences: list[AudienceFacts]) -> Iterator[Metric]:
    yield _gauge(
        "tokenproxy_token_fetches_in_flight",
        "Token requests that are not answered yet.",
        "audience",
        {facts.name: facts.fetches_in_flight for facts in audiences},
    )
    fetches = CounterMetricFamily(
        "tokenproxy_token_fetches",
        "Token requests that are over, by why they were made and how they ended.",
        labels=["audience", "reason", "result"],
    )
    for facts in audiences:
        for (reason, result), count in facts.fetches.copy().items():
            fetches.add_metric([facts.name, reason, result], count)
    yield fetches
    yield _histogram(
        "tokenproxy_token_fetch_duration_seconds",
        "How long token requests took, failed ones too.",
        "audience",
        {facts.name: facts.fetch_duration for facts in audiences},
    )
    yield _gauge(
        "tokenproxy_token_consecutive_failures",
        "Token requests that failed since the last that did not.",
        "audience",
        {facts.name: facts.consecutive_failures for facts in audiences},
    )


def _token_times(audiences: list[AudienceFacts]) -> Iterator[Metric]:
    yield _gauge(
        "tokenproxy_token_expiry_timestamp_seconds",
        "When the token expires, or did; absent before the first and once it was let go.",
        "audience",
        {facts.name: facts.expires_at for facts in audiences},
    )
    yield _gauge(
        "tokenproxy_token_last_success_timestamp_seconds",
        "When the token was granted.",
        "audience",
        {facts.name: facts.last_success_at for facts in audiences},
    )
    yield _gauge(
        "tokenproxy_token_lifetime_seconds",
        "The token's lifetime as it was granted.",
        "audience",
        {facts.name: facts.lifetime_seconds for facts in audiences},
    )


def _process(telemetry: Telemetry) -> Iterator[Metric]:
    limits = CounterMetricFamily(
        "tokenproxy_limits_reached",
        "Requests refused because a bound was reached, by the bound.",
        labels=["limit"],
    )
    for limit, count in telemetry.limits_reached.copy().items():
        limits.add_metric([limit], count)
    yield limits
    yield GaugeMetricFamily(
        "tokenproxy_config_last_reload_successful",
        "1 if the configuration was good when it was last read, else 0.",
        value=int(telemetry.configuration.last_reload_successful),
    )
    yield GaugeMetricFamily(
        "tokenproxy_config_last_reload_success_timestamp_seconds",
        "When the configuration in use was read.",
        value=telemetry.configuration.last_reload_success_at,
    )
    yield GaugeMetricFamily(
        "tokenproxy_event_loop_lag_seconds",
        "How much too late the event loop last came to a timer.",
        value=telemetry.event_loop_lag_seconds,
    )
    build = GaugeMetricFamily(
        "tokenproxy_build_info",
        "What runs here; always 1.",
        labels=["version", "python"],
    )
    build.add_metric([__version__, platform.python_version()], 1)
    yield build


def _counter(
    name: str, documentation: str, labels: list[str], counts: Mapping[str, dict[str, int]]
) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for owner, by_label in counts.items():
        for value, count in by_label.copy().items():
            family.add_metric([owner, value], count)
    return family


def _gauge(name: str, documentation: str, label: str, values: Mapping[str, float | None]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for owner, value in values.items():
        if value is not None:
            family.add_metric([owner], value)
    return family


def _histogram(
    name: str, documentation: str, label: str, histograms: Mapping[str, Histogram]
) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=[label])
    for owner, histogram in histograms.items():
        total = histogram.total
        bounds = (*map(str, histogram.bounds), "+Inf")
        buckets = list(zip(bounds, accumulate(histogram.counts.copy()), strict=True))
        family.add_metric([owner], buckets, total)
    return family
