"""One upstream's facts: requests, answers, errors, connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from proxy.errors import Fault
from proxy.telemetry.histogram import REQUEST_BOUNDS, Histogram
from proxy.telemetry.repeats import Occurrences, Repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.telemetry.log import Log, Value

Origin = Literal["upstream", "proxy"]
ConnectResult = Literal["success", "name", "refused", "timeout", "tls", "other"]
UnauthorizedAction = Literal["renewed_ok", "renewed_still_401", "passed"]

METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
)
OTHER = "_OTHER"
OTHER_STATUS = 0
"""Stands for a status outside 100 to 599, which no registry knows; shown as `_OTHER`."""

# What to look at when an upstream says 401 to a token. One that was renewed for is told of by its
# audience already.
_UNAUTHORIZED_MESSAGES: dict[UnauthorizedAction, str] = {
    "renewed_still_401": "the upstream answered 401 to a fresh token as well: compare the "
    "audience and the scope asked for with what it wants, and the clocks",
    "passed": "an answer 401 to our token was passed on to the caller: if that goes on, compare "
    "the audience and the scope asked for with what the upstream wants, and the clocks",
}

# An upstream under load connects often; what flaps within this time is one and the same trouble.
_CONNECT_QUIET_SECONDS = 5.0


def _requests_at_zero(name: str) -> dict[tuple[str, int, str], int]:
    # A counter that first appears as 1 hides its first event from increase(), so what is likely
    # stands there from the start.
    if not name:
        return {(m, s, "proxy"): 0 for m in ("GET", "POST") for s in (400, 403, 404, 421, 503)}
    passed = {(m, 200, "upstream"): 0 for m in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")}
    return passed | {(m, s, "proxy"): 0 for m in ("GET", "POST") for s in (502, 503, 504)}


class UpstreamFacts:
    """One upstream, or `""`. `in_flight` and `connections_*` are adjusted by their owners."""

    __slots__ = (
        "_connecting",
        "_log",
        "_monotonic",
        "_unauthorized",
        "connections_active",
        "connections_idle",
        "connects",
        "duration",
        "errors",
        "in_flight",
        "name",
        "requests",
        "response",
        "unauthorized_actions",
    )

    def __init__(self, name: str, *, log: Log, monotonic: Callable[[], float]) -> None:
        self.name = name
        self.in_flight = 0
        self.connections_active = 0
        self.connections_idle = 0
        self.duration = Histogram(REQUEST_BOUNDS)
        self.response = Histogram(REQUEST_BOUNDS)
        self.requests = _requests_at_zero(name)
        self.errors: dict[str, int] = {fault.value: 0 for fault in Fault}
        self.connects: dict[str, int] = dict.fromkeys(get_args(ConnectResult), 0)
        self.unauthorized_actions: dict[str, int] = dict.fromkeys(get_args(UnauthorizedAction), 0)
        self._log = log
        self._monotonic = monotonic
        self._connecting = Repeats(quiet_seconds=_CONNECT_QUIET_SECONDS)
        self._unauthorized = {action: Occurrences() for action in _UNAUTHORIZED_MESSAGES}

    def request_finished(self, method: str, status: int, origin: Origin, seconds: float) -> None:
        """Count a request whose answer is over; `seconds` from its head to its last byte."""
        try:
            self.requests[method, status, origin] += 1
        except KeyError:
            known_method = method if method in METHODS else OTHER
            known_status = status if 100 <= status <= 599 else OTHER_STATUS
            key = (known_method, known_status, origin)
            self.requests[key] = self.requests.get(key, 0) + 1
        self.duration.observe(seconds)

    def failed(self, code: str) -> None:
        """Count an answer of our own by its code (SPEC §5). Raises KeyError for any other."""
        self.errors[code] += 1

    def connected(self, result: ConnectResult, detail: str = "") -> None:
        """Count an attempt to connect; log when failing begins, goes on and ends.

        `detail` is for the log: where to, and what the system said. Nothing of a request in it.
        """
        self.connects[result] += 1
        if result == "success":
            # `count` is 0 for an upstream that never failed: no clock is read for it.
            failures = self._connecting.count and self._connecting.ended(self._monotonic())
            if failures:
                fields: dict[str, Value] = {"upstream": self.name, "failures": failures}
                self._log.write("info", "upstream_connect_recovered", "connected again", fields)
        elif self._connecting.happened(self._monotonic()):
            fields = {
                "upstream": self.name,
                "result": result,
                "detail": detail or None,
                "failures": self._connecting.count,
            }
            self._log.write("warning", "upstream_connect_failed", "cannot connect", fields)

    def unauthorized(self, action: UnauthorizedAction) -> None:
        """Count a 401 of the upstream to a token of ours, by what came of it.

        What did not end well is logged, folded, with what to look at.
        """
        self.unauthorized_actions[action] += 1
        message = _UNAUTHORIZED_MESSAGES.get(action)
        if message is None:
            return
        times = self._unauthorized[action].happened(self._monotonic())
        if times:
            self._log.warning(
                "upstream_unauthorized", message, upstream=self.name, action=action, times=times
            )
