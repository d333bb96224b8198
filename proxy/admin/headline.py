"""What a status comes to, in a sentence: the first thing to read at three in the morning.

Pure: a `Status` in, plain words out. What callers feel already comes before what they may feel
later, and that before what they do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.admin.wording import span, times
from proxy.errors import KINDS, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxy.admin.status import Audience, Status
    from proxy.admin.wording import Mark

NAMES_MAX = 3
"""So many names are told of; the tables have the others."""

_URGENCY: tuple[Mark, ...] = ("bad", "warning", "good", "quiet")
_UPSTREAM_TROUBLE = (
    "token_wait_timeout",
    "upstream_unreachable",
    "upstream_timeout",
    "upstream_misspoke",
    "overloaded",
)
"""Codes of answers that no failing audience accounts for."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The sentence, and what else is to be said.

    `failing` is the audience to look at first, where one fails; `others_fail`: it is not alone.
    """

    mark: Mark
    sentence: str
    notes: tuple[tuple[Mark, str], ...] = ()
    failing: Audience | None = None
    others_fail: bool = False


def headline(status: Status) -> Headline:
    """Return what `status` comes to."""
    failing = [each for each in status.audiences if each.state == "failing"]
    broken = [each for each in failing if not each.usable]
    ageing = [each for each in failing if each.usable]
    said = [
        *_phase(status),
        *_broken(broken, len(status.audiences)),
        *_ageing(ageing, len(status.audiences)),
        *_refused_by_upstreams(status),
        *_upstream_trouble(status),
        *_configuration(status),
    ]
    if not failing:
        said.append(_tokens(status))
    said.sort(key=lambda each: _URGENCY.index(each[0]))
    (mark, sentence), *notes = said
    first = next(iter([*broken, *ageing]), None)
    return Headline(mark, sentence, tuple(notes), first, others_fail=len(failing) > 1)


def audience_mark(audience: Audience) -> Mark:
    """Return how an audience stands."""
    if audience.state == "failing":
        return "warning" if audience.usable else "bad"
    if audience.state == "rejected":
        return "warning"
    return "good" if audience.state == "live" else "quiet"


def answer_of(code: str) -> str:
    """Return what callers get for a code: the status with it, where it is one of ours."""
    try:
        return f"{KINDS[Fault(code)].status} {code}"
    except ValueError:
        return code


def _phase(status: Status) -> Iterator[tuple[Mark, str]]:
    if status.state == "starting":
        yield "warning", "Starting: not listening yet"
    elif status.state == "draining":
        in_flight = sum(each.requests_in_flight for each in status.upstreams)
        yield "warning", f"Draining: no new requests are taken, {in_flight} in flight"


def _broken(broken: Sequence[Audience], every: int) -> Iterator[tuple[Mark, str]]:
    if broken:
        codes = {each.failing_with for each in broken}
        answer = answer_of(codes.pop() or "an error") if len(codes) == 1 else "errors"
        names = _names([each.audience for each in broken])
        yield "bad", f"{_of(len(broken), every)} failing: callers of {names} get {answer}"


def _ageing(ageing: Sequence[Audience], every: int) -> Iterator[tuple[Mark, str]]:
    if ageing:
        left = span(min(each.expires_in_seconds or 0.0 for each in ageing))
        names = _names([each.audience for each in ageing])
        served = (
            f"still served, for {left}" if len(ageing) == 1 else f"still served, {left} or more"
        )
        yield (
            "warning",
            f"{_of(len(ageing), every)} failing, not felt yet: callers of {names} are {served}",
        )


def _refused_by_upstreams(status: Status) -> Iterator[tuple[Mark, str]]:
    rejected = [each.audience for each in status.audiences if each.state == "rejected"]
    if rejected:
        yield "warning", f"The token of {_names(rejected)} was refused with 401; another is wanted"
    refused = {
        upstream.upstream: upstream.unauthorized_last_minute.get("renewed_still_401", 0)
        + upstream.unauthorized_last_minute.get("passed", 0)
        for upstream in status.upstreams
    }
    names = [name for name, number in refused.items() if number]
    if names:
        total = times(sum(refused.values()))
        yield "warning", f"{_names(names)} refused our token {total} in the last minute (401)"


def _upstream_trouble(status: Status) -> Iterator[tuple[Mark, str]]:
    troubled = [each for each in status.upstreams if each.errors_last_minute]
    for code in _UPSTREAM_TROUBLE:
        numbers = {
            upstream.upstream or "all upstreams": upstream.errors_last_minute.get(code, 0)
            for upstream in troubled
        }
        names = [name for name, number in numbers.items() if number]
        if names:
            total = times(sum(numbers.values()))
            yield "warning", f"{_names(names)}: {answer_of(code)} {total} in the last minute"


def _configuration(status: Status) -> Iterator[tuple[Mark, str]]:
    if not status.configuration.last_reload_successful:
        yield (
            "warning",
            "The configuration cannot be used as it is now; the one before stays in use",
        )


def _tokens(status: Status) -> tuple[Mark, str]:
    audiences = status.audiences
    if not audiences:
        return "good", "No tokens to keep: no audience is configured"
    live = sum(each.state == "live" for each in audiences)
    if live == len(audiences):
        return "good", "The token is live" if live == 1 else f"All {live:,} tokens live"
    absent = [each for each in audiences if each.state == "absent"]
    others = {
        "rejected": sum(each.state == "rejected" for each in audiences),
        "not there yet": sum(each.expires_at is None for each in absent),
        "lapsed": sum(each.expires_at is not None for each in absent),
        "let go, as unused": sum(each.state == "idle" for each in audiences),
    }
    rest = "".join(f", {number:,} {words}" for words, number in others.items() if number)
    return "good" if live else "quiet", f"{live:,} of {len(audiences):,} tokens live{rest}"


def _of(some: int, every: int) -> str:
    return "The token is" if every == 1 else f"{some:,} of {every:,} tokens"


def _names(names: Sequence[str]) -> str:
    shown = names[:NAMES_MAX]
    if len(names) > NAMES_MAX:
        return f"{', '.join(shown)} and {len(names) - NAMES_MAX:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
