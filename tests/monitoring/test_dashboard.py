"""The dashboard keeps the rules of Grafana's dashboard-linter, and names only what there is.

The linter itself is not used: its rules are these tests. A metric, label or value that the program
does not expose is the commonest rot of a dashboard, and found here.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import promql_parser as promql
import pytest
from monitoring.dashboard import DASHBOARD, PANELS, QUERIES, RATE_INTERVAL, VARIABLES, Query
from monitoring.own_metrics import TARGET_LABELS, own_counters, own_series

from proxy.errors import ADVICE
from proxy.telemetry.audience import State

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
GRID_COLUMNS = 24
RATES = {"rate", "irate", "increase"}
FROM_THE_CONFIGURATION = {"upstream", "audience"}
# Of Grafana's identifiers, those that this dashboard uses. A misspelt one is shown as text.
UNITS = {"none", "s", "bytes", "percentunit", "reqps", "opm", "ops", "dateTimeFromNow"}

each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
each_query = pytest.mark.parametrize("query", QUERIES, ids=str)


def parsed(query: Query) -> promql.Expr:
    # The interval is the one variable that stands outside a string.
    return promql.parse(query.text.replace(RATE_INTERVAL, "5m"))


def nodes(expression: promql.Expr, *parents: promql.Expr) -> Iterator[tuple[promql.Expr, ...]]:
    """Walk an expression: each node, followed by what it stands in, innermost first."""
    yield (expression, *parents)
    inner = [
        getattr(expression, name, None)
        for name in ("lhs", "rhs", "expr", "param", "vector_selector")
    ]
    for child in [*inner, *getattr(expression, "args", [])]:
        if isinstance(child, promql.Expr):
            yield from nodes(child, expression, *parents)


def selectors(query: Query) -> list[promql.VectorSelector]:
    return [node for node, *_ in nodes(parsed(query)) if isinstance(node, promql.VectorSelector)]


def test_the_data_source_is_a_variable() -> None:
    variable = VARIABLES["datasource"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    assert variable["label"] == "Data Source"


@pytest.mark.parametrize("name", sorted(VARIABLES.keys() - {"datasource"}))
def test_a_variable_takes_several_values_or_all(name: str) -> None:
    variable = VARIABLES[name]
    assert variable["type"] == "query"
    assert variable["label"] == name.title()
    assert variable["datasource"]["uid"] == "$datasource"
    assert variable["multi"]
    assert variable["includeAll"]
    # What is answered before an upstream is known has none.
    assert variable["allValue"] == (".*" if name == "upstream" else ".+")


@pytest.mark.parametrize("name", sorted(VARIABLES.keys() - {"datasource"}))
def test_a_variable_is_read_anew_when_the_time_range_changes(name: str) -> None:
    on_time_range_change = 2
    assert VARIABLES[name]["refresh"] == on_time_range_change


@pytest.mark.parametrize("name", sorted(VARIABLES.keys() - {"datasource"}))
def test_a_variable_asks_for_a_label_that_there_is(name: str) -> None:
    variable = VARIABLES[name]
    asked = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["query"]["query"])
    assert asked
    metric, label = asked.groups()
    assert label == name
    assert label in TARGET_LABELS | own_series()[metric].keys()
    assert variable["definition"] == variable["query"]["query"]


def test_nobody_edits_it_in_place() -> None:
    assert DASHBOARD["editable"] is False


def test_it_refreshes_itself() -> None:
    assert DASHBOARD["refresh"] in DASHBOARD["timepicker"]["refresh_intervals"]


@each_panel
def test_a_panel_says_what_it_shows_from_where_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith((".", *ADVICE.values()))
    assert panel["datasource"] == {"type": "prometheus", "uid": "$datasource"}
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    own = [
        setting["value"]
        for override in panel["fieldConfig"]["overrides"]
        for setting in override["properties"]
        if setting["id"] == "unit"
    ]
    assert {panel["fieldConfig"]["defaults"]["unit"], *own} <= UNITS


@each_panel
def test_a_panel_says_what_is_normal(panel: dict[str, Any]) -> None:
    if panel["type"] in {"timeseries", "heatmap"}:
        assert "Normal" in panel["description"]


def test_each_panel_keeps_a_number_of_its_own() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert numbers == sorted(set(numbers))


def test_panels_lie_on_the_grid_and_not_on_one_another() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (column, line)
        for place in places
        for column in range(place["x"], place["x"] + place["w"])
        for line in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < GRID_COLUMNS


@each_query
def test_a_query_keeps_to_the_chosen_targets(query: Query) -> None:
    found = selectors(query)
    assert found
    for selector in found:
        matchers = {(each.name, str(each.op), each.value) for each in selector.matchers.matchers}
        for label in TARGET_LABELS:
            assert (label, "MatchOp.Re", f"${label}") in matchers, selector.name
        for label in FROM_THE_CONFIGURATION & own_series()[selector.name].keys():
            assert (label, "MatchOp.Re", f"${label}") in matchers, selector.name


@each_query
def test_a_rate_is_taken_over_the_interval_that_grafana_reckons(query: Query) -> None:
    without_strings = re.sub(r'"[^"]*"', "", query.text)
    assert all(span == RATE_INTERVAL for span in re.findall(r"\[(.*?)\]", without_strings))


@each_query
def test_a_counter_is_shown_by_its_growth_only(query: Query) -> None:
    for node, *parents in nodes(parsed(query)):
        if isinstance(node, promql.VectorSelector):
            grows = len(parents) > 1 and isinstance(parents[0], promql.MatrixSelector)
            call = parents[1].func.name if grows else ""
            assert (node.name in own_counters()) == (call in RATES), node.name


@each_query
def test_a_query_names_only_what_the_program_exposes(query: Query) -> None:
    for selector in selectors(query):
        assert selector.name in own_series()
        labels = own_series()[selector.name]
        for matcher in selector.matchers.matchers:
            if matcher.name in TARGET_LABELS | FROM_THE_CONFIGURATION:
                continue
            assert matcher.name in labels
            kind = str(matcher.op)
            words = matcher.value.split("|") if "Re" in kind else [matcher.value]
            for word in words:
                pattern = word if "Re" in kind else re.escape(word)
                assert any(re.fullmatch(pattern, value) for value in labels[matcher.name]), word


@each_query
def test_a_query_groups_and_names_by_labels_that_there_are(query: Query) -> None:
    for node, *_ in nodes(parsed(query)):
        if isinstance(node, promql.AggregateExpr) and node.modifier:
            inside = [n.name for n, *_ in nodes(node) if isinstance(n, promql.VectorSelector)]
            there = TARGET_LABELS | set(itertools.chain(*(own_series()[name] for name in inside)))
            assert set(node.modifier.labels) <= there
    for label in re.findall(r"\{\{(\w+)\}\}", query.legend):
        grouped = re.findall(r"\bby \(([\w, ]+)\)", query.text)
        kept = set(", ".join(grouped).split(", ")) if grouped else TARGET_LABELS
        assert label in kept


def test_every_metric_of_ours_is_on_it() -> None:
    asked = {selector.name for query in QUERIES for selector in selectors(query)}
    for name in own_series():
        if name.startswith("tokenproxy_"):
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            assert any(other.startswith(family) for other in asked), name


def test_a_state_is_called_what_the_program_calls_it() -> None:
    bands = next(panel for panel in PANELS if panel["title"] == "State by audience")
    (mapping,) = bands["fieldConfig"]["defaults"]["mappings"]
    words = set(re.findall(r"\w+", " ".join(each["text"] for each in mapping["options"].values())))
    # After a 401 a token is fetched at once: `rejected` is over before a scrape sees it, or fails.
    assert set(get_args(State)) - {"rejected"} <= words


@pytest.mark.parametrize("code", sorted(ADVICE))
def test_the_reason_of_a_failure_comes_with_the_programs_own_advice(code: str) -> None:
    reasons = next(panel for panel in PANELS if "failed, by result" in panel["title"])
    assert code in reasons["description"]
    assert ADVICE[code] in reasons["description"]


@each_panel
def test_a_description_names_only_words_of_the_program(panel: dict[str, Any]) -> None:
    """Whatever looks like a name is a metric, a label's value, a key, a code, or an event."""
    sources = "".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "proxy").rglob("*.py"))
    )
    for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", panel["description"]):
        assert re.search(rf"\b{word}\b", sources), word


@each_panel
def test_a_description_points_to_panels_that_there_are(panel: dict[str, Any]) -> None:
    titles = {other["title"] for other in PANELS}
    rows = {each["title"].partition(":")[0] for each in DASHBOARD["panels"]}
    for pointed in re.findall(r"(?<!\w)'([^']+)'(?!\w)", panel["description"]):
        assert pointed in titles | rows
