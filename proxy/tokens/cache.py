"""The token half's conductor: single flight, renewal ahead of expiry, rejection.

Rules:

- No `await` between reading a lease and acting on it.
- At most one fetch in flight per audience, whoever asks and for whatever reason. It runs in a
  task of its own; callers wait on it shielded, each under its own deadline.
- A fetch never raises: it stores the next lease, and that holds the error.
- Time is monotonic, from when a token was asked for. Chance and both clocks are handed in.
- The key is the configured audience; audiences share nothing but their client's way out.

How it works: each audience has a `Holding` with its lease, at most one fetch, and one timer that
wakes it when something is due without anybody asking (renewal, another attempt, letting go).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.errors import Fault, ProxyError
from proxy.telemetry.log import places
from proxy.tokens.holding import Holding
from proxy.tokens.lease import Decision, Lease
from proxy.tokens.outcome import FetchFailed, misspoke
from proxy.tokens.ways import Ways

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.schema import Config
    from proxy.files import FileWatch
    from proxy.model import AudienceName, Token
    from proxy.telemetry.audience import FetchReason
    from proxy.telemetry.facts import Telemetry
    from proxy.tls import TlsContexts

TIMER_SECONDS_MAX = 60.0
"""A timer is looked at again this often: those of weeks overflow, all sleep with the machine."""


class TokenCache:
    """The `TokenSource` of a running proxy."""

    def __init__(
        self,
        config: Config,
        telemetry: Telemetry,
        *,
        contexts: TlsContexts,
        files: FileWatch,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._monotonic = monotonic
        self._chance = chance
        self._waiters_max = config.limits.waiters_per_audience_max
        self._closing = self._closed = False
        self._ways = Ways(
            config,
            contexts=contexts,
            files=files,
            facts=telemetry.files,
            monotonic=monotonic,
            wall=wall,
            news=self._credential_news,
        )
        self._holdings = {
            name: Holding(
                audience, self._ways.fetch(audience), telemetry.audiences[name], monotonic()
            )
            for name, audience in config.audiences.items()
        }

    def start(self) -> None:
        """Fetch what is to be there before the first request."""
        for holding in self._holdings.values():
            if holding.audience.prefetch:
                self._begin(holding, "start")

    async def close(self) -> None:
        """End all fetches and timers; no token is to be had afterwards."""
        self.quiesce()
        self._closed = True
        for holding in self._holdings.values():
            holding.lease = Lease()
        tasks = [each.task for each in self._holdings.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for holding in self._holdings.values():
            if holding.task is not None:
                # Cancelled before its first step, so that nothing in it ran.
                holding.task = None
                holding.facts.fetches_in_flight -= 1
        await self._ways.close()

    def quiesce(self) -> None:
        """Start nothing more of our own accord: the proxy is draining."""
        self._closing = True
        for holding in self._holdings.values():
            if holding.timer is not None:
                holding.timer.cancel()

    def token_at_hand(self, audience: AudienceName) -> Token | None:
        """Return a token that nothing is to be done for; see `proxy.model.TokenSource`."""
        holding = self._holdings[audience]
        now = self._monotonic()
        lease = holding.lease
        if now < lease.renew_at and now < lease.usable_until and lease.token is not None:
            holding.used_at = now
            holding.facts.hits += 1
            return lease.token
        return None

    async def token(self, audience: AudienceName) -> Token:
        """Return a live token; see `proxy.model.TokenSource`."""
        token = self.token_at_hand(audience)
        if token is not None:
            return token
        holding = self._holdings[audience]
        now = self._monotonic()
        holding.used_at = now
        lease = holding.lease
        token = lease.token
        match lease.decide(now):
            case Decision.USE if token is not None:
                holding.facts.stale += 1
                return token
            case Decision.USE_AND_RENEW if token is not None:
                holding.facts.stale += 1
                self._begin(holding, "renewal")
                return token
            case Decision.REFUSE if holding.task is None:
                error = lease.refusal(now)
                holding.facts.caller_refused(error.code)
                raise error
            case _:
                return await self._wait(holding, now)

    def reject(self, audience: AudienceName, token: Token) -> bool:
        """Take note of a 401 for `token`; see `proxy.model.TokenSource`."""
        holding = self._holdings[audience]
        now = self._monotonic()
        lease = holding.lease
        if lease.may_reject(token, now):
            holding.lease = lease.rejected(now)
            holding.facts.token_rejected()
            self._begin(holding, "rejected")
            return True
        # Somebody else's 401 has brought another token already, or is about to.
        return lease.token != token and (lease.live(now) or holding.task is not None)

    async def _wait(self, holding: Holding, began_at: float) -> Token:
        facts = holding.facts
        if facts.waiters >= self._waiters_max:
            facts.refused += 1
            raise ProxyError(
                Fault.OVERLOADED,
                "limits.waiters_per_audience_max is reached",
                retry_after_seconds=1,
                limit="waiters_per_audience_max",
            )
        if holding.task is None:
            facts.misses += 1
            self._begin(holding, "miss")
        else:
            facts.joined += 1
        facts.waiters += 1
        try:
            return await self._waited(holding, began_at + holding.audience.wait_seconds_max)
        finally:
            facts.waiters -= 1
            facts.wait.observe(self._monotonic() - began_at)

    async def _waited(self, holding: Holding, deadline: float) -> Token:
        """Wait for fetches until one brings a token or an error that is to be told."""
        while True:
            task = holding.task
            if task is not None:
                # Shielded: a caller that leaves does not cost the others their fetch.
                done, _ = await asyncio.wait({task}, timeout=max(0, deadline - self._monotonic()))
                if not done:
                    raise ProxyError(
                        Fault.TOKEN_WAIT_TIMEOUT,
                        "no token came within wait_seconds_max "
                        f"({holding.audience.wait_seconds_max:g} s)",
                        retry_after_seconds=1,
                    )
            now = self._monotonic()
            lease = holding.lease
            if lease.token is not None and lease.live(now):
                return lease.token
            if lease.error is not None and now < lease.wanted_retry_at:
                raise lease.refusal(now)
            # The token that came was refused by its upstream before this caller's turn.
            self._begin(holding, "miss")

    def _begin(self, holding: Holding, reason: FetchReason) -> None:
        """Start a fetch unless one is in flight. Raises `ProxyError` `shutting_down`."""
        if self._closed:
            raise ProxyError(Fault.SHUTTING_DOWN, "this proxy is shutting down")
        if holding.task is not None or (self._closing and reason == "renewal"):
            return
        if holding.timer is not None:
            holding.timer.cancel()
            holding.timer = None
        holding.facts.fetches_in_flight += 1
        holding.task = asyncio.create_task(
            self._fetched(holding, reason), name=f"token-{holding.facts.name}"
        )

    async def _fetched(self, holding: Holding, reason: FetchReason) -> None:
        began_at = self._monotonic()
        try:
            try:
                fetched = await holding.fetch.ask(holding.lease.token)
                now = self._monotonic()
                holding.granted(fetched, reason, now - began_at, now=now, chance=self._chance())
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
                holding.used_at = self._monotonic()
            self._arm(holding)

    def _failed(
        self, holding: Holding, reason: FetchReason, began_at: float, failure: FetchFailed
    ) -> None:
        now = self._monotonic()
        holding.failed(failure, reason, now - began_at, now=now, chance=self._chance())

    async def _credential_news(self, client: str) -> None:
        """End the backoff of whoever was refused with another credential than `client`'s now."""
        for holding in self._holdings.values():
            if (
                holding.audience.client == client
                and holding.lease.awaits_credential
                and await holding.fetch.credential_changed()
                and holding.task is None
                and not self._closing
            ):
                holding.lease = holding.lease.credential_changed(self._monotonic())
                if holding.timer is not None:
                    holding.timer.cancel()
                self._due(holding)

    def _arm(self, holding: Holding) -> None:
        """Set the timer for what is due next without anybody asking."""
        if self._closing:
            return
        now = self._monotonic()
        lease = holding.lease
        idle_at = holding.used_at + holding.audience.idle_seconds
        due = min(max(lease.attempt_at(), now), max(idle_at, now))
        delay = min(due - now, TIMER_SECONDS_MAX)
        holding.timer = asyncio.get_running_loop().call_later(delay, self._due, holding)

    def _due(self, holding: Holding) -> None:
        holding.timer = None
        if self._closing or holding.task is not None:
            return
        now = self._monotonic()
        if now >= holding.used_at + holding.audience.idle_seconds:
            holding.lease = Lease()
            holding.facts.token_let_go()
            return
        if now >= holding.lease.attempt_at():
            self._begin(holding, "renewal" if holding.lease.ever_held else "start")
        else:
            self._arm(holding)
