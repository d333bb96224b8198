"""The status as JSON, for programs: one key per field of `proxy.admin.status`, written out here.

In pieces, one per audience and upstream, so that who joins them can let others get on meanwhile.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from proxy.admin.status import Audience, Configuration, Fetch, Status, Upstream

MEDIA_TYPE = "application/json"

Item = TypeVar("Item")


def pieces(status: Status) -> Iterator[str]:
    """Yield one JSON object, an item at a time."""
    head = {
        "version": status.version,
        "python": status.python,
        "now": status.now,
        "started_at": status.started_at,
        "state": status.state,
        "listen": list(status.listen),
        "admin": status.admin,
        "event_loop_lag_seconds": status.event_loop_lag_seconds,
        "configuration": _configuration(status.configuration),
    }
    yield _text(head)[:-1]
    yield from _list("audiences", status.audiences, _audience)
    yield from _list("fetches", status.fetches, _fetch)
    yield from _list("upstreams", status.upstreams, _upstream)
    yield "}\n"


def _list(
    key: str, items: Iterable[Item], members: Callable[[Item], dict[str, Any]]
) -> Iterator[str]:
    yield f",\n{_text(key)}: ["
    separator = "\n"
    for item in items:
        yield separator + _text(members(item))
        separator = ",\n"
    yield "]"


def _configuration(configuration: Configuration) -> dict[str, Any]:
    return {
        "file": configuration.file,
        "sha256": configuration.sha256,
        "loaded_at": configuration.loaded_at,
        "last_reload_at": configuration.last_reload_at,
        "last_reload_successful": configuration.last_reload_successful,
        "problem": configuration.problem,
    }


def _audience(audience: Audience) -> dict[str, Any]:
    return {
        "audience": audience.audience,
        "state": audience.state,
        "usable": audience.usable,
        "expires_at": audience.expires_at,
        "expires_in_seconds": audience.expires_in_seconds,
        "lifetime_seconds": audience.lifetime_seconds,
        "last_success_at": audience.last_success_at,
        "consecutive_failures": audience.consecutive_failures,
        "failing_since": audience.failing_since,
        "failing_with": audience.failing_with,
        "advice": audience.advice,
        "retry_at": audience.retry_at,
        "waiters": audience.waiters,
        "fetches_in_flight": audience.fetches_in_flight,
        "lookups": audience.lookups,
    }


def _fetch(fetch: Fetch) -> dict[str, Any]:
    return {
        "ended_at": fetch.ended_at,
        "audience": fetch.audience,
        "reason": fetch.reason,
        "result": fetch.result,
        "duration_seconds": fetch.duration_seconds,
        "code": fetch.code,
    }


def _upstream(upstream: Upstream) -> dict[str, Any]:
    return {
        "upstream": upstream.upstream,
        "requests_in_flight": upstream.requests_in_flight,
        "requests_per_second": upstream.requests_per_second,
        "requests_total": upstream.requests_total,
        "codes": upstream.codes,
        "codes_total": upstream.codes_total,
        "errors": upstream.errors,
        "errors_last_minute": upstream.errors_last_minute,
        "unauthorized": upstream.unauthorized,
        "unauthorized_last_minute": upstream.unauthorized_last_minute,
        "latency_seconds": upstream.latency_seconds,
        "connections": upstream.connections,
    }


def _text(value: object) -> str:
    # ASCII only, so that no name can matter to whatever shows it.
    return json.dumps(value, allow_nan=False)
