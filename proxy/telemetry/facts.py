"""What operators want to know, as facts: one method per fact moves metric and log together.

Rules. What happens for every request costs an integer addition (a bisection more for a histogram);
names, labels and text are the exposition's work. All of it is changed on the event loop only; the
exposition reads it in a thread, copying each dict and list before it walks it. Labels are names
from the configuration or members of the fixed sets below, never what a caller or a server chose.
`""` among the upstreams stands for what was answered before an upstream was known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from proxy.errors import Fault
from proxy.telemetry.histogram import FETCH_BOUNDS, REQUEST_BOUNDS, WAIT_BOUNDS, Histogram
from proxy.telemetry.repeats import Occurrences, Repeats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.telemetry.log import Log, Value

__all__ = ["AudienceFacts", "Histogram", "Telemetry", "UpstreamFacts"]

Origin = Literal["upstream", "proxy"]
ConnectResult = Literal["success", "name", "refused", "timeout", "tls", "other"]
UnauthorizedAction = Literal["renewed_ok", "renewed_still_401", "passed"]
FetchReason = Literal["start", "miss", "renewal", "rejected"]
FetchResult = Literal[
    "success", "refused", "unavailable", "timeout", "misspoke", "credential_unreadable"
]
State = Literal["absent", "live", "failing", "idle"]

METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
)
OTHER = "_OTHER"
OTHER_STATUS = 0
"""Stands for a status outside 100 to 599, which no registry knows; shown as `_OTHER`."""

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

    def connected(self, result: ConnectResult) -> None:
        """Count an attempt to connect; log when failing begins, goes on and ends."""
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
                "failures": self._connecting.count,
            }
            self._log.write("warning", "upstream_connect_failed", "cannot connect", fields)

    def unauthorized(self, action: UnauthorizedAction) -> None:
        """Count a 401 of the upstream to a token of ours, by what came of it."""
        self.unauthorized_actions[action] += 1


class AudienceFacts:
    """One audience. The plain numbers are adjusted by the cache; the methods also log.

    `expires_at` and `last_success_at` are Unix time; they and `lifetime_seconds` are None until
    known. `has_had_token` never goes back to False.
    """

    def __init__(
        self, name: str, *, log: Log, wall: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self.name = name
        self.hits = self.stale = self.joined = self.misses = self.refused = 0
        self.waiters = 0
        self.fetches_in_flight = 0
        self.wait = Histogram(WAIT_BOUNDS)
        self.fetch_duration = Histogram(FETCH_BOUNDS)
        self.fetches: dict[tuple[str, str], int] = {
            (reason, result): 0
            for reason in get_args(FetchReason)
            for result in get_args(FetchResult)
        }
        self.consecutive_failures = 0
        self.expires_at: float | None = None
        self.last_success_at: float | None = None
        self.lifetime_seconds: float | None = None
        self.has_had_token = False
        self._idle = False
        self._log = log
        self._wall = wall
        self._monotonic = monotonic
        self._failing = Repeats()
        self._callers_failing = False
        self._rejections = Occurrences()
        self._oddities: dict[str, Occurrences] = {}

    @property
    def state(self) -> State:
        """How it stands: `failing` from the first failure on, whether or not a token lives."""
        if self.consecutive_failures:
            return "failing"
        if self._idle:
            return "idle"
        return "live" if self.expires_at is not None and self.expires_in_seconds > 0 else "absent"

    @property
    def expires_in_seconds(self) -> float:
        """Seconds until the token expires, negative afterwards; NaN when there is none."""
        return float("nan") if self.expires_at is None else self.expires_at - self._wall()

    def token_granted(
        self,
        *,
        reason: FetchReason,
        seconds: float,
        lifetime_seconds: float,
        expires_in_seconds: float,
    ) -> None:
        """Note a token. `seconds` is how long the fetch took, `expires_in_seconds` what is left."""
        self.fetches[reason, "success"] += 1
        self.fetch_duration.observe(seconds)
        news = self.last_success_at is None
        failures = self._failing.ended(self._monotonic())
        self.last_success_at = self._wall()
        self.expires_at = self.last_success_at + expires_in_seconds
        self.lifetime_seconds = lifetime_seconds
        self.has_had_token = True
        self.consecutive_failures = 0
        self._idle = self._callers_failing = False
        message = f"granted again after {failures} failures" if failures else "granted a token"
        self._log.write(
            "info" if news or failures else "debug",
            "token_granted",
            message,
            {
                "audience": self.name,
                "reason": reason,
                "duration_seconds": seconds,
                "lifetime_seconds": lifetime_seconds,
                "expires_in_seconds": expires_in_seconds,
                "failures": failures or None,
            },
        )

    def fetch_failed(
        self,
        *,
        reason: FetchReason,
        result: FetchResult,
        seconds: float,
        code: str,
        detail: str,
        retry_in_seconds: float,
        live_for_seconds: float | None,
    ) -> None:
        """Note a fetch that brought no token. `live_for_seconds`: what is left of the old one.

        `detail` may hold what the server said, for the log only. That the old token has lapsed,
        so that callers fail now, is said at once, whatever was said before.
        """
        self.fetches[reason, result] += 1
        self.fetch_duration.observe(seconds)
        self.consecutive_failures += 1
        lapsed = live_for_seconds is None or live_for_seconds <= 0
        if lapsed and not self._callers_failing:
            self._callers_failing = True
            self._failing.escalate()
        if not self._failing.happened(self._monotonic()):
            return
        self._log.write(
            "error" if lapsed else "warning",
            "token_fetch_failed",
            "no token to be had, callers get an error"
            if lapsed
            else f"no new token to be had, the old one lives for {live_for_seconds:.0f} s",
            {
                "audience": self.name,
                "code": code,
                "reason": reason,
                "result": result,
                "detail": detail,
                "failures": self._failing.count,
                "duration_seconds": seconds,
                "retry_in_seconds": retry_in_seconds,
                "live_for_seconds": None if lapsed else live_for_seconds,
            },
        )

    def token_rejected(self, upstream: str | None = None) -> None:
        """Note that an upstream answered 401 to a token of ours."""
        times = self._rejections.happened(self._monotonic())
        if times:
            fields = {"audience": self.name, "upstream": upstream, "times": times}
            self._log.write(
                "warning", "token_rejected", "an upstream answered 401 to our token", fields
            )

    def token_let_go(self) -> None:
        """Note that the token was unused for long and is no longer kept."""
        self.expires_at = self.last_success_at = self.lifetime_seconds = None
        # A failure count left behind would keep an alert alight for what nobody wants.
        self.consecutive_failures = 0
        self._failing.ended(self._monotonic())
        self._callers_failing = False
        self._idle = True
        self._log.info("token_let_go", "unused for long, let go", audience=self.name)

    def warn(self, event: str, message: str) -> None:
        """Log an answer that is odd but usable. `event` is one of a few fixed words."""
        times = self._oddities.setdefault(event, Occurrences()).happened(self._monotonic())
        if times:
            self._log.warning(event, message, audience=self.name, times=times)


class Telemetry:
    """All facts of one process. `wall` gives Unix time, `monotonic` an instant, in seconds."""

    def __init__(
        self,
        *,
        upstreams: Iterable[str],
        audiences: Iterable[str],
        log: Log,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.log = log
        self.wall = wall
        self.upstreams = {
            name: UpstreamFacts(name, log=log, monotonic=monotonic) for name in ("", *upstreams)
        }
        self.audiences = {
            name: AudienceFacts(name, log=log, wall=wall, monotonic=monotonic) for name in audiences
        }
        self.event_loop_lag_seconds = 0.0
        self.config_last_reload_successful = True
        self.config_last_reload_success_at = wall()
