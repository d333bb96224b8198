"""Our hold on one token: may it be used, is a renewal due, must one wait or be refused.

Pure: instants are handed in as monotonic seconds, chance as a number in [0, 1). A `Lease` is a
frozen value; every event yields the next one. Its laws:

- a token is used to its real end less a margin, never after;
- after `renew_at` a live token is still used, while a renewal is due;
- a failure never shortens a live token; it only says when to ask again;
- a refused (401) token is gone unless the authorization server grants it anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from proxy.errors import ProxyError

if TYPE_CHECKING:
    from proxy.model import Token

LIFETIME_SECONDS_MAX = 10 * 365.25 * 86400
"""A longer lifetime is believed to be this long: "for ever" is not an answer."""

MARGIN_SECONDS_MAX = 5.0
MARGIN_FRACTION = 0.05
RENEWAL_SPREAD = 0.05
RENEWAL_SECONDS_MIN = 0.5
"""No renewal of our own accord sooner than this after a token was asked for: that were spinning."""

YOUNG_SECONDS = 5.0
"""A token refused this soon was refused for another reason than its age: a new one is as bad."""
REJECTION_INTERVAL_SECONDS = 30.0
"""What an upstream that refuses every token may cost: one token request in so many seconds."""

NEVER = float("-inf")


class Decision(Enum):
    """What a caller who wants a token is to do."""

    USE = auto()
    USE_AND_RENEW = auto()
    WAIT = auto()
    REFUSE = auto()


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays between attempts, in seconds: the first, and the longest."""

    first: float
    longest: float

    def delay(self, failures: int) -> float:
        """Return the delay after `failures` failures before this one, without jitter."""
        return min(self.first * 2.0 ** min(failures, 30), self.longest)


