"""A scrape: the format that the scraper can read, and the metrics in it.

Meant to run in a thread of its own. Rendering holds the interpreter's lock, so it pauses every few
lines for the event loop to get on; without that each turn of the loop would wait for the switch
interval, 5 ms, for as long as a scrape lasts.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client.exposition import generate_latest as text
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.samples import Sample

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_LINES_BETWEEN_PAUSES = 50
# Long enough for a waiting thread to wake up and take the lock; zero seconds are not.
_PAUSE_SECONDS = 0.0002


def render(registry: Collector, accept: str) -> tuple[bytes, str]:
    """Return the exposition and its media type for a scraper that sent `Accept: accept`."""
    if _wants_openmetrics(accept):
        page: bytes = openmetrics(_Unhurried(registry))  # type: ignore[no-untyped-call]
        return page, OPENMETRICS
    return text(_Unhurried(registry)), TEXT


def _wants_openmetrics(accept: str) -> bool:
    # Ours is version 1.0.0; a scraper that names an older one only is served the text format.
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for item in accept.split(","):
        media_type, *rest = (part.strip().lower() for part in item.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest)
        if media_type not in weights:
            continue
        if "openmetrics" in media_type and not parameters.get("version", "1.").startswith("1."):
            continue
        try:
            weight = float(parameters.get("q", "1"))
        except ValueError:
            weight = 0.0
        weights[media_type] = max(weights[media_type], weight)
    return 0 < weights["application/openmetrics-text"] >= weights["text/plain"]


class _Unhurried(Collector):
    """The same metrics, with a pause every few samples of them."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._lines = 0

    def collect(self) -> Iterator[Metric]:
        for metric in self._collector.collect():
            unhurried = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            # The formatters only iterate over it, once.
            unhurried.samples = self._paused(metric.samples)  # type: ignore[assignment]
            yield unhurried

    def _paused(self, samples: list[Sample]) -> Iterator[Sample]:
        for sample in samples:
            self._lines += 1
            if self._lines % _LINES_BETWEEN_PAUSES == 0:
                time.sleep(_PAUSE_SECONDS)
            yield sample
