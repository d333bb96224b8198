"""Draw docs/images/dashboard.png: the dashboard's own queries, put to a Prometheus.

    uv run --no-project --with matplotlib python docs/images/draw_dashboard.py URL END SECONDS

`URL` is a Prometheus that scrapes each second, `END` the Unix time at which the picture ends,
`SECONDS` how long before that it begins. `record_demo.py`, beside this file, makes such a
Prometheus, lets it scrape two demonstrations, and calls this. Panels lie on the dashboard's own
grid, with its titles, units, legends, words and colours; all else looks otherwise in Grafana.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from panel_data import COLORS, Moment, formatted, mapped, threshold_color

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "helm" / "token-proxy" / "files" / "token-proxy.dashboard.json"
PICTURE = Path(__file__).with_name("dashboard.png")
INCH = 100
COLUMN, LINE, GAP, HEADER = 53, 32, 6, 34
COLUMNS = 24
PAGE, SURFACE, EDGE, TEXT, DIM = "#111217", "#181b1f", "#2c3235", "#d8d9da", "#9fa7b3"
LINES = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#37872d"]
REDS = ["#f2495c", "#c4162a", "#ffa6b0", "#fa6400", "#8f3b2e"]
LEGEND_MAX = 6


class Box(NamedTuple):
    """A panel's place in pixels, from the top left."""

    x: float
    y: float
    w: float
    h: float


class Page:
    """The figure, measured in pixels from the top left."""

    def __init__(self, height: int) -> None:
        self.width, self.height = COLUMNS * COLUMN + GAP, height
        size = (self.width / INCH, height / INCH)
        self.figure = plt.figure(figsize=size, dpi=INCH, facecolor=PAGE)

    def text(self, x: float, y: float, text: str, **more: Any) -> None:
        """Write on a line at `y`."""
        self.figure.text(x / self.width, 1 - y / self.height, text, **({"color": TEXT} | more))

    def surface(self, box: Box) -> None:
        """Lay a panel's ground."""
        corner = (box.x / self.width, 1 - (box.y + box.h) / self.height)
        size = (box.w / self.width, box.h / self.height)
        self.figure.add_artist(
            Rectangle(corner, *size, facecolor=SURFACE, edgecolor=EDGE, linewidth=1, zorder=-1)
        )

    def axes(self, box: Box, *, left: float, bottom: float) -> Any:
        """Return axes inside a panel, below its title."""
        top, right = 28, 10
        rectangle = (
            (box.x + left) / self.width,
            1 - (box.y + box.h - bottom) / self.height,
            (box.w - left - right) / self.width,
            (box.h - bottom - top) / self.height,
        )
        axes = self.figure.add_axes(rectangle, facecolor=SURFACE)
        axes.tick_params(colors=DIM, labelsize=7, length=0)
        axes.grid(visible=True, color=EDGE, linewidth=0.6)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes


def _draw_stat(page: Page, box: Box, panel: dict[str, Any], moment: Moment) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    found = moment.instant(panel["targets"][0])
    middle = box.y + box.h / 2 + 14
    if not found:
        page.text(box.x + box.w / 2, middle, defaults["noValue"], ha="center", va="center", size=15)
    for index, (name, value) in enumerate(found):
        text, color = mapped(value, defaults) or (
            formatted(value, defaults["unit"], moment.end),
            threshold_color(value, defaults),
        )
        named = panel["options"]["textMode"] == "value_and_name"
        x = box.x + box.w * (index + 0.5) / len(found)
        page.text(x, middle, text, ha="center", va="center", size=20, color=color, weight="bold")
        if named:
            page.text(x, middle - 30, name, ha="center", va="center", size=10)


