"""Keeps a token for each holding: one fetch in flight, renewal ahead of expiry, letting go.

Rules:

- No `await` between reading a lease and acting on it.
- At most one fetch in flight per holding, whoever asks and for whatever reason. It runs in a
  task of its own; callers wait on it shielded, each under its own deadline.
- A fetch never raises: it stores the next lease, and that holds the error.
- Time is monotonic, from when a token was asked for. Chance and clock are handed in.

How it works: each holding has its lease, at most one fetch, and one timer that wakes it when
something is due without anybody asking (renewal, another attempt, letting go). One that the
configuration knows no more (`retire`) does nothing of its own accord; who asked before still may.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING

from proxy.errors import Fault, ProxyError
from proxy.telemetry.log import places
from proxy.tokens.lease import Lease
from proxy.tokens.outcome import FetchFailed, misspoke

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.model import Token
    from proxy.telemetry.audience import FetchReason
    from proxy.tokens.holding import Holding

TIMER_SECONDS_MAX = 60.0
"""A timer is looked at again this often: those of weeks overflow, all sleep with the machine."""


class Keeper:
    """See the module's docstring. `waiters_max` bounds the callers that wait for one token."""

    def __init__(
        self, *, waiters_max: int, monotonic: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        self.waiters_max = waiters_max
        self.chance = chance
        self.monotonic = monotonic
        self._closing = self._closed = False
        self._key = secrets.token_bytes(16)

    def quiesce(self, holdings: Iterable[Holding]) -> None:
        """Start nothing more of our own accord: the proxy is draining."""
        self._closing = True
        for holding in holdings:
            holding.stop_timer()

    async def close(self, holdings: Iterable[Holding]) -> None:
        """End all there is; no token is to be had from anybody afterwards."""
        self._closed = True
        await self.end(holdings)

    def retire(self, holding: Holding) -> None:
        """Do nothing more for it of our own accord: nobody new will ask for its token."""
        holding.retired = True
        holding.stop_timer()

    async def end(self, holdings: Iterable[Holding]) -> None:
        """End the fetches and timers of holdings that nobody asks any more."""
        ending = list(holdings)
        for holding in ending:
            holding.lease = Lease()
            self.retire(holding)
        tasks = [each.task for each in ending if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for holding in ending:
            if holding.task is not None:
                # Cancelled before its first step, so that nothing in it ran.
                holding.task = None
                holding.facts.fetches_in_flight -= 1

    async def wait(self, holding: Holding, began_at: float) -> Token:
        """Wait for a token, since `began_at`. Raises `ProxyError` when none is to be had."""
        facts = holding.facts
        if facts.waiters >= self.waiters_max:
            facts.refused += 1
            raise ProxyError(
                Fault.OVERLOADED,
                "limits.waiters_per_audience_max is reached",
                retry_after_seconds=1,
                limit="waiters_per_audience_max",
            )
        if holding.task is None:
            facts.misses += 1
            self.begin(holding, "miss")
        else:
            facts.joined += 1
        facts.waiters += 1
        try:
            return await self._waited(holding, began_at + holding.audience.wait_seconds_max)
        finally:
            facts.waiters -= 1
            facts.wait.observe(self.monotonic() - began_at)

    async def _waited(self, holding: Holding, deadline: float) -> Token:
        """Wait for fetches until one brings a token or an error that is to be told."""
        while True:
            task = holding.task
            if task is not None:
                # Shielded: a caller that leaves does not cost the others their fetch.
                done, _ = await asyncio.wait({task}, timeout=max(0, deadline - self.monotonic()))
                if not done:
                    raise ProxyError(
                        Fault.TOKEN_WAIT_TIMEOUT,
                        "no token came within wait_seconds_max "
                        f"({holding.audience.wait_seconds_max:g} s)",
                        retry_after_seconds=1,
                    )
            now = self.monotonic()
            lease = holding.lease
            if lease.token is not None and lease.live(now):
                return lease.token
            if lease.error is not None and now < lease.wanted_retry_at:
                raise lease.refusal(now)
            # The token that came was refused by its upstream before this caller's turn.
            self.begin(holding, "miss")

    def begin(self, holding: Holding, reason: FetchReason) -> None:
        """Start a fetch unless one is in flight. Raises `ProxyError` `shutting_down`."""
        if self._closed:
            raise ProxyError(Fault.SHUTTING_DOWN, "this proxy is shutting down")
        own_accord = reason == "renewal"
        if holding.task is not None or (own_accord and (self._closing or holding.retired)):
            return
        holding.stop_timer()
        holding.facts.fetches_in_flight += 1
        holding.task = asyncio.create_task(
            self._fetched(holding, reason), name=f"token-{holding.facts.name}"
        )

    async def _fetched(self, holding: Holding, reason: FetchReason) -> None:
        began_at = self.monotonic()
        try:
            try:
                fetched = await holding.fetch.ask(holding.lease.token)
                now = self.monotonic()
                holding.granted(
                    fetched,
                    reason,
                    now - began_at,
                    now=now,
                    chance=self.chance(),
                    called=self._called(fetched.token),
                )
            except FetchFailed as failure:
                self._failed(holding, reason, began_at, failure)
            except Exception as error:  # noqa: BLE001 - see below
                # A fault of ours. Waiters must hear of it, and the backoff must hold, or they
                # would ask again at once; the text of a foreign exception may hold a secret.
                where = f"{type(error).__name__} at {places(error)}"
                ours = misspoke("the token answer met a fault of this proxy", where)
                self._failed(holding, reason, began_at, ours)
        finally:
            holding.task = None
            holding.facts.fetches_in_flight -= 1
            if holding.facts.waiters:
                # What somebody waits for is in use, however long it took.
                holding.used_at = self.monotonic()
            self._arm(holding)

    def _called(self, token: Token) -> str:
        """Return what a token is called in the log: a hash that only this process can make."""
        return hashlib.blake2s(token.credential, key=self._key, digest_size=4).hexdigest()

    def _failed(
        self, holding: Holding, reason: FetchReason, began_at: float, failure: FetchFailed
    ) -> None:
        now = self.monotonic()
        holding.failed(failure, reason, now - began_at, now=now, chance=self.chance())

    async def credential_news(self, holdings: Iterable[Holding]) -> None:
        """End the backoff of whoever was refused with another credential than there is now."""
        for holding in holdings:
            if (
                holding.lease.awaits_credential
                and await holding.fetch.credential_changed()
                and holding.task is None
                and not self._closing
                and not holding.retired
            ):
                holding.lease = holding.lease.credential_changed(self.monotonic())
                holding.stop_timer()
                self._due(holding)

    def _arm(self, holding: Holding) -> None:
        """Set the timer for what is due next without anybody asking."""
        if self._closing or holding.retired:
            return
        now = self.monotonic()
        lease = holding.lease
        idle_at = holding.used_at + holding.audience.idle_seconds
        due = min(max(lease.attempt_at(), now), max(idle_at, now))
        delay = min(due - now, TIMER_SECONDS_MAX)
        holding.timer = asyncio.get_running_loop().call_later(delay, self._due, holding)

    def _due(self, holding: Holding) -> None:
        holding.timer = None
        if self._closing or holding.task is not None:
            return
        now = self.monotonic()
        if now >= holding.used_at + holding.audience.idle_seconds:
            holding.lease = Lease()
            holding.facts.token_let_go()
            return
        if now >= holding.lease.attempt_at():
            self.begin(holding, "renewal" if holding.lease.ever_held else "start")
        else:
            self._arm(holding)