TROUBLE = Backoff(1.0, 60.0)
"""The server is unreachable, overloaded or talks nonsense."""
TROUBLE_WANTED = Backoff(1.0, 5.0)
"""The same while somebody waits for it and there is no live token: recovery takes no longer."""
REFUSAL = Backoff(10.0, 60.0)
"""The server refused us; asking again soon may lock the account."""
RETRY_AFTER_SECONDS_MAX = 300.0
CHANGE_SECONDS = 10.0
"""Between two waits that a changed credential ends."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What is known of one audience's token. The default is: nothing yet."""

    token: Token | None = None
    asked_at: float = NEVER
    """When the token was asked for; lifetimes count from here (not from the answer)."""
    renew_at: float = NEVER
    usable_until: float = NEVER
    expires_at: float = NEVER
    repeats: int = 0
    """Renewals in a row that brought a token no younger than the one before."""
    failures: int = 0
    error: ProxyError | None = None
    retry_at: float = NEVER
    """No attempt of our own accord before this."""
    wanted_retry_at: float = NEVER
    """No attempt before this even if a caller asks and no token lives."""
    ever_held: bool = False
    rejected_at: float = NEVER
    awaits_credential: bool = False
    """The last failure is one that a changed credential of ours ends at once."""

    freed_at: float = NEVER
    """When a changed credential ended a wait the last time."""

    def live(self, now: float) -> bool:
        """Say whether the token may be used."""
        return self.token is not None and now < self.usable_until

    def decide(self, now: float) -> Decision:
        """Say what a caller who wants the token at `now` is to do."""
        if self.live(now):
            if now < self.renew_at or now < self.retry_at:
                return Decision.USE
            return Decision.USE_AND_RENEW
        if now < self.wanted_retry_at:
            return Decision.REFUSE
        return Decision.WAIT

    def refusal(self, now: float) -> ProxyError:
        """Return the error that is known, with the time to the next attempt if one is wanted."""
        assert self.error is not None, "a lease that refuses knows why"
        return ProxyError(
            self.error.fault,
            self.error.detail,
            retry_after_seconds=max(self.wanted_retry_at - now, 0),
        )

    def attempt_at(self) -> float:
        """Return the instant of the next attempt of our own accord; `NEVER` means at once."""
        return max(self.renew_at, self.retry_at)

    def granted(
        self,
        token: Token,
        *,
        asked_at: float,
        lifetime_seconds: float,
        renew_at_fraction: float,
        chance: float,
    ) -> Lease:
        """Return the lease on a token just granted. `lifetime_seconds` is positive."""
        lifetime = min(lifetime_seconds, LIFETIME_SECONDS_MAX)
        # Near 0 and 1 there is less room: a renewal due before the token came would never rest.
        spread = min(RENEWAL_SPREAD, renew_at_fraction / 2.0, (1.0 - renew_at_fraction) / 2.0)
        fraction = renew_at_fraction + spread * (2.0 * chance - 1.0)
        margin = min(MARGIN_SECONDS_MAX, MARGIN_FRACTION * lifetime)
        expires_at = asked_at + lifetime
        usable_until = expires_at - margin
        renew_at = min(asked_at + lifetime * fraction, usable_until)
        renew_at = max(renew_at, asked_at + RENEWAL_SECONDS_MIN)
        # A server that keeps handing out what we hold gains nothing by being asked more often.
        repeats = 0
        if self.token is not None and (token == self.token or expires_at <= self.expires_at):
            repeats = self.repeats + 1
            # But when it has lapsed at the latest, or the next caller would wait.
            patience = min(TROUBLE.delay(repeats - 1), max(TROUBLE.first, usable_until - asked_at))
            renew_at = max(renew_at, asked_at + patience)
        return Lease(
            token=token,
            asked_at=asked_at,
            renew_at=renew_at,
            usable_until=usable_until,
            expires_at=expires_at,
            repeats=repeats,
            ever_held=True,
            rejected_at=self.rejected_at,
        )

    def failed(
        self,
        error: ProxyError,
        *,
        now: float,
        chance: float,
        refusal: bool = False,
        awaits_credential: bool = False,
        retry_after_seconds: float | None = None,
    ) -> Lease:
        """Return the lease after an attempt that brought no token.

        `refusal`: the server refused us (4xx), so the longer delays hold. `awaits_credential`:
        another credential may end it. `retry_after_seconds` is what the server asked for; it is
        believed up to `RETRY_AFTER_SECONDS_MAX`.
        """
        # Downward: "5 s" leaves room for the answer, and a minute has no 16th attempt.
        jitter = 0.9 + 0.08 * chance
        if refusal:
            delay = wanted = REFUSAL.delay(self.failures) * jitter
        else:
            wanted = TROUBLE_WANTED.delay(self.failures) * jitter
            delay = TROUBLE.delay(self.failures) * jitter if self.ever_held else wanted
        if retry_after_seconds is not None:
            asked = min(retry_after_seconds * (1.0 + 0.05 * chance), RETRY_AFTER_SECONDS_MAX)
            delay, wanted = max(delay, asked), max(wanted, asked)
        return replace(
            self,
            failures=self.failures + 1,
            error=error,
            retry_at=now + delay,
            wanted_retry_at=now + wanted,
            awaits_credential=refusal or awaits_credential,
        )

    def may_reject(self, token: Token, now: float) -> bool:
        """Say whether a 401 for `token` is a reason to drop it."""
        return (
            self.token == token
            and now - self.asked_at >= YOUNG_SECONDS
            and now - self.rejected_at >= REJECTION_INTERVAL_SECONDS
            and now >= self.wanted_retry_at
        )

    def rejected(self, now: float) -> Lease:
        """Return the lease without its token, which an upstream refused."""
        return replace(
            self,
            token=None,
            asked_at=NEVER,
            renew_at=NEVER,
            usable_until=NEVER,
            expires_at=NEVER,
            repeats=0,
            rejected_at=now,
        )

    def credential_changed(self, now: float) -> Lease:
        """Return the lease free to ask again, if it was our credential that held it back.

        At once, but once in `CHANGE_SECONDS`: a file that changes all the time is no reason to ask
        all the time. The next failure waits as long as it would have without the change.
        """
        if not self.awaits_credential:
            return self
        at = max(now, self.freed_at + CHANGE_SECONDS)
        return replace(
            self,
            retry_at=min(self.retry_at, at),
            wanted_retry_at=min(self.wanted_retry_at, at),
            awaits_credential=False,
            freed_at=at,
        )
