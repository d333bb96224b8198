"""What an alert says, and its runbook: whole, in the program's own words, about what it exposes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from monitoring.alert_case import ROOT, alerts, rules
from monitoring.queries import metrics_of, selectors, unknown_in

from proxy.errors import ADVICE, Fault

RUNBOOKS = ROOT / "docs" / "runbooks"
OVERVIEW = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
BASE = "https://token-proxy.example/docs/runbooks/"
QUESTION = re.compile(r"query \(printf `([^`]+)`")
SECTIONS = ["What callers feel", "Since when, and why", "What to do", "When it is a false alarm"]
NOT_OURS = {
    "upstream_unreachable", "upstream_timeout", "upstream_misspoke", "shutting_down", "no_route",
    "host_refused", "browser_refused", "not_allowed", "authorization_refused", "bad_request",
    "head_too_large", "body_too_large",
}  # fmt: skip
"""What the error budget does not pay for: upstreams, rollouts, callers."""

each_alert = pytest.mark.parametrize(
    "alert", alerts(), ids=lambda alert: f"{alert['alert']}-{alert['labels'].get('window', '')}"
)
each_page = pytest.mark.parametrize("page", sorted(RUNBOOKS.iterdir()), ids=lambda path: path.stem)


@each_alert
def test_an_alert_has_all_that_it_needs(alert: dict[str, Any]) -> None:
    assert alert["alert"].startswith("TokenProxy")
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    told = alert["annotations"]
    assert told.keys() == {"summary", "description", "runbook_url"}
    assert re.fullmatch(r"[A-Z][^{}]+\.", told["summary"])
    assert "{{" in told["description"]
    assert "What to do" in told["description"]
    assert told["runbook_url"] == f"{BASE}{alert['alert']}.md"


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    names = {alert["alert"] for alert in alerts()}
    assert {page.name for page in RUNBOOKS.iterdir()} == {f"{name}.md" for name in names}
    rows = re.findall(r"^\| \[`(\w+)`\]\(runbooks/(\w+)\.md\) \|", OVERVIEW, re.MULTILINE)
    assert {name for name, page in rows if name == page} == names
    assert len(rows) == len(names)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_what_this_program_exposes(rule: dict[str, Any]) -> None:
    assert metrics_of(rule)
    assert unknown_in(rule["expr"]) == []


@each_alert
def test_what_a_description_asks_for_is_exposed(alert: dict[str, Any]) -> None:
    for question in QUESTION.findall(alert["annotations"]["description"]):
        if "{" not in question:
            continue  # the labels of the series, put together for the questions that follow
        text = question.replace("%s", 'job="j"').replace("%q", '"x"')
        assert selectors(text)
        assert unknown_in(text) == []


def test_a_name_that_does_not_exist_is_found() -> None:
    assert unknown_in("tokenproxy_nothing") == ["tokenproxy_nothing"]
    assert unknown_in('tokenproxy_token_waiters{token="a"}') == ["tokenproxy_token_waiters: token"]
    assert unknown_in('rate(tokenproxy_token_lookups_total{result=~"hit|found"}[5m])') == [
        "tokenproxy_token_lookups_total: result=found"
    ]
    assert unknown_in("sum by (tokens) (tokenproxy_token_waiters)") == ["label tokens"]


@each_alert
def test_what_is_to_be_done_is_said_in_the_programs_words(alert: dict[str, Any]) -> None:
    description = alert["annotations"]["description"]
    if "$result" in description or "$code" in description:
        for code, advice in ADVICE.items():
            assert advice in description, code
            assert code in description


def test_every_error_code_counts_against_the_budget_or_is_somebody_elses() -> None:
    (codes,) = {
        matcher.value
        for rule in rules()
        if rule.get("record", "").startswith("upstream:tokenproxy_failures:rate")
        for selector in selectors(rule["expr"])
        if selector.name == "tokenproxy_errors_total"
        for matcher in selector.matchers.matchers
    }
    ours = set(codes.split("|"))
    assert not ours & NOT_OURS
    assert ours | NOT_OURS == {fault.value for fault in Fault}


@each_page
def test_a_page_answers_the_same_questions_in_the_same_order(page: Any) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}\n\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    for code, advice in ADVICE.items():
        if f"`{code}`:" in text:
            assert advice in " ".join(text.split()), code


@each_page
def test_what_a_page_tells_to_type_exists(page: Any) -> None:
    text = page.read_text(encoding="utf-8")
    queries = re.findall(r"```promql\n(.+?)```", text, re.DOTALL)
    assert queries
    for query in (one for block in queries for one in block.split("\n\n")):
        assert unknown_in(query) == [], query
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "proxy").rglob("*.py")]
    for event in re.findall(r"\bgrep (?:-\w+ )?(\w+)", text):
        assert any(f'"{event}"' in source for source in sources), event
