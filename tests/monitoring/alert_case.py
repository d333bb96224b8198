"""What one case of the alert rules' tests is, and how promtool is asked about it.

A case gives series in promtool's notation (`0x5 1+1x9`), and for some moments the alerts that fire
then, with all their labels and the whole description. Every alert that is not named must be silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES_FILE = ROOT / "helm" / "token-proxy" / "files" / "token-proxy.rules.yaml"

KUBERNETES = {
    "job": "shop/token-proxy", "instance": "10.0.0.7:9090", "namespace": "shop", "pod": "web-0",
}  # fmt: skip
MACHINE = {"job": "token-proxy", "instance": "db7:9090"}

Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class Fired:
    """An alert as it fires. `labels` are without `alertname` and `severity`."""

    alert: str
    severity: str
    labels: Labels
    description: str


@dataclass(frozen=True, slots=True)
class Case:
    """`expected`: promtool's time (`5m`) to the alerts that fire then. `name` is a sentence."""

    name: str
    series: dict[str, str]
    expected: dict[str, list[Fired]] = field(default_factory=dict)
    interval: str = "1m"
    evaluated_every: str = "1m"

    @property
    def fires(self) -> set[str]:
        return {fired.alert for alerts in self.expected.values() for fired in alerts}


@cache
def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES_FILE.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def series(name: str, process: Labels, /, **labels: str) -> str:
    """Return a series' name as promtool reads it."""
    pairs = ",".join(f'{key}="{value}"' for key, value in (process | labels).items())
    return f"{name}{{{pairs}}}"


def promtool_test(case: Case) -> dict[str, Any]:
    """Return `case` as a file for `promtool test rules`."""
    told = {alert["alert"]: alert["annotations"] for alert in alerts()}
    asked = []
    for at, fired in case.expected.items():
        for name, static in told.items():
            expected = [
                {
                    "exp_labels": one.labels | {"severity": one.severity},
                    "exp_annotations": {
                        "summary": static["summary"],
                        "runbook_url": static["runbook_url"],
                        "description": one.description,
                    },
                }
                for one in fired
                if one.alert == name
            ]
            asked.append({"eval_time": at, "alertname": name, "exp_alerts": expected})
    return {
        "rule_files": [str(RULES_FILE)],
        "evaluation_interval": case.evaluated_every,
        "tests": [
            {
                "interval": case.interval,
                "input_series": [
                    {"series": name, "values": values} for name, values in case.series.items()
                ],
                "alert_rule_test": asked,
            }
        ],
    }
