"""The facts of this moment as frozen values: what the status page and its JSON twin may show.

This is the allow-list. Each field is named here and filled from a fact of that name; nothing is
passed on whole, so a secret would have to be put here by hand. Names, states, times, counts and
codes only; the one free text, a configuration's problem, is our own.

The instant is handed in. Read in a thread beside the event loop, at its pace: each dict is copied
before it is walked, and facts that belong together may be apart by what happened in between.
Times are Unix seconds.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Literal

from proxy import __version__
from proxy.admin.pace import unhurried
from proxy.errors import ADVICE
from proxy.telemetry.last_minute import percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.admin.health import Health
    from proxy.telemetry.audience import AudienceFacts
    from proxy.telemetry.audience import State as AudienceState
    from proxy.telemetry.configuration import ConfigurationFacts
    from proxy.telemetry.facts import Telemetry
    from proxy.telemetry.fetches import FetchOver
    from proxy.telemetry.last_minute import LastMinute
    from proxy.telemetry.upstream import UpstreamFacts

State = Literal["starting", "serving", "draining"]


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where the configuration came from, and how the last reload went."""

    file: str
    sha256: str | None
    loaded_at: float
    last_reload_at: float
    last_reload_successful: bool
    problem: str | None


@dataclass(frozen=True, slots=True)
class Audience:
    """One token. `usable`: it has not expired, and no upstream answered 401 to it."""

    audience: str
    state: AudienceState
    usable: bool
    expires_at: float | None
    expires_in_seconds: float | None
    lifetime_seconds: float | None
    last_success_at: float | None
    consecutive_failures: int
    failing_since: float | None
    failing_with: str | None
    advice: str | None
    retry_at: float | None
    waiters: int
    fetches_in_flight: int
    lookups: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Fetch:
    """One token request that is over."""

    ended_at: float
    audience: str
    reason: str
    result: str
    duration_seconds: float
    code: str | None


@dataclass(frozen=True, slots=True)
class Upstream:
    """One upstream. `""`: what was answered before an upstream was known.

    `codes`, `errors_last_minute`, `unauthorized_last_minute`, the rate and the latencies are of the
    last minute; `requests_total`, `codes_total`, `errors` and `unauthorized` count from the start.
    """

    upstream: str
    requests_in_flight: int
    requests_per_second: float
    requests_total: int
    codes: Mapping[str, int]
    codes_total: Mapping[str, int]
    errors: Mapping[str, int]
    errors_last_minute: Mapping[str, int]
    unauthorized: Mapping[str, int]
    unauthorized_last_minute: Mapping[str, int]
    latency_seconds: Mapping[str, float | None]
    connections: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that is shown, at the instant `now`; fetches are newest first."""

    version: str
    python: str
    now: float
    started_at: float
    state: State
    listen: tuple[str, ...]
    admin: str
    event_loop_lag_seconds: float
    configuration: Configuration
    audiences: tuple[Audience, ...]
    fetches: tuple[Fetch, ...]
    upstreams: tuple[Upstream, ...]


def collect(
    telemetry: Telemetry,
    health: Health,
    last_minute: LastMinute,
    *,
    now: float,
    uptime_seconds: float,
    admin: str,
) -> Status:
    """Return the facts as they stand at `now`, which is Unix time."""
    fetches = reversed(telemetry.fetches.recent.copy())
    audiences = telemetry.audiences.copy().values()
    upstreams = telemetry.upstreams.copy().values()
    return Status(
        version=__version__,
        python=platform.python_version(),
        now=now,
        started_at=now - uptime_seconds,
        state=_state(health),
        listen=tuple(health.listening_on),
        admin=admin,
        event_loop_lag_seconds=telemetry.event_loop_lag_seconds,
        configuration=_configuration(telemetry.configuration),
        audiences=tuple([_audience(facts, now) for facts in unhurried(audiences)]),
        fetches=tuple([_fetch(over) for over in fetches]),
        upstreams=tuple([_upstream(facts, last_minute) for facts in unhurried(upstreams)]),
    )


def _state(health: Health) -> State:
    if health.draining:
        return "draining"
    return "serving" if health.listening else "starting"


def _configuration(facts: ConfigurationFacts) -> Configuration:
    problem = facts.problem
    return Configuration(
        file=facts.source,
        sha256=facts.sha256,
        loaded_at=facts.loaded_at,
        last_reload_at=facts.last_reload_at,
        last_reload_successful=problem is None,
        problem=problem,
    )


def _audience(facts: AudienceFacts, now: float) -> Audience:
    expires_at = _finite(facts.expires_at)
    code = facts.failing_with
    return Audience(
        audience=facts.name,
        state=facts.state,
        usable=expires_at is not None and expires_at > now and not facts.rejected,
        expires_at=expires_at,
        expires_in_seconds=None if expires_at is None else expires_at - now,
        lifetime_seconds=_finite(facts.lifetime_seconds),
        last_success_at=facts.last_success_at,
        consecutive_failures=facts.consecutive_failures,
        failing_since=facts.failing_since,
        failing_with=code,
        advice=None if code is None else ADVICE.get(code),
        retry_at=_finite(facts.retry_at),
        waiters=facts.waiters,
        fetches_in_flight=facts.fetches_in_flight,
        lookups={
            "hit": facts.hits,
            "stale": facts.stale,
            "joined": facts.joined,
            "miss": facts.misses,
            "refused": facts.refused,
        },
    )


def _fetch(over: FetchOver) -> Fetch:
    return Fetch(
        ended_at=over.ended_at,
        audience=over.audience,
        reason=over.reason,
        result=over.result,
        duration_seconds=over.seconds,
        code=over.code,
    )


def _upstream(facts: UpstreamFacts, last_minute: LastMinute) -> Upstream:
    recent = last_minute.since(facts)
    bounds = facts.duration.bounds
    return Upstream(
        upstream=facts.name,
        requests_in_flight=facts.in_flight,
        requests_per_second=recent.requests_per_second,
        requests_total=sum(recent.codes_total.values()),
        codes=recent.codes,
        codes_total=recent.codes_total,
        errors=_counted(facts.errors.copy().items()),
        errors_last_minute=_counted(recent.errors.items()),
        unauthorized=dict(facts.unauthorized_actions),
        unauthorized_last_minute=recent.unauthorized,
        latency_seconds={
            "p50": percentile(bounds, recent.durations, 0.5),
            "p90": percentile(bounds, recent.durations, 0.9),
            "p99": percentile(bounds, recent.durations, 0.99),
        },
        connections={"active": facts.connections_active, "idle": facts.connections_idle},
    )


def _counted(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    return {label: count for label, count in counts if count}


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
