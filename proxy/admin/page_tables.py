"""The status page's tables: tokens, upstreams, fetches; each yields its HTML in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.admin.headline import answer_of, audience_mark
from proxy.admin.page_table import (
    END,
    ROWS_MAX,
    URGENCY,
    cell,
    head,
    left_out,
    more,
    opening,
    row,
    state,
)
from proxy.admin.wording import (
    NOTHING,
    ago,
    count,
    instant,
    name,
    quick,
    rate,
    round_span,
    span,
    text,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from proxy.admin.status import Audience, Fetch, Upstream
    from proxy.admin.wording import Mark

_LOOKUPS = ("hit", "stale", "joined", "miss", "refused")
_CODES = ("2xx", "3xx", "4xx", "5xx")
_RARE_CODES = ("1xx", "other")
_PERCENTILES = ("p50", "p90", "p99")
_LAST_BOUND_SECONDS = 30.0
_UNAUTHORIZED = {
    "renewed_ok": "answered with a new token",
    "renewed_still_401": "refused again with a new token",
    "passed": "passed to the caller",
}


def tokens(audiences: Sequence[Audience], now: float) -> Iterator[str]:
    """Yield the table of tokens, the failing ones first."""
    if not audiences:
        yield '<p class="none">No audience is configured: requests go on as they come.</p>'
        return
    columns = ("Audience", "State", "Expires", "Lifetime", "Last success")
    yield opening(
        "tokens",
        "Tokens by audience",
        "".join(head(each, rows=2) for each in columns)
        + head("Waiting", "number", rows=2)
        + head("Look-ups since the start", "group first", columns=len(_LOOKUPS)),
        "".join(head(each, "number first" if each == "hit" else "number") for each in _LOOKUPS),
    )
    urgent = sorted(audiences, key=lambda each: URGENCY.index(audience_mark(each)))
    for audience in urgent[:ROWS_MAX]:
        yield _token(audience, now)
        if audience.state == "failing":
            yield more(11, audience_mark(audience), trouble(audience, now))
    yield END + left_out(len(audiences), "audiences", "those in trouble first")


def trouble(audience: Audience, now: float) -> list[str]:
    """Return what is to be known of a failing audience: since when, why, what to do.

    By the code and the advice of `proxy.errors`, in the words of the log and the alerts.
    """
    failures = audience.consecutive_failures
    facts = [f"{failures:,} failure{'' if failures == 1 else 's'} in a row"]
    if audience.failing_since is not None:
        facts.insert(0, f"Failing since {ago(audience.failing_since, now)}")
    if audience.retry_at is not None:
        facts.append(_next_try(audience, audience.retry_at, now))
    told = [" · ".join(facts)]
    if audience.failing_with is not None:
        told.append(f'Why: <code class="strong">{text(audience.failing_with)}</code>')
    if audience.advice is not None:
        told.append(f"What to do: {text(audience.advice)}")
    return told


def _next_try(audience: Audience, retry_at: float, now: float) -> str:
    if audience.fetches_in_flight:
        return "trying now"
    # Of its own accord; without a token, a request does not wait for so long.
    sooner = "" if audience.usable else ", or sooner if a caller asks"
    left = retry_at - now
    if left < 1:
        return "next try now"
    return f"next try in {span(left)} ({instant(retry_at, now)}){sooner}"


def _token(audience: Audience, now: float) -> str:
    mark = audience_mark(audience)
    lifetime, success = audience.lifetime_seconds, audience.last_success_at
    aside = "fetching" if audience.fetches_in_flight else ""
    if audience.state == "failing":
        aside = "old token in use" if audience.usable else "callers get an error"
    return row(
        name(audience.audience),
        cell("State", state(mark, audience.state, aside), "wide-half"),
        cell("Expires", _life(audience, now), f"life wide-half {mark}"),
        cell("Lifetime", NOTHING if lifetime is None else round_span(lifetime), "wide-half"),
        cell("Last success", NOTHING if success is None else ago(success, now), "wide-half"),
        cell("Waiting", count(audience.waiters), "number"),
        *(
            cell(each, count(audience.lookups[each]), f"number{' first' * (each == 'hit')}")
            for each in _LOOKUPS
        ),
    )


def _life(audience: Audience, now: float) -> str:
    """Return the countdown, the moment of the end, and a bar of what is left of the lifetime."""
    left, expires_at = audience.expires_in_seconds, audience.expires_at
    if left is None or expires_at is None:
        return NOTHING
    end = f'<span class="aside">{instant(expires_at, now)}</span>'
    lifetime = audience.lifetime_seconds or 0.0
    share = min(max(left / lifetime, 0.0), 1.0) if lifetime > 0 and audience.usable else 0.0
    bar = (
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="6"/>'
        f'<rect class="left" width="{share * 100:.1f}" height="6"/></svg>'
    )
    if left <= 0:
        return f'<span class="strong">expired {span(left)} ago</span> {end}{bar}'
    if not audience.usable:
        return f'<span class="strong">refused by an upstream</span> {end}{bar}'
    return f'<span class="strong">in {span(left)}</span> {end}{bar}'


def upstreams(listed: Sequence[Upstream]) -> Iterator[str]:
    """Yield the table of upstreams; beyond `ROWS_MAX`, those with trouble and traffic first."""
    shown = [each for each in listed if each.upstream]
    shown += [each for each in listed if not each.upstream and each.requests_total]
    if not shown:
        yield '<p class="none">No upstream is configured.</p>'
        return
    yield opening(
        "upstreams",
        "Upstreams",
        head("Upstream", rows=2)
        + head("Last minute", "group first", columns=8)
        + head("Now", "group first")
        + head("Connections", "group first", columns=2)
        + head("Since the start", "group first", columns=2),
        head("req/s", "number first")
        + "".join(head(each, "number") for each in (*_CODES, *_PERCENTILES))
        + head("in flight", "number first")
        + head("active", "number first")
        + head("idle", "number")
        + head("requests", "number first")
        + head("401", "number"),
    )
    if len(shown) > ROWS_MAX:
        shown = sorted(shown, key=_worst_first)
    for upstream in shown[:ROWS_MAX]:
        yield _upstream(upstream)
        mark, told = _notes(upstream)
        if told:
            yield more(14, mark, told)
    yield END + left_out(len(shown), "upstreams", "those with errors and traffic first")


def _worst_first(upstream: Upstream) -> tuple[int, float]:
    return -sum(upstream.errors_last_minute.values()), -upstream.requests_per_second


def _upstream(upstream: Upstream) -> str:
    about = (
        name(upstream.upstream)
        if upstream.upstream
        else '<span class="aside">before an upstream was known</span>'
    )
    connections = upstream.connections
    return row(
        about,
        cell("req/s", rate(upstream.requests_per_second), "number first"),
        *(cell(each, _code(each, upstream.codes[each]), "number") for each in _CODES),
        *(cell(each, _latency(upstream.latency_seconds[each]), "number") for each in _PERCENTILES),
        cell("in flight", count(upstream.requests_in_flight), "number first"),
        cell("active", count(connections["active"]), "number first"),
        cell("idle", count(connections["idle"]), "number"),
        cell("requests", count(upstream.requests_total), "number first"),
        cell("401", count(sum(upstream.unauthorized.values())), "number"),
    )


def _code(code: str, number: int) -> str:
    shown = count(number)
    return f'<span class="bad strong">{shown}</span>' if number and code == "5xx" else shown


def _latency(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    return "≥30 s" if seconds >= _LAST_BOUND_SECONDS else quick(seconds)


def _notes(upstream: Upstream) -> tuple[Mark, list[str]]:
    """Return what the columns have no room for: errors by code, what became of each 401."""
    told = []
    recent = upstream.errors_last_minute
    if upstream.errors:
        if recent:
            told.append(f"Errors in the last minute: {_by_code(recent)}")
        if recent != upstream.errors:
            told.append(f"Errors since the start: {_by_code(upstream.errors)}")
    became = [
        f"{number:,} {_UNAUTHORIZED[action]}"
        for action, number in upstream.unauthorized.items()
        if number
    ]
    if became:
        told.append(f"401 to our token since the start: {', '.join(became)}")
    rare = [f"{each} {times(upstream.codes[each])}" for each in _RARE_CODES if upstream.codes[each]]
    if rare:
        told.append(f"Other codes in the last minute: {', '.join(rare)}")
    recent_401 = upstream.unauthorized_last_minute
    warned = recent or recent_401["renewed_still_401"] or recent_401["passed"]
    return "warning" if warned else "quiet", told


def _by_code(errors: Mapping[str, int]) -> str:
    return ", ".join(
        f"<code>{text(answer_of(code))}</code> {times(number)}" for code, number in errors.items()
    )


def fetches(ended: Sequence[Fetch], now: float) -> Iterator[str]:
    """Yield the table of the last fetches, newest first."""
    if not ended:
        yield '<p class="none">No token was asked for yet.</p>'
        return
    columns = ("Ended", "Audience", "Reason")
    yield opening(
        "fetches",
        "Last token requests, newest first",
        "".join(map(head, columns)) + head("Took", "number") + head("Result"),
    )
    for fetch in ended:
        good = fetch.result == "success"
        code = "" if fetch.code is None else f"<code>{text(fetch.code)}</code>"
        yield row(
            instant(fetch.ended_at, now),
            cell("", name(fetch.audience), "half"),
            cell("", text(fetch.reason)),
            cell("", quick(fetch.duration_seconds), "number"),
            cell("", state("good" if good else "bad", text(fetch.result), code), "whole"),
        )
    yield END
