"""One audience's facts: look-ups, fetches, the token's times, and what the log says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from proxy.errors import ADVICE
from proxy.telemetry.fetches import FetchOver
from proxy.telemetry.histogram import FETCH_BOUNDS, WAIT_BOUNDS, Histogram
from proxy.telemetry.repeats import Occurrences, Repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.telemetry.fetches import Fetches
    from proxy.telemetry.log import Log

FetchReason = Literal["start", "miss", "renewal", "rejected"]
FetchResult = Literal[
    "success", "refused", "unavailable", "timeout", "misspoke", "credential_unreadable"
]
CLOCK_SET_SECONDS = 1.0
"""By so much the wall clock must be off against the monotonic one to have been set."""
State = Literal["absent", "live", "rejected", "failing", "idle"]


class AudienceFacts:
    """One audience. The plain numbers are adjusted by the cache; the methods also log.

    `expires_at` and `last_success_at` are Unix time; they and `lifetime_seconds` are None until
    known. `has_had_token` never goes back to False. While it fails: `failing_since` and
    `retry_at`, Unix time too, and `failing_with`, the code; None otherwise.
    """

    def __init__(
        self,
        name: str,
        *,
        log: Log,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        limits_reached: dict[str, int],
        fetches: Fetches,
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
        self._expires_at: float | None = None
        self._ahead = 0.0
        self.last_success_at: float | None = None
        self.lifetime_seconds: float | None = None
        self.has_had_token = False
        self._token: str | None = None
        self._idle = self._rejected = False
        self.failing_since: float | None = None
        self.failing_with: str | None = None
        self.retry_at: float | None = None
        self._limits_reached = limits_reached
        self._fetches = fetches
        self._log = log
        self._wall = wall
        self._monotonic = monotonic
        self._failing = Repeats()
        self._callers_failing = False
        self._rejections = Occurrences()
        self._oddities: dict[str, Occurrences] = {}

    @property
    def state(self) -> State:
        """How it stands: `failing` from the first failure on, whether or not a token lives.

        `rejected`: an upstream said 401 to the token, which is used no more, and none came since.
        """
        if self.consecutive_failures:
            return "failing"
        if self._rejected:
            return "rejected"
        if self._idle:
            return "idle"
        return "live" if self.expires_at is not None and self.expires_in_seconds > 0 else "absent"

    @property
    def rejected(self) -> bool:
        """Whether an upstream refused the token, which is used no more, and none came since."""
        return self._rejected

    @property
    def expires_at(self) -> float | None:
        """Unix time of the token's end, by the clock as it is set now; None until known.

        A token goes on by the monotonic clock. So that nothing goes off, or sleeps, when the wall
        clock is set, its end is told by the new time. Small differences are the clock's own
        keeping of time, and would make another sample of each.
        """
        if self._expires_at is None:
            return None
        set_by = self._wall() - self._monotonic() - self._ahead
        return self._expires_at + (set_by if abs(set_by) >= CLOCK_SET_SECONDS else 0.0)

    @property
    def expires_in_seconds(self) -> float:
        """Seconds until the token expires, negative afterwards; NaN when there is none."""
        expires_at = self.expires_at
        return float("nan") if expires_at is None else expires_at - self._wall()

    def token_granted(
        self,
        *,
        reason: FetchReason,
        seconds: float,
        lifetime_seconds: float,
        expires_in_seconds: float,
        called: str | None = None,
    ) -> None:
        """Note a token. `seconds` is how long the fetch took, `expires_in_seconds` what is left.

        `called`: what tells it from others in the log, where nothing of the token itself is.
        """
        self._token = called
        self.fetches[reason, "success"] += 1
        self.fetch_duration.observe(seconds)
        news = self.last_success_at is None
        failures = self._failing.ended(self._monotonic())
        self.last_success_at = self._wall()
        self._expires_at = self.last_success_at + expires_in_seconds
        self._ahead = self.last_success_at - self._monotonic()
        self.lifetime_seconds = lifetime_seconds
        self.has_had_token = True
        self.consecutive_failures = 0
        self._idle = self._rejected = self._callers_failing = False
        self._fails_no_more()
        self._fetches.over(FetchOver(self.last_success_at, self.name, reason, "success", seconds))
        message = f"granted again after {failures} failures" if failures else "granted a token"
        self._log.write(
            "info" if news or failures else "debug",
            "token_granted",
            message,
            {
                "audience": self.name,
                "token": called,
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
        limit: str | None = None,
    ) -> None:
        """Note a fetch that brought no token. `live_for_seconds`: what is left of the old one.

        `detail` may hold what the server said, for the log only. That the old token has lapsed,
        so that callers fail now, is said at once, whatever was said before; so is another `code`,
        for another thing is to be done about it. `limit` is the bound that the answer went beyond.
        """
        if limit is not None:
            self._limits_reached[limit] += 1
        self.fetches[reason, result] += 1
        self.fetch_duration.observe(seconds)
        self.consecutive_failures += 1
        now = self._wall()
        self._fetches.over(FetchOver(now, self.name, reason, result, seconds, code))
        if self.failing_since is None:
            self.failing_since = now
        self.retry_at = now + retry_in_seconds
        lapsed = live_for_seconds is None or live_for_seconds <= 0
        if lapsed and not self._callers_failing:
            self._callers_failing = True
            self._failing.escalate()
        if code != self.failing_with:
            self.failing_with = code
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
                "failing_for_seconds": (now - self.failing_since) or None,
                "advice": ADVICE.get(code),
            },
        )

    def caller_refused(self, code: str) -> None:
        """Count a caller who was told at once what is known; log the first since the lapse."""
        self.refused += 1
        if self._callers_failing:
            return
        # The token ended between two attempts: the next failure may be a minute away.
        self._callers_failing = True
        self._log.error(
            "token_lapsed",
            "the token has lapsed and no new one is to be had, callers get an error",
            audience=self.name,
            code=code,
            failures=self.consecutive_failures,
            failing_for_seconds=None
            if self.failing_since is None
            else self._wall() - self.failing_since,
            advice=ADVICE.get(code),
        )

    def token_rejected(self) -> None:
        """Note that the token is used no more, as an upstream answered 401 to it."""
        self._rejected = True
        times = self._rejections.happened(self._monotonic())
        if times:
            self._log.warning(
                "token_rejected",
                "an upstream answered 401 to our token, getting another",
                audience=self.name,
                token=self._token,
                times=times,
            )

    def token_let_go(self) -> None:
        """Note that the token was unused for long and is no longer kept."""
        self._expires_at = self.last_success_at = self.lifetime_seconds = None
        # A failure count left behind would keep an alert alight for what nobody wants.
        self.consecutive_failures = 0
        self._failing.ended(self._monotonic())
        self._callers_failing = self._rejected = False
        self._fails_no_more()
        self._idle = True
        self._log.info("token_let_go", "unused for long, let go", audience=self.name)

    def _fails_no_more(self) -> None:
        self.failing_since = self.failing_with = self.retry_at = None

    def warn(self, event: str, message: str) -> None:
        """Log an answer that is odd but usable. `event` is one of a few fixed words."""
        times = self._oddities.setdefault(event, Occurrences()).happened(self._monotonic())
        if times:
            self._log.warning(event, message, audience=self.name, times=times)
