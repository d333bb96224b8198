"""The alert rules, by promtool: they fire when they should, and the known false alarms are none."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from integration.foreign_server import require
from monitoring import (
    alert_cases_budget,
    alert_cases_process,
    alert_cases_tokens,
    alert_cases_tokens_apart,
    alert_cases_tokens_quiet,
    alert_cases_traffic,
)
from monitoring.alert_case import RULES_FILE, Case, alerts, promtool_test, rules
from monitoring.queries import metrics_of

if TYPE_CHECKING:
    from pathlib import Path

FIRING = [
    *alert_cases_tokens.CASES,
    *alert_cases_tokens_apart.CASES,
    *alert_cases_traffic.CASES,
    *alert_cases_budget.CASES,
    *alert_cases_process.CASES,
]
FALSE_ALARMS = [
    *alert_cases_tokens_quiet.QUIET,
    *alert_cases_traffic.QUIET,
    *alert_cases_budget.QUIET,
    *alert_cases_process.QUIET,
]


def promtool(*arguments: str | Path) -> tuple[int, str]:
    """Run promtool; return its exit status and what it said."""
    program = shutil.which("promtool")
    require(program, "promtool is not installed")
    assert program is not None
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_prometheus_takes_the_file_as_it_stands() -> None:
    status, said = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES_FILE)
    assert status == 0, said
    assert f"SUCCESS: {len(rules())} rules found" in said


@pytest.mark.parametrize("case", [*FIRING, *FALSE_ALARMS], ids=lambda case: case.name)
def test_the_alerts_that_fire_are_those_expected(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(json.dumps(promtool_test(case)), encoding="utf-8")
    status, said = promtool("test", "rules", file)
    assert status == 0, said


def test_an_alert_that_fires_without_being_expected_is_a_failure(tmp_path: Path) -> None:
    told = alert_cases_tokens.CASES[0]
    untold = Case(told.name, told.series, {key: [] for key in told.expected})
    file = tmp_path / "case.yaml"
    file.write_text(json.dumps(promtool_test(untold)), encoding="utf-8")
    status, said = promtool("test", "rules", file)
    assert status == 1
    assert "TokenProxyTokenMissing" in said


@pytest.mark.parametrize("alert", sorted({each["alert"] for each in alerts()}))
def test_each_alert_has_a_case_in_which_it_fires_and_false_alarms_in_which_it_does_not(
    alert: str,
) -> None:
    assert [case for case in FIRING if alert in case.fires]
    asked = {name for each in alerts() if each["alert"] == alert for name in metrics_of(each)}
    spoken_of = [
        case for case in FALSE_ALARMS if asked & {one.partition("{")[0] for one in case.series}
    ]
    assert spoken_of
    assert not [case.name for case in FALSE_ALARMS if case.fires]
    assert all(case.expected for case in FALSE_ALARMS)
