"""The status as lines for a terminal: headline, tokens, upstreams, token requests, configuration.

Pure. The words are the status page's, and the headline is made by the page's own code; states,
reasons, results and codes are as in metrics and log. What matters first stands first: which
audience, since when, why, how long its token lives, what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.admin.headline import answer_of, audience_mark, headline
from proxy.admin.wording import round_span, span, times
from proxy.commands.status_lines import Colour, Column, Line, Word, paragraph, table
from proxy.commands.status_words import (
    UNKNOWN,
    ago,
    count,
    day_and_time,
    instant,
    latency,
    quick,
    rate,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.admin.status import Audience, Configuration, Fetch, Status, Upstream
    from proxy.admin.wording import Mark

FETCHES_SHOWN = 5
_COLOURS: dict[Mark, Colour] = {
    "bad": Colour.RED,
    "warning": Colour.YELLOW,
    "good": Colour.GREEN,
    "quiet": Colour.PLAIN,
}
"""By urgency, the greatest first."""
_CODES = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")
_USUAL_CODES = ("2xx", "4xx", "5xx")
_UNAUTHORIZED = {
    "renewed_ok": "answered with a new token",
    "renewed_still_401": "refused again with a new token",
    "passed": "passed to the caller",
}


def lines(status: Status, room: int) -> list[Line]:
    """Return the whole status in lines of about `room` columns."""
    now = status.now
    blocks = [
        _top(status, room),
        _tokens(status.audiences, now, room),
        _upstreams(status.upstreams, room),
        _fetches(status.fetches, now, room),
        _configuration(status.configuration, now, room),
    ]
    between: Line = []
    return [line for block in blocks if block for line in [*block, between]][:-1]


def _top(status: Status, room: int) -> list[Line]:
    said = headline(status)
    up = span(status.now - status.started_at)
    told: list[Line] = [
        [
            Word(f"token-proxy {status.version}", Colour.BOLD),
            Word(f" {status.state}, up {up}; {day_and_time(status.now)}"),
        ]
    ]
    places = [f"listening on {', '.join(status.listen)}"] if status.listen else []
    places += [f"admin on {status.admin}"] if status.admin else []
    told += paragraph("", "; ".join(places), room) if places else []
    told += paragraph("", said.sentence, room, colour=_COLOURS[said.mark])
    for mark, note in said.notes:
        told += paragraph("- ", note, room, colour=_COLOURS[mark])
    return told


def _tokens(audiences: tuple[Audience, ...], now: float, room: int) -> list[Line]:
    if not audiences:
        return [[Word("Tokens", Colour.BOLD)], [Word("No audience is configured")]]
    urgent = sorted(audiences, key=lambda each: list(_COLOURS).index(audience_mark(each)))
    lifetimes = [each.lifetime_seconds for each in urgent]
    columns = [
        Column("audience", [Word(each.audience) for each in urgent], elastic=True),
        Column("state", [Word(each.state, _COLOURS[audience_mark(each)]) for each in urgent]),
        Column("token lives", [_life(each) for each in urgent]),
        Column("lifetime", [Word(UNKNOWN if s is None else round_span(s)) for s in lifetimes]),
        Column("last success", [Word(instant(each.last_success_at, now)) for each in urgent]),
    ]
    heading, *rows = table(columns, room)
    told = [[Word("Tokens", Colour.BOLD), Word(" (times are UTC)", Colour.FAINT)], heading]
    for audience, row in zip(urgent, rows, strict=True):
        told += [row, *(_trouble(audience, now, room) if audience.state == "failing" else [])]
    return told


def _life(audience: Audience) -> Word:
    left = audience.expires_in_seconds
    if left is None:
        return Word(UNKNOWN)
    colour = _COLOURS[audience_mark(audience)]
    if left <= 0:
        return Word(f"expired {span(left)} ago", colour)
    return Word(span(left) if audience.usable else "refused by an upstream", colour)


def _trouble(audience: Audience, now: float, room: int) -> list[Line]:
    """Return what is to be known of a failing audience: since when, why, what to do."""
    failures = audience.consecutive_failures
    facts = [
        f"failing since {ago(audience.failing_since, now)}",
        "old token in use" if audience.usable else "callers get an error",
        f"{failures} failure{'' if failures == 1 else 's'} in a row",
    ]
    if audience.retry_at is not None:
        facts.append(_next_try(audience, audience.retry_at, now))
    told = paragraph("  ", "; ".join(facts), room)
    if audience.failing_with is not None:
        told += paragraph("  why: ", audience.failing_with, room)
    if audience.advice is not None:
        told += paragraph("  what to do: ", audience.advice, room)
    return told


def _next_try(audience: Audience, retry_at: float, now: float) -> str:
    if audience.fetches_in_flight:
        return "trying now"
    if retry_at - now < 1:
        return "next try now"
    sooner = "" if audience.usable else ", or sooner if a caller asks"
    return f"next try in {span(retry_at - now)}{sooner}"


def _upstreams(upstreams: tuple[Upstream, ...], room: int) -> list[Line]:
    shown = [each for each in upstreams if each.upstream or each.requests_total]
    if not shown:
        return []
    seen = {label for each in shown for label, number in each.codes.items() if number}
    codes = [label for label in _CODES if label in seen or label in _USUAL_CODES]
    refused = [sum(each.unauthorized_last_minute.values()) for each in shown]
    columns = [
        Column("upstream", [Word(each.upstream or "(none)") for each in shown], elastic=True),
        _numbers("req/s", [rate(each.requests_per_second) for each in shown]),
        *[_numbers(code, [count(each.codes.get(code, 0)) for each in shown]) for code in codes],
        _numbers("401", [count(number) for number in refused]),
        *[
            _numbers(label, [latency(each.latency_seconds.get(label)) for each in shown])
            for label in ("p50", "p99")
        ],
        _numbers("in flight", [count(each.requests_in_flight) for each in shown]),
        *[
            _numbers(state, [count(each.connections.get(state, 0)) for each in shown])
            for state in ("active", "idle")
        ],
    ]
    heading, *rows = table(columns, room)
    told = [
        [Word("Upstreams", Colour.BOLD), Word(" (last minute; connections now)", Colour.FAINT)],
        heading,
    ]
    for upstream, row in zip(shown, rows, strict=True):
        told += [row, *_notes(upstream, room)]
    return told


def _numbers(heading: str, texts: list[str]) -> Column:
    return Column(heading, [Word(text) for text in texts], right=True)


def _notes(upstream: Upstream, room: int) -> list[Line]:
    """Return what the columns have no room for: errors by code, what became of each 401."""
    told: list[Line] = []
    recent = upstream.errors_last_minute
    earlier = {} if upstream.errors == recent else upstream.errors
    for when, errors in (("in the last minute", recent), ("since the start", earlier)):
        if text := _by_code(errors):
            told += paragraph(f"  errors {when}: ", text, room)
    became = [
        f"{number} {_UNAUTHORIZED.get(action, action)}"
        for action, number in upstream.unauthorized.items()
        if number
    ]
    if became:
        told += paragraph("  401 to our token since the start: ", ", ".join(became), room)
    return told


def _by_code(errors: Mapping[str, int]) -> str:
    return ", ".join(
        f"{answer_of(code)} {times(number)}" for code, number in errors.items() if number
    )


def _fetches(fetches: tuple[Fetch, ...], now: float, room: int) -> list[Line]:
    shown = fetches[:FETCHES_SHOWN]
    if not shown:
        return []
    columns = [
        Column("ended", [Word(instant(each.ended_at, now)) for each in shown]),
        Column("audience", [Word(each.audience) for each in shown], elastic=True),
        Column("reason", [Word(each.reason) for each in shown]),
        _numbers("took", [quick(each.duration_seconds) for each in shown]),
        Column("result", [_result(each.result) for each in shown]),
        Column("code", [Word(each.code or UNKNOWN) for each in shown]),
    ]
    remark = f" (the last {len(shown)} of {len(fetches)}, newest first)"
    title = [Word("Token requests", Colour.BOLD), Word(remark, Colour.FAINT)]
    return [title, *table(columns, room)]


def _result(result: str) -> Word:
    return Word(result, _COLOURS["good" if result == "success" else "bad"])


def _configuration(configuration: Configuration, now: float, room: int) -> list[Line]:
    told: list[Line] = [[Word("Configuration", Colour.BOLD)]]
    facts = {
        "file": configuration.file or UNKNOWN,
        "SHA-256": configuration.sha256 or UNKNOWN,
        "in use since": ago(configuration.loaded_at, now),
        "last read": ago(configuration.last_reload_at, now),
        "problem": "none",
    }
    colour = Colour.PLAIN
    if not configuration.last_reload_successful:
        colour = _COLOURS["warning"]
        facts["problem"] = (
            "the file cannot be used; the configuration before it is in use\n"
            f"{configuration.problem or ''}"
        ).rstrip()
    for word, fact in facts.items():
        for number, line in enumerate(fact.split("\n")):
            label = f"{word if number == 0 else '':<14}"
            told += paragraph(
                label, line, room, colour=colour if word == "problem" else Colour.PLAIN
            )
    return told
