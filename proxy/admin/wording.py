"""How the status page says things: durations, instants, counts, names; escaped, ready for HTML.

Every function here returns HTML; what comes from outside this package goes through `text`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Literal

from proxy.telemetry.log import clean

Mark = Literal["good", "warning", "bad", "quiet"]
"""How a thing stands. Each has a shape of its own, so that colour is never the only sign."""

NOTHING = '<span class="nothing">—</span>'

_SHORT_NAME_CHARACTERS = 18
_QUANTITY = re.compile(r"(\d) (s|min|h|d)\b")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_SHAPES: dict[Mark, str] = {
    "good": '<circle cx="8" cy="8" r="7"/><path class="ink" d="M4.6 8.3l2.3 2.3 4.5-5"/>',
    "warning": '<path d="M8 1l7.4 13.5H.6z"/><path class="ink" d="M8 6v4.2M8 12.2v.6"/>',
    "bad": '<path d="M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5z"/>'
    '<path class="ink" d="M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4"/>',
    "quiet": '<circle class="ring" cx="8" cy="8" r="6"/>',
}


def text(value: str) -> str:
    """Return any text on one line, without control characters, as HTML."""
    return escape(clean(value))


def lines(value: str) -> str:
    """Return any text as HTML, its line breaks kept."""
    return "\n".join(map(text, value.split("\n")))


def name(value: str) -> str:
    """Return a name; whichever way it is written, what stands around it stays in place."""
    css = ' class="short"' if len(value) <= _SHORT_NAME_CHARACTERS else ""
    return f"<bdi{css}>{text(value)}</bdi>"


def breakable(value: str) -> str:
    """Return a sentence as HTML: a code may go on in the next line, "4 min" may not."""
    return _QUANTITY.sub(r"\1&nbsp;\2", text(value).replace("_", "_<wbr>"))


def icon(mark: Mark) -> str:
    """Return the shape that stands beside a word; the word says it to who cannot see."""
    return f'<svg class="icon {mark}" viewBox="0 0 16 16" aria-hidden="true">{_SHAPES[mark]}</svg>'


def span(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    whole = round(abs(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def round_span(seconds: float) -> str:
    """Return a length of time as it was set: without what is nothing."""
    words = span(seconds)
    for ending in (" 0 s", " 0 min", " 0 h"):
        words = words.removesuffix(ending)
    return words


def quick(seconds: float) -> str:
    """Return a short length of time: milliseconds below a second."""
    if seconds < 0.001:
        return "&lt;1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return span(seconds)


def instant(at: float, now: float) -> str:
    """Return a moment in UTC; its date is shown where it is not today's."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at)
    today = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=now)
    shown = f"{moment:%H:%M:%S}"
    if moment.date() != today.date():
        shown = f"{moment.day} {moment:%b} {shown}"
        if moment.year != today.year:
            shown = f"{moment:%Y-%m-%d %H:%M}"
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{shown}</time>'


def ago(at: float, now: float) -> str:
    """Return a moment, and how long ago it was."""
    return f'{instant(at, now)} <span class="aside">{span(now - at)} ago</span>'


def count(number: int) -> str:
    """Return a count; zero is there, but does not ask to be read."""
    return f"{number:,}" if number else '<span class="nothing">0</span>'


def times(number: int) -> str:
    """Return how often something was, as plain text."""
    return "once" if number == 1 else f"{number:,} times"


def rate(per_second: float) -> str:
    """Return a rate with about two digits that matter."""
    if not per_second:
        return '<span class="nothing">0</span>'
    if per_second < 0.05:
        return "&lt;0.1"
    return f"{per_second:.1f}" if per_second < 100 else f"{per_second:,.0f}"
