"""The dashboard as its tests read it: panels, their queries, and the variables filled in."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "helm" / "token-proxy" / "files" / "token-proxy.dashboard.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
VARIABLES: dict[str, dict[str, Any]] = {
    each["name"]: each for each in DASHBOARD["templating"]["list"]
}
RATE_INTERVAL = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of one panel, as Grafana would have to fill it in."""

    panel: str
    reference: str
    text: str
    legend: str

    def filled_in(self, rate_interval: str) -> str:
        """Return it as Grafana sends it while every variable stands at All."""
        return filled_in(self.text, rate_interval)

    def __str__(self) -> str:
        return f"{self.panel} {self.reference}"


def filled_in(text: str, rate_interval: str = "4s") -> str:
    """Return a query, or a variable's, with All for each variable it names."""
    text = text.replace(RATE_INTERVAL, rate_interval)
    return re.sub(r"\$(\w+)", lambda name: VARIABLES[name[1]]["allValue"], text)


QUERIES = [
    Query(panel["title"], target["refId"], target["expr"], target["legendFormat"])
    for panel in PANELS
    for target in panel["targets"]
]
