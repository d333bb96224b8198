"""docs/metrics.md and the running exposition have the same metrics, types and labels."""

from __future__ import annotations

import io
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from proxy.telemetry.exposition import registry
from proxy.telemetry.facts import Telemetry
from proxy.telemetry.log import Log
from proxy.telemetry.scrape import render

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### `(tokenproxy_\w+)`\n\n(.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)


def exposed() -> dict[str, tuple[str, frozenset[str]]]:
    """Return type and label names of each metric, by its name as a query has it."""
    log = Log(format="json", level="error", access="off", stream=io.StringIO(), wall=lambda: 0.0)
    telemetry = Telemetry(
        upstreams=["one"], audiences=["one"], log=log, wall=lambda: 0.0, monotonic=lambda: 0.0
    )
    telemetry.audiences["one"].token_granted(
        reason="start", seconds=0.1, lifetime_seconds=60.0, expires_in_seconds=59.0
    )
    page, _ = render(registry(telemetry), "")
    found = {}
    for family in text_string_to_metric_families(page.decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = frozenset(label for sample in family.samples for label in sample.labels)
        found[name] = (family.type, labels - {"le"})
    return found


def test_each_metric_has_its_heading_and_each_heading_its_metric() -> None:
    ours = {name for name in exposed() if name.startswith("tokenproxy_")}
    assert {name for name, _ in SECTION.findall(PAGE)} == ours


def test_each_heading_is_followed_by_type_and_labels() -> None:
    ours = exposed()
    for name, text in SECTION.findall(PAGE):
        kind, labels = ours[name]
        first = text.split(". ")[0].split(".\n")[0].replace("\n", " ")
        assert first.lower().startswith(kind), name
        documented = re.findall(r"`([a-z_]+)`", first.split(": ")[0])
        assert set(documented) == labels, name


def test_metrics_of_the_client_library_are_named() -> None:
    for name in exposed():
        if not name.startswith("tokenproxy_"):
            assert f"`{name}`" in PAGE, name
