"""`proxy.admin.wording`: tables of how things are said."""

from __future__ import annotations

import re

import pytest

from proxy.admin.wording import breakable, instant, quick, rate, round_span, span

NOW = 1_760_000_000.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (-250, "4 min 10 s"),
        (3599.6, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (86400 * 3 + 3600 * 4, "3 d 4 h"),
    ],
)
def test_a_span_is_said_in_two_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(10, "10 s"), (60, "1 min"), (3600, "1 h"), (86400, "1 d"), (5400, "1 h 30 min")],
)
def test_a_lifetime_is_said_without_what_is_nothing(seconds: float, words: str) -> None:
    assert round_span(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "&lt;1 ms"),
        (0.0042, "4 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (75.0, "1 min 15 s"),
    ],
)
def test_a_duration_is_said_as_exactly_as_it_matters(seconds: float, words: str) -> None:
    assert quick(seconds) == words


@pytest.mark.parametrize(
    ("per_second", "words"),
    [(0.01, "&lt;0.1"), (0.25, "0.2"), (14.44, "14.4"), (99.9, "99.9"), (12345.6, "12,346")],
)
def test_a_rate_is_said_with_two_digits_or_so(per_second: float, words: str) -> None:
    assert rate(per_second) == words


@pytest.mark.parametrize(
    ("at", "machine", "shown"),
    [
        (NOW, "2025-10-09T08:53:20Z", "08:53:20"),
        (NOW - 86400, "2025-10-08T08:53:20Z", "8 Oct 08:53:20"),
        (NOW + 10 * 365.25 * 86400, "2035-10-09T20:53:20Z", "2035-10-09 20:53"),
        (0.0, "1970-01-01T00:00:00Z", "1970-01-01 00:00"),
    ],
)
def test_an_instant_has_a_date_where_it_is_not_today(at: float, machine: str, shown: str) -> None:
    found = re.fullmatch(r'<time datetime="(.*)">(.*)</time>', instant(at, NOW))
    assert found is not None
    assert found.groups() == (machine, shown)


def test_a_sentence_may_break_in_a_code_but_not_in_a_quantity() -> None:
    assert breakable("for 4 min 10 s: a_b <c>") == "for 4&nbsp;min 10&nbsp;s: a_<wbr>b &lt;c&gt;"
