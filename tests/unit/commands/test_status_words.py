from __future__ import annotations

import pytest

from proxy.commands.status_lines import Column, Word, cut, rendered, table, width
from proxy.commands.status_words import ago, count, day_and_time, instant, latency, quick, rate

NOW = 1772334724.0


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0"),
        (99_999, "99999"),
        (100_000, "100k"),
        (999_499, "999k"),
        (999_500, "1.0M"),
        (12_345_678, "12.3M"),
        (99_949_999, "99.9M"),
        (99_950_000, "100M"),
        (7e9, "7.0G"),
        (1e14, "100T"),
        (1e15, "many"),
    ],
)
def test_a_count_takes_five_columns_at_most(number: float, said: str) -> None:
    assert count(number) == said
    assert len(said) <= 5


@pytest.mark.parametrize(
    ("per_second", "said"),
    [(0, "0"), (0.04, "<0.1"), (0.05, "0.1"), (12.34, "12.3"), (99.95, "100"), (1e6, "1.0M")],
)
def test_a_rate_has_about_two_digits_that_matter(per_second: float, said: str) -> None:
    assert rate(per_second) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (0.0004, "<1 ms"), (0.085, "85 ms"), (1.23, "1.2 s"), (45, "≥30 s")],
)
def test_a_latency_is_told_as_far_as_it_is_known(seconds: float | None, said: str) -> None:
    assert latency(seconds) == said
    assert quick(45) == "45 s"


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (NOW - 4, "03:12:00"),
        (NOW - 86400, "28 Feb 03:12:04"),
        (NOW - 86400 * 365, "2025-03-01 03:12"),
        (None, "-"),
        (-1, "-"),
        (1e14, "-"),
    ],
)
def test_a_moment_has_its_date_where_that_is_not_todays(at: float | None, said: str) -> None:
    assert instant(at, NOW) == said


def test_a_moment_is_told_in_full_and_by_how_long_it_is_past() -> None:
    assert day_and_time(NOW) == "2026-03-01 03:12:04 UTC"
    assert day_and_time(1e14) == "-"
    assert ago(NOW - 303, NOW) == "03:07:01, 5 min 3 s ago"
    assert ago(None, NOW) == "-"


@pytest.mark.parametrize(
    ("text", "room", "said"),
    [
        ("orders", 6, "orders"),
        ("orders", 5, "orde…"),
        ("orders", 1, "…"),
        ("orders", 0, ""),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("e\u0301te\u0301", 3, "e\u0301te\u0301"),
    ],
)
def test_a_text_is_cut_by_columns_not_characters(text: str, room: int, said: str) -> None:
    assert cut(text, room) == said
    assert width(said) <= room


def shown(name: str, room: int) -> list[str]:
    columns = [
        Column("audience", [Word(name)], elastic=True),
        Column("number", [Word("12")], right=True),
        Column("code", [Word("grant_refused")]),
    ]
    return [rendered(line, room, coloured=False) for line in table(columns, room)]


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (60, ["audience           number  code", "a-name-of-17-char      12  grant_refused"]),
        (35, ["audience      number  code", "a-name-of-1…      12  grant_refused"]),
        (34, ["audience      number code", "a-name-of-17…     12 grant_refused"]),
        (24, ["audie… number code", "a-nam…     12 grant_ref…"]),
    ],
)
def test_a_table_first_gives_up_gaps_then_the_name_then_its_end(room: int, said: list[str]) -> None:
    assert shown("a-name-of-17-char", room) == said
