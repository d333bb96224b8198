"""`proxy.telemetry.histogram`."""

from __future__ import annotations

import pytest

from proxy.telemetry.histogram import Histogram


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (0.1, 0), (0.100001, 1), (1.0, 1), (9.9, 2), (10.0, 2), (10.1, 3), (1e9, 3)],
)
def test_a_duration_falls_into_the_bucket_whose_bound_it_does_not_exceed(
    seconds: float, bucket: int
) -> None:
    histogram = Histogram((0.1, 1.0, 10.0))
    histogram.observe(seconds)
    assert histogram.counts == [int(i == bucket) for i in range(4)]


def test_the_sum_is_that_of_all_durations() -> None:
    histogram = Histogram((1.0,))
    for seconds in (0.5, 0.25, 4.0):
        histogram.observe(seconds)
    assert histogram.total == 4.75
    assert sum(histogram.counts) == 3
