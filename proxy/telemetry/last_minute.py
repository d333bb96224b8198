"""What became of requests in the last minute, for people who look: rates, codes, percentiles.

Nothing more is counted for it. Every few seconds the counts of each upstream are copied, and what
happened since is the difference between the counts now and those of a minute ago. An upstream whose
counts stand still costs one comparison, and its copy is kept only once.

`sampling` is walked on the event loop, a few upstreams at a time; `since` may be asked in a thread.
The facts are compared by identity: an upstream that went and came back begins at zero.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.telemetry.upstream import OTHER_STATUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from proxy.telemetry.facts import Telemetry
    from proxy.telemetry.upstream import UpstreamFacts

WINDOW_SECONDS = 60.0
SAMPLE_SECONDS = 5.0
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")
"""The classes of status codes; `other` is a status outside 100 to 599."""

_UPSTREAMS_AT_ONCE = 20
_OTHER_CLASS = CLASSES.index("other")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one upstream's requests came to within `seconds`.

    `durations` are counts per bucket of the request histogram; `codes` by class, `errors` and
    `unauthorized` by their labels, zeros included; `codes_total` since the start.
    """

    seconds: float
    requests: int
    durations: tuple[int, ...]
    codes: dict[str, int]
    codes_total: dict[str, int]
    errors: dict[str, int]
    unauthorized: dict[str, int]

    @property
    def requests_per_second(self) -> float:
        """The mean rate; just after the start over five seconds, not over a few milliseconds."""
        return self.requests / max(self.seconds, SAMPLE_SECONDS)


@dataclass(frozen=True, slots=True)
class _Counts:
    """One upstream's counts at an instant: those of fixed labels in a row, and the codes'."""

    facts: UpstreamFacts
    fixed: tuple[int, ...]
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    counts: dict[str, _Counts]


class LastMinute:
    """Samples of the upstreams' counts. `clock` is monotonic, in seconds."""

    def __init__(self, telemetry: Telemetry, *, clock: Callable[[], float]) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._samples: deque[_Sample] = deque()

    def sampling(self) -> Iterator[None]:
        """Take one sample. Yields now and then, for the event loop to get on meanwhile."""
        now = self._clock()
        before = self._samples[-1].counts if self._samples else {}
        counts: dict[str, _Counts] = {}
        for number, (name, facts) in enumerate(self._telemetry.upstreams.copy().items(), 1):
            counts[name] = _count(facts, before.get(name))
            if number % _UPSTREAMS_AT_ONCE == 0:
                yield
        self._samples.append(_Sample(now, counts))
        # The oldest that stays is the one a minute old, or just older.
        while len(self._samples) > 1 and self._samples[1].at <= now - WINDOW_SECONDS:
            self._samples.popleft()

    def since(self, facts: UpstreamFacts) -> Traffic:
        """Return what one upstream's requests came to since about a minute ago, or its start."""
        now = _count(facts, None)
        then = _Counts(facts, (0,) * len(now.fixed), (0,) * len(CLASSES))
        since: float | None = None
        for sample in self._samples.copy():
            counts = sample.counts.get(facts.name)
            if counts is not None and counts.facts is facts:
                if since is None:
                    since, then = sample.at, counts
                break
            # It came with a reload, after this one.
            since = sample.at
        fixed = _difference(now.fixed, then.fixed)
        codes = _difference(now.codes, then.codes)
        first, second = _borders(facts)
        return Traffic(
            seconds=0.0 if since is None else max(0.0, self._clock() - since),
            requests=sum(codes),
            durations=fixed[:first],
            codes=dict(zip(CLASSES, codes, strict=True)),
            codes_total=dict(zip(CLASSES, now.codes, strict=True)),
            errors=dict(zip(facts.errors, fixed[first:second], strict=True)),
            unauthorized=dict(zip(facts.unauthorized_actions, fixed[second:], strict=True)),
        )


def percentile(bounds: Sequence[float], counts: Sequence[int], fraction: float) -> float | None:
    """Return the duration that `fraction` of what was counted stayed below; None for nothing.

    Within a bucket the durations are taken to lie evenly, as PromQL's `histogram_quantile` does,
    and like it this gives the last bound for what lies beyond all of them.
    """
    total = sum(counts)
    if not total:
        return None
    rank = fraction * total
    below = 0
    lower = 0.0
    for upper, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below += count
        lower = upper
    return bounds[-1]


def _count(facts: UpstreamFacts, before: _Counts | None) -> _Counts:
    fixed = (
        *facts.duration.counts,
        *facts.errors.values(),
        *facts.unauthorized_actions.values(),
    )
    # Each request that is over moves a bucket, so these tell whether the codes have moved.
    if before is not None and before.facts is facts and before.fixed == fixed:
        return before
    return _Counts(facts, fixed, _codes(facts))


def _codes(facts: UpstreamFacts) -> tuple[int, ...]:
    codes = [0] * len(CLASSES)
    for (_, status, _), count in facts.requests.copy().items():
        codes[_OTHER_CLASS if status == OTHER_STATUS else status // 100 - 1] += count
    return tuple(codes)


def _borders(facts: UpstreamFacts) -> tuple[int, int]:
    first = len(facts.duration.counts)
    return first, first + len(facts.errors)


def _difference(now: tuple[int, ...], then: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a - b for a, b in zip(now, then, strict=True))