def _draw_table(page: Page, box: Box, panel: dict[str, Any], moment: Moment) -> None:
    columns, rows = moment.table(panel)
    own = {
        each["matcher"]["options"]: {item["id"]: item["value"] for item in each["properties"]}
        for each in panel["fieldConfig"]["overrides"]
    }
    wide = [2.0 if "granted" in name or "read" in name else 1.6 for name in columns]
    starts = [sum(wide[:i]) / sum(wide) for i in range(len(wide))]
    for name, start in zip(columns, starts, strict=True):
        x = box.x + 12 + start * (box.w - 20)
        page.text(x, box.y + 46, name, size=8.5, color="#6e9fff", weight="bold")
        for line, row in enumerate(rows):
            value, setting, color = row.get(name), own.get(name, {}), TEXT
            if isinstance(value, float):
                if "thresholds" in setting:
                    color = threshold_color(value, setting)
                value = formatted(value, setting.get("unit", "none"), moment.end)
            shown = panel["fieldConfig"]["defaults"]["noValue"] if value is None else value
            page.text(x, box.y + 76 + 28 * line, shown, size=9.5, color=color)


def _draw_states(page: Page, box: Box, panel: dict[str, Any], moment: Moment) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    found = moment.range(panel["targets"])
    axes = page.axes(box, left=14 + 7 * max(len(name) for name, _ in found), bottom=44)
    axes.set_yticks(range(len(found)), [name for name, _ in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    seen = {}
    for line, (_, values) in enumerate(found):
        for start, length, value in moment.runs(values):
            text, color = mapped(value, defaults) or (str(value), DIM)
            seen[text] = color
            axes.broken_barh([(start, length)], (line - 0.38, 0.76), facecolor=color, alpha=0.85)
            if length / moment.seconds * box.w > 6.5 * len(text):
                axes.text(start + 0.7, line, text, va="center", size=8, color=PAGE, weight="bold")
    _finish_time(axes, moment)
    axes.grid(visible=False)
    _legend(page, box, list(seen.items()))


def _draw_heatmap(page: Page, box: Box, panel: dict[str, Any], moment: Moment) -> None:
    bounds, counts = moment.buckets(panel["targets"][0])
    axes = page.axes(box, left=44, bottom=24)
    colors = mpl.colormaps["Blues_r"].copy()
    colors.set_bad(SURFACE)
    edges = [moment.times[0] - 0.5, *(time + 0.5 for time in moment.times)]
    axes.pcolormesh(edges, range(len(bounds) + 1), counts, cmap=colors, vmin=0)
    axes.set_yticks([line + 1 for line in range(len(bounds))], [_bound(bound) for bound in bounds])
    _finish_time(axes, moment)


def _color(panel: dict[str, Any], name: str, index: int) -> str:
    """Return the colour of a series: its own, a shade of red, or the next of the palette."""
    chosen = panel["fieldConfig"]["defaults"]["color"]
    for override in panel["fieldConfig"]["overrides"]:
        if re.search(override["matcher"]["options"].strip("/"), name):
            chosen = override["properties"][0]["value"]
    if chosen["mode"] == "fixed":
        return COLORS[chosen["fixedColor"]]
    palette = REDS if chosen["mode"] == "shades" else LINES
    return palette[index % len(palette)]


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else f"{bound:g} s"


def _draw_series(page: Page, box: Box, panel: dict[str, Any], moment: Moment) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    custom, unit = defaults["custom"], defaults["unit"]
    found = sorted(moment.range(panel["targets"]))
    entries = [(name, _color(panel, name, index)) for index, (name, _) in enumerate(found)]
    axes = page.axes(box, left=58, bottom=24 + 15 * _legend_lines(box, entries))
    floor = [0.0] * len(moment.times)
    stacked = custom["stacking"]["mode"] == "normal"
    for (_, values), (_, color) in zip(found, entries, strict=True):
        if custom["drawStyle"] == "bars":
            heights = [0.0 if value != value else value for value in values]  # noqa: PLR0124 - NaN
            axes.bar(moment.times, heights, 1, bottom=floor, color=color)
            floor = [low + height for low, height in zip(floor, heights, strict=True)]
        elif stacked:
            upper = [
                low + (0.0 if value != value else value)  # noqa: PLR0124 - NaN
                for low, value in zip(floor, values, strict=True)
            ]
            axes.fill_between(moment.times, floor, upper, color=color, alpha=0.45, linewidth=1)
            floor = upper
        else:
            marker = "o" if custom["showPoints"] == "always" else None
            axes.plot(moment.times, values, color=color, linewidth=1.3, marker=marker, markersize=3)
    if custom.get("thresholdsStyle"):
        for step in defaults["thresholds"]["steps"][1:]:
            axes.axhline(step["value"], color="#f2495c", linestyle="--", linewidth=1)
    low, high = axes.get_ylim()
    if not any(value for _, values in found for value in values):
        high = 1.0
    axes.set_ylim(defaults.get("min", low), defaults.get("max", high) * 1.02)
    axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    axes.yaxis.set_major_formatter(lambda value, _: formatted(value, unit, moment.end))
    _finish_time(axes, moment)
    _legend(page, box, entries)
    if not found:
        text = defaults.get("noValue", "no data")
        axes.text(0.5, 0.5, text, transform=axes.transAxes, color=DIM, ha="center", va="center")


def _legend_rows(box: Box, entries: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    rows: list[list[tuple[str, str]]] = [[]]
    shown = entries[:LEGEND_MAX]
    if len(entries) > LEGEND_MAX:
        shown = [*shown, (f"and {len(entries) - LEGEND_MAX} more", DIM)]
    for entry in shown:
        width = sum(len(name) * 6 + 26 for name, _ in [*rows[-1], entry])
        if rows[-1] and width > box.w - 20:
            rows.append([])
        rows[-1].append(entry)
    return rows


def _legend_lines(box: Box, entries: list[tuple[str, str]]) -> int:
    return len(_legend_rows(box, entries))


def _legend(page: Page, box: Box, entries: list[tuple[str, str]]) -> None:
    rows = _legend_rows(box, entries)
    for line, row in enumerate(rows):
        x, y = box.x + 12.0, box.y + box.h - 8 - 15 * (len(rows) - 1 - line)
        for name, color in row:
            page.text(x, y, "\u25ac", size=8, color=color)
            page.text(x + 14, y, name, size=8, color=DIM)
            x += len(name) * 6 + 26


def _finish_time(axes: Any, moment: Moment) -> None:
    axes.set_xlim(moment.times[0], moment.times[-1])
    ticks = range(-int(moment.seconds) // 20 * 20 + 20, 1, 20)
    axes.set_xticks(
        [moment.end + tick for tick in ticks], [f"{tick} s" if tick else "now" for tick in ticks]
    )


DRAWN = {
    "stat": _draw_stat,
    "table": _draw_table,
    "state-timeline": _draw_states,
    "heatmap": _draw_heatmap,
    "timeseries": _draw_series,
}


def _head(page: Page, dashboard: dict[str, Any], moment: Moment) -> None:
    page.text(10, 24, dashboard["title"], size=13, weight="bold")
    chosen = [each for each in dashboard["templating"]["list"] if each["type"] == "query"]
    text = "     ".join(f"{each['label']}: All" for each in chosen)
    page.text(140, 24, text, size=9, color=DIM)
    note = f"the last {moment.seconds:.0f} s, drawn without Grafana by {Path(__file__).name}"
    page.text(page.width - 10, 24, note, size=9, color=DIM, ha="right")


def main(url: str, end: float, seconds: float) -> None:
    """Draw the picture."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    variables = {each["name"]: each.get("allValue") for each in dashboard["templating"]["list"]}
    moment = Moment(url, end, seconds, variables)
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    page = Page(max(place["y"] + place["h"] for place in places) * LINE + GAP + HEADER)
    _head(page, dashboard, moment)
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        box = Box(
            place["x"] * COLUMN + GAP,
            place["y"] * LINE + GAP + HEADER,
            place["w"] * COLUMN - GAP,
            place["h"] * LINE - GAP,
        )
        if panel["type"] == "row":
            page.text(box.x + 4, box.y + 20, "\u2304  " + panel["title"], size=11, weight="bold")
            continue
        page.surface(box)
        page.text(box.x + 10, box.y + 19, panel["title"], size=9.5, weight="bold")
        DRAWN[panel["type"]](page, box, panel, moment)
    page.figure.savefig(PICTURE, facecolor=PAGE, pil_kwargs={"optimize": True})
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
