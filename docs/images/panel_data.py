"""What Grafana makes of a panel before it draws it: answers of Prometheus, named, merged, in words.

Only as far as our own dashboard needs it: All for every variable, a step of one second, one
mapping per panel, tables that are merged, filtered and renamed.
"""

from __future__ import annotations

import http.client
import json
import math
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE_INTERVAL = "4s"
"""What `$__rate_interval` is at a scrape each second."""
COLORS = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "transparent": "#181b1f"}
MILLI = 0.001

Series = list[tuple[str, list[float]]]


class Moment:
    """A span of time at a Prometheus, which ends at the moment that the picture shows."""

    def __init__(
        self, url: str, end: float, seconds: float, variables: dict[str, str | None]
    ) -> None:
        self.end, self.seconds = end, seconds
        self.times = [end - seconds + step for step in range(int(seconds) + 1)]
        self._address = urlsplit(url).netloc
        self._variables = variables

    def instant(self, target: dict[str, Any]) -> list[tuple[str, float]]:
        """Return the values of an instant query, by the name its legend gives them."""
        return [
            (_named(target["legendFormat"], each["metric"]), float(each["value"][1]))
            for each in self._ask("query", target["expr"], time=self.end)
        ]

    def range(self, targets: list[dict[str, Any]]) -> Series:
        """Return the series of range queries on `times`, NaN where they have no value."""
        return [
            (_named(target["legendFormat"], each["metric"]), self._on_grid(each["values"]))
            for target in targets
            for each in self._asked_range(target["expr"])
        ]

    def buckets(self, target: dict[str, Any]) -> tuple[list[float], list[list[float]]]:
        """Return the upper bounds of a heatmap and, for each, its own count on `times`."""
        found = sorted(
            (float(each["metric"]["le"]), self._on_grid(each["values"]))
            for each in self._asked_range(target["expr"])
        )
        counts, below = [], [0.0] * len(self.times)
        for _, values in found:
            own = [value - less for value, less in zip(values, below, strict=True)]
            counts.append([count if count > 0 else math.nan for count in own])
            below = values
        return [bound for bound, _ in found], counts

    def table(self, panel: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
        """Return a table's columns and rows after its own transformations."""
        steps = {step["id"]: step["options"] for step in panel["transformations"]}
        kept = steps["filterFieldsByName"]["include"]["names"]
        titles = steps["organize"]["renameByName"]
        rows: dict[tuple[str, ...], dict[str, Any]] = {}
        for target in panel["targets"]:
            for each in self._ask("query", target["expr"], time=self.end):
                labels = {name: each["metric"][name] for name in kept if name in each["metric"]}
                key = (each["metric"]["instance"], each["metric"].get("audience", ""))
                row = rows.setdefault(key, {})
                row |= labels | {f"Value #{target['refId']}": float(each["value"][1])}
        order = sorted(kept, key=steps["organize"]["indexByName"].__getitem__)
        named = [{titles[name]: row.get(name) for name in kept} for row in rows.values()]
        (by,) = panel["options"]["sortBy"]
        named.sort(key=lambda row: row[by["displayName"]] or 0, reverse=by["desc"])
        return [titles[name] for name in order], named

    def runs(self, values: list[float]) -> Iterator[tuple[float, float, float]]:
        """Yield start, length and value of each stretch in which a value stays the same."""
        begin = 0
        for index in range(1, len(values) + 1):
            if index == len(values) or values[index] != values[begin]:
                if not math.isnan(values[begin]):
                    yield self.times[begin], index - begin, values[begin]
                begin = index

    def _on_grid(self, samples: list[tuple[float, str]]) -> list[float]:
        found = {round(time): float(value) for time, value in samples}
        return [found.get(round(time), math.nan) for time in self.times]

    def _asked_range(self, query: str) -> list[dict[str, Any]]:
        return self._ask("query_range", query, start=self.times[0], end=self.end, step=1)

    def _ask(self, what: str, query: str, **when: float) -> list[dict[str, Any]]:
        text = query.replace("$__rate_interval", RATE_INTERVAL)
        text = re.sub(r"\$(\w+)", lambda name: str(self._variables[name[1]]), text)
        connection = http.client.HTTPConnection(self._address)
        connection.request("GET", f"/api/v1/{what}?" + urlencode({"query": text} | when))
        body = json.load(connection.getresponse())
        connection.close()
        if body["status"] != "success":
            raise ValueError(f"{text}: {body}")
        result: list[dict[str, Any]] = body["data"]["result"]
        return result


def formatted(value: float, unit: str, now: float) -> str:
    """Return a value in the words of Grafana's unit, or near them."""
    match unit:
        case "s":
            return seconds(value)
        case "dateTimeFromNow":
            return f"{seconds(now - value * MILLI)} ago"
        case "bytes":
            return f"{value / 2**20:.0f} MiB"
        case "percentunit":
            return f"{value * 100:.3g} %"
    return f"{value:.3g}" + {"reqps": " req/s", "opm": " per min", "ops": " per s"}.get(unit, "")


def seconds(value: float) -> str:
    """Return a duration in the largest unit that it fills."""
    size = abs(value)
    if size >= 60 or value == 0:
        return f"{value / 60:.1f} min" if value else "0 s"
    if size >= 1:
        return f"{value:.0f} s" if size >= 10 else f"{value:.2g} s"
    return f"{value * 1000:.3g} ms"


def mapped(value: float, defaults: dict[str, Any]) -> tuple[str, str] | None:
    """Return the text and colour that a panel's mapping gives for a value, if it has one."""
    for mapping in defaults["mappings"]:
        if found := mapping["options"].get(f"{value:g}"):
            return found["text"], COLORS.get(found["color"], found["color"])
    return None


def threshold_color(value: float, settings: dict[str, Any]) -> str:
    """Return the colour of the highest threshold that a value reaches."""
    steps = settings["thresholds"]["steps"]
    reached = [each["color"] for each in steps if each["value"] is None or value >= each["value"]]
    return COLORS[reached[-1]]


def _named(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda name: labels.get(name[1], ""), legend)
