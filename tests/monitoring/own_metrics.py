"""What this program exposes, as a query names it: series, their labels, the values these take.

Read from the exposition itself, so that a query on a metric, a label or a value that does not exist
(any more) is found here, and not at three in the morning.
"""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from proxy.telemetry.exposition import registry
from proxy.telemetry.facts import Telemetry
from proxy.telemetry.log import Log
from proxy.telemetry.scrape import render

if TYPE_CHECKING:
    from collections.abc import Mapping

TARGET_LABELS = frozenset({"job", "instance"})
"""What Prometheus puts on each series of a target."""


@cache
def own_series() -> Mapping[str, Mapping[str, frozenset[str]]]:
    """Return series → label → values: `tokenproxy_errors_total` → `code` → `no_route`.

    A histogram is its three series. There is one upstream, `orders`, beside `""`, and one audience,
    `orders`, which has a token, so that every gauge that is absent until known is there.
    """
    log = Log(format="json", level="error", access="off", stream=io.StringIO(), wall=lambda: 0.0)
    telemetry = Telemetry(
        upstreams=["orders"], audiences=["orders"], log=log, wall=lambda: 0.0, monotonic=lambda: 0.0
    )
    telemetry.audiences["orders"].token_granted(
        reason="start", seconds=0.1, lifetime_seconds=60.0, expires_in_seconds=59.0
    )
    page, _ = render(registry(telemetry), "")
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return {
        name: {label: frozenset(values) for label, values in labels.items()}
        for name, labels in found.items()
    }


def own_counters() -> frozenset[str]:
    """Return the series that only grow: counters, and a histogram's three."""
    return frozenset(
        name for name in own_series() if name.endswith(("_total", "_bucket", "_sum", "_count"))
    )
