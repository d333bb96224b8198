"""`proxy.telemetry.repeats`."""

from __future__ import annotations

from proxy.telemetry.repeats import Occurrences, Repeats


def test_a_failure_is_said_when_it_begins_then_once_a_minute() -> None:
    repeats = Repeats()
    said = [second for second in range(150) if repeats.happened(float(second))]
    assert said == [0, 60, 120]
    assert repeats.count == 150


def test_its_end_tells_how_often_it_happened_and_is_said_once() -> None:
    repeats = Repeats()
    for second in range(5):
        repeats.happened(float(second))
    assert repeats.ended(5.0) == 5
    assert repeats.ended(6.0) == 0


def test_what_never_began_does_not_end() -> None:
    assert Repeats().ended(1.0) == 0


def test_a_new_failure_after_the_end_is_said_at_once_and_counted_from_one() -> None:
    repeats = Repeats()
    repeats.happened(0.0)
    repeats.ended(1.0)
    assert repeats.happened(2.0)
    assert repeats.count == 1


def test_what_became_worse_is_said_at_once() -> None:
    repeats = Repeats()
    repeats.happened(0.0)
    repeats.escalate()
    assert repeats.happened(1.0)
    assert not repeats.happened(2.0)


def test_what_comes_and_goes_all_the_time_is_said_once_a_minute_only() -> None:
    repeats = Repeats(quiet_seconds=5.0)
    begins = ends = 0
    for tick in range(600):  # ten times a second for a minute less one tick
        begins += repeats.happened(tick / 10)
        ends += repeats.ended(tick / 10 + 0.05) > 0
    assert (begins, ends) == (1, 1)
    assert repeats.happened(60.0)
    assert repeats.count == 601


def test_after_a_quiet_time_it_counts_as_a_new_failure() -> None:
    repeats = Repeats(quiet_seconds=5.0)
    repeats.happened(0.0)
    repeats.ended(1.0)
    assert repeats.happened(6.0)
    assert repeats.count == 1


def test_occurrences_are_said_once_a_minute_with_how_many_there_were() -> None:
    occurrences = Occurrences()
    assert [occurrences.happened(t) for t in (0.0, 1.0, 2.0, 60.0, 61.0)] == [1, 0, 0, 4, 0]


def test_an_occurrence_after_a_silent_minute_is_the_first_again() -> None:
    occurrences = Occurrences()
    occurrences.happened(0.0)
    occurrences.happened(1.0)
    assert occurrences.happened(61.0) == 1
