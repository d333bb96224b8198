"""What a proxy's `/status.json` says, read with suspicion into the values that the page shows.

Another program may listen there, or a token-proxy of another version. A document that is none is
refused; a field that is missing or of another type counts as unknown. No text leaves here that
would steer a terminal.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

from proxy.admin.status import Audience, Configuration, Fetch, Status, Upstream

if TYPE_CHECKING:
    from proxy.admin.status import State as ProcessState
    from proxy.telemetry.audience import State as AudienceState

NUMBER_MAX = 1e15
"""Beyond this nothing that is shown has a meaning."""
UNKNOWN_STATE = "unknown"


class NotAStatusError(Exception):
    """The answer is no status of a token-proxy."""


def read_document(body: bytes) -> dict[str, Any]:
    """Return the document as it is. Raises `NotAStatusError`."""
    try:
        document = json.loads(body)
        # What cannot be written again (an infinite number, an endless depth) was no JSON.
        json.dumps(document, allow_nan=False)
    except (ValueError, RecursionError):
        raise NotAStatusError from None
    if not isinstance(document, dict) or not isinstance(document.get("configuration"), dict):
        raise NotAStatusError
    if not all(isinstance(document.get(key), list) for key in ("audiences", "upstreams")):
        raise NotAStatusError
    return document


def status_of(document: dict[str, Any]) -> Status:
    """Return what a document says; every text in it can be shown."""
    read = _Record(document)
    return Status(
        version=read.text("version"),
        python=read.text("python"),
        now=read.number("now"),
        started_at=read.number("started_at"),
        state=cast("ProcessState", read.text("state") or UNKNOWN_STATE),
        listen=tuple(map(printable, filter(_is_text, read.items("listen")))),
        admin=read.text("admin"),
        event_loop_lag_seconds=read.number("event_loop_lag_seconds"),
        configuration=_configuration(read.record("configuration")),
        audiences=tuple(map(_audience, read.records("audiences"))),
        fetches=tuple(map(_fetch, read.records("fetches"))),
        upstreams=tuple(map(_upstream, read.records("upstreams"))),
    )


def printable(text: str) -> str:
    """Return the text with control characters, bidirectional ones too, shown as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _configuration(read: _Record) -> Configuration:
    # A problem is a line for each mistake.
    problem = read.members.get("problem")
    return Configuration(
        file=read.text("file"),
        sha256=read.text("sha256") or None,
        loaded_at=read.number("loaded_at"),
        last_reload_at=read.number("last_reload_at"),
        last_reload_successful=read.members.get("last_reload_successful") is not False,
        problem="\n".join(map(printable, problem.split("\n")))
        if isinstance(problem, str)
        else None,
    )


def _audience(read: _Record) -> Audience:
    left = read.known_number("expires_in_seconds")
    usable = read.members.get("usable")
    return Audience(
        audience=read.text("audience"),
        state=cast("AudienceState", read.text("state") or UNKNOWN_STATE),
        usable=usable if isinstance(usable, bool) else left is not None and left > 0,
        expires_at=read.known_number("expires_at"),
        expires_in_seconds=left,
        lifetime_seconds=read.known_number("lifetime_seconds"),
        last_success_at=read.known_number("last_success_at"),
        consecutive_failures=int(read.number("consecutive_failures")),
        failing_since=read.known_number("failing_since"),
        failing_with=read.text("failing_with") or None,
        advice=read.text("advice") or None,
        retry_at=read.known_number("retry_at"),
        waiters=int(read.number("waiters")),
        fetches_in_flight=int(read.number("fetches_in_flight")),
        lookups=read.record("lookups").counts(),
    )


def _fetch(read: _Record) -> Fetch:
    return Fetch(
        ended_at=read.number("ended_at"),
        audience=read.text("audience"),
        reason=read.text("reason"),
        result=read.text("result"),
        duration_seconds=read.number("duration_seconds"),
        code=read.text("code") or None,
    )


def _upstream(read: _Record) -> Upstream:
    latencies = read.record("latency_seconds")
    return Upstream(
        upstream=read.text("upstream"),
        requests_in_flight=int(read.number("requests_in_flight")),
        requests_per_second=read.number("requests_per_second"),
        requests_total=int(read.number("requests_total")),
        codes=read.record("codes").counts(),
        codes_total=read.record("codes_total").counts(),
        errors=read.record("errors").counts(),
        errors_last_minute=read.record("errors_last_minute").counts(),
        unauthorized=read.record("unauthorized").counts(),
        unauthorized_last_minute=read.record("unauthorized_last_minute").counts(),
        latency_seconds={key: latencies.known_number(key) for key in ("p50", "p90", "p99")},
        connections=read.record("connections").counts(),
    )


class _Record:
    """One object of the document; each method reads a member."""

    def __init__(self, members: object) -> None:
        self.members: dict[str, Any] = members if isinstance(members, dict) else {}

    def text(self, key: str) -> str:
        value = self.members.get(key)
        return printable(value) if isinstance(value, str) else ""

    def known_number(self, key: str) -> float | None:
        value = self.members.get(key)
        return value if _is_number(value) else None

    def number(self, key: str) -> float:
        return self.known_number(key) or 0

    def items(self, key: str) -> list[Any]:
        value = self.members.get(key)
        return value if isinstance(value, list) else []

    def record(self, key: str) -> _Record:
        return _Record(self.members.get(key))

    def records(self, key: str) -> list[_Record]:
        return [_Record(item) for item in self.items(key) if isinstance(item, dict)]

    def counts(self) -> dict[str, int]:
        """Return the members that are numbers, in their order."""
        return {printable(k): int(v) for k, v in self.members.items() if _is_number(v)}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and isfinite(value) and abs(value) < NUMBER_MAX  # type: ignore[arg-type]
