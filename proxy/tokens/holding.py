"""What the cache holds for one audience."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.tokens.lease import Lease

if TYPE_CHECKING:
    import asyncio

    from proxy.config.schema import Audience
    from proxy.telemetry.audience import AudienceFacts
    from proxy.tokens.fetch import Fetch


class Holding:
    """What is held of one audience."""

    __slots__ = ("audience", "facts", "fetch", "lease", "task", "timer", "used_at")

    def __init__(self, audience: Audience, fetch: Fetch, facts: AudienceFacts, now: float) -> None:
        self.audience = audience
        self.fetch = fetch
        self.facts = facts
        self.lease = Lease()
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.used_at = now
