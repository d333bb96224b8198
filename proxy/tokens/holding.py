"""What the cache holds for one audience, and how the end of a fetch changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.tokens.lease import Lease
from proxy.tokens.outcome import timed_out

if TYPE_CHECKING:
    import asyncio

    from proxy.config.schema import Audience
    from proxy.telemetry.audience import AudienceFacts, FetchReason
    from proxy.tokens.fetch import Fetch, Fetched
    from proxy.tokens.outcome import FetchFailed


class Holding:
    """What is held of one audience. Instants are monotonic seconds; `seconds`: a fetch took.

    `retired`: the configuration knows it no more.
    """

    __slots__ = ("audience", "facts", "fetch", "lease", "retired", "task", "timer", "used_at")

    def __init__(self, audience: Audience, fetch: Fetch, facts: AudienceFacts, now: float) -> None:
        self.audience = audience
        self.fetch = fetch
        self.facts = facts
        self.lease = Lease()
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.used_at = now
        self.retired = False

    def stop_timer(self) -> None:
        """Let it wake up no more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def granted(
        self,
        fetched: Fetched,
        reason: FetchReason,
        seconds: float,
        *,
        now: float,
        chance: float,
        called: str,
    ) -> None:
        """Hold a token that was granted, and `called` so. Raises `FetchFailed` if it has lapsed."""
        lease = self.lease.granted(
            fetched.token,
            asked_at=fetched.asked_at,
            lifetime_seconds=fetched.lifetime_seconds,
            renew_at_fraction=self.audience.renew_at,
            chance=chance,
        )
        if not lease.live(now):
            raise timed_out("the token's lifetime was over before its answer came")
        self.lease = lease
        self.facts.token_granted(
            reason=reason,
            seconds=seconds,
            lifetime_seconds=fetched.lifetime_seconds,
            expires_in_seconds=lease.expires_at - now,
            called=called,
        )
        for event, sentence in fetched.warnings.items():
            self.facts.warn(event, sentence)

    def failed(
        self,
        failure: FetchFailed,
        reason: FetchReason,
        seconds: float,
        *,
        now: float,
        chance: float,
    ) -> None:
        """Keep what is held, and note when to ask again."""
        lease = self.lease = self.lease.failed(
            failure.error,
            now=now,
            chance=chance,
            refusal=failure.refusal,
            awaits_credential=failure.awaits_credential,
            retry_after_seconds=failure.retry_after_seconds,
        )
        live = lease.live(now)
        self.facts.fetch_failed(
            reason=reason,
            result=failure.result,
            seconds=seconds,
            code=failure.error.code,
            detail=failure.told,
            # Of its own accord; a caller without a live token may make it sooner.
            retry_in_seconds=max(lease.attempt_at() - now, 0),
            live_for_seconds=lease.usable_until - now if live else None,
            limit=failure.limit,
        )
