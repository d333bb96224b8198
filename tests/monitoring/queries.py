"""PromQL read apart: which series a query names, and whether this program has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import promql_parser as promql
from monitoring.alert_case import rules
from monitoring.own_metrics import TARGET_LABELS, own_series

if TYPE_CHECKING:
    from collections.abc import Iterable

PLACE_LABELS = TARGET_LABELS | {"namespace", "pod"}
"""What a scrape configuration may add."""


def recorded() -> dict[str, dict[str, Any]]:
    """Return the recording rules, by the name they give."""
    return {rule["record"]: rule for rule in rules() if "record" in rule}


def parts(text: str) -> list[promql.Expr]:
    """Return every node of a query."""
    found: list[promql.Expr] = []
    promql.walk(promql.parse(text), lambda node: found.append(node) or True)
    return found


def selectors(text: str) -> list[promql.VectorSelector]:
    """Return every selection of series in a query, those of ranges too."""
    return [part for part in parts(text) if isinstance(part, promql.VectorSelector)]


def metrics_of(rule: dict[str, Any]) -> set[str]:
    """Return the metrics that a rule is about; those behind recorded ones, not these."""
    found: set[str] = set()
    for selector in selectors(rule["expr"]):
        behind = recorded().get(selector.name)
        found |= {selector.name} if behind is None else metrics_of(behind)
    return found


def unknown_in(text: str) -> list[str]:
    """Return what a query names and this program does not have: series, labels, values."""
    wrong: list[str] = []
    known: set[str] = set(PLACE_LABELS)
    for selector in selectors(text):
        if selector.name in recorded() or selector.name.startswith("kube_pod_"):
            known |= {"upstream", "audience"}
            continue
        labels = own_series().get(selector.name)
        if labels is None:
            wrong.append(selector.name)
            continue
        known |= labels.keys()
        for matcher in selector.matchers.matchers:
            values = labels.get(matcher.name)
            if values is None and matcher.name not in PLACE_LABELS:
                wrong.append(f"{selector.name}: {matcher.name}")
            elif values is not None and matcher.name not in {"audience", "upstream"}:
                wrong += _not_among(values, matcher, selector.name)
    return wrong + [f"label {name}" for name in _grouped_by(text) if name not in known]


def _not_among(values: Iterable[str], matcher: promql.Matcher, metric: str) -> list[str]:
    # Statuses are there once they were answered.
    statuses = {"500"} if metric == "tokenproxy_requests_total" else set()
    return [
        f"{metric}: {matcher.name}={value}"
        for value in matcher.value.split("|")
        if value not in {*values, *statuses}
    ]


def _grouped_by(text: str) -> set[str]:
    found: set[str] = set()
    for part in parts(text):
        modifier = getattr(part, "modifier", None)
        if isinstance(part, promql.AggregateExpr) and modifier:
            found |= set(modifier.labels)
        elif isinstance(part, promql.BinaryExpr) and modifier and modifier.matching:
            found |= set(modifier.matching.labels)
    return found
