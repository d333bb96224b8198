"""Instants, counts and rates in few columns of a terminal; the words are the status page's.

Lengths of time are told by the page's own functions. Instants are in UTC, as in the log.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import unescape

from proxy.admin import wording

UNKNOWN = "-"
_INSTANT_MAX = 253_402_300_800  # the year 10000
LAST_BOUND_SECONDS = 30.0
"""A latency is known by the histogram's buckets: this one has no end."""


def quick(seconds: float) -> str:
    """Return what a fetch took: `<1 ms`, `85 ms`, `1.2 s`, `45 s`."""
    return unescape(wording.quick(seconds))


def latency(seconds: float | None) -> str:
    """Return an upstream's latency, `-` if nothing was asked."""
    if seconds is None:
        return UNKNOWN
    return "≥30 s" if seconds >= LAST_BOUND_SECONDS else quick(seconds)


def count(number: float) -> str:
    """Return a number in at most five columns: `12345`, `123k`, `12.3M`."""
    whole = int(number)
    if whole < 100_000:
        return str(whole)
    for size, letter in ((1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")):
        scaled = whole / size
        if scaled < 999.5:
            return f"{scaled:.1f}{letter}" if scaled < 99.95 else f"{scaled:.0f}{letter}"
    return "many"


def rate(per_second: float) -> str:
    """Return a rate: `0`, `<0.1`, `12.3`, `1234`."""
    if per_second <= 0:
        return "0"
    if per_second < 0.05:
        return "<0.1"
    return f"{per_second:.1f}" if per_second < 99.95 else count(round(per_second))


def instant(at: float | None, now: float) -> str:
    """Return a moment's time of day, with its date where that is not today's."""
    moment, today = _moment(at), _moment(now)
    if moment is None:
        return UNKNOWN
    if today is not None and moment.date() == today.date():
        return f"{moment:%H:%M:%S}"
    if today is not None and moment.year == today.year:
        return f"{moment.day} {moment:%b %H:%M:%S}"
    return f"{moment:%Y-%m-%d %H:%M}"


def day_and_time(at: float) -> str:
    """Return a moment in full: `2026-03-01 03:12:04 UTC`."""
    moment = _moment(at)
    return UNKNOWN if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def ago(at: float | None, now: float) -> str:
    """Return a moment, and how long ago it was: `03:07:01, 5 min 3 s ago`."""
    return UNKNOWN if at is None else f"{instant(at, now)}, {wording.span(now - at)} ago"


def _moment(at: float | None) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at is not None and 0 <= at < _INSTANT_MAX else None
