"""`proxy.telemetry.scrape`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from proxy.telemetry.exposition import registry
from proxy.telemetry.scrape import OPENMETRICS, TEXT, render

if TYPE_CHECKING:
    from proxy.telemetry.facts import Telemetry

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", TEXT),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1,text/plain;q=0.5", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.9", TEXT),
        ("application/openmetrics-text;q=nonsense", TEXT),
        ("application/openmetrics-text;version=nonsense", TEXT),
        (",;=,;;", TEXT),
    ],
)
def test_the_format_is_what_the_scraper_reads_best(
    telemetry: Telemetry, accept: str, media_type: str
) -> None:
    page, given = render(registry(telemetry), accept)
    assert given == media_type
    assert page.endswith(b"# EOF\n") is (media_type == OPENMETRICS)


def test_openmetrics_is_valid_and_says_the_same(telemetry: Telemetry) -> None:
    telemetry.upstreams["orders"].request_finished("GET", 200, "upstream", 0.1)
    page, _ = render(registry(telemetry), "application/openmetrics-text")
    families = {f.name: f for f in text_string_to_metric_families(page.decode())}
    counted = [s for s in families["tokenproxy_requests"].samples if s.value]
    (sample,) = counted
    assert sample.labels == {
        "upstream": "orders", "method": "GET", "code": "200", "origin": "upstream",
    }  # fmt: skip
