"""The token half's front: a live token for each audience of a configuration.

The rules of keeping are `keeper`'s. The key is the configured audience; audiences share nothing but
their client's way out.

A configuration that was read again makes another cache (`reconfigured`). Audiences that are as they
were are held on, in both; those that are not are held anew, and nobody gets another audience's
token because the two have one name: who began with the old cache goes on with it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from proxy.tokens.holding import Holding
from proxy.tokens.keeper import Keeper
from proxy.tokens.lease import Decision
from proxy.tokens.ways import Ways

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from proxy.config.client import Client
    from proxy.config.schema import Config
    from proxy.files import FileWatch
    from proxy.model import AudienceName, Token
    from proxy.telemetry.facts import Telemetry
    from proxy.tls import TlsContexts
    from proxy.tokens.ways import Way


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
        self._telemetry = telemetry
        self.keeper = Keeper(
            waiters_max=config.limits.waiters_per_audience_max, monotonic=monotonic, chance=chance
        )
        self._ways = Ways(
            contexts=contexts, files=files, facts=telemetry.files, monotonic=monotonic, wall=wall
        )
        self.retired = Retired(self.keeper)
        """What configurations left over; all caches that come of this one have it."""
        self._holdings: dict[str, Holding] = {}
        self._clients: dict[str, Client] = {}
        self._hold(config, {})

    def _hold(self, config: Config, held: dict[str, Holding]) -> list[Way]:
        """Hold what a configuration wants; `held` is at hand already. Return ways not wanted."""
        left = self._ways.reconfigure(config)
        self._clients = dict(config.clients)
        self._holdings = {
            name: held.get(name)
            or Holding(
                audience,
                self._ways.fetch(audience),
                self._telemetry.audiences[name],
                self._monotonic(),
            )
            for name, audience in config.audiences.items()
        }
        self._ways.news = self._credential_news
        return left

    def start(self, kept: Collection[str] = ()) -> None:
        """Fetch what is to be there before the first request, but for what was `kept`."""
        for name, holding in self._holdings.items():
            if holding.audience.prefetch and name not in kept:
                self.keeper.begin(holding, "start")

    def unchanged(self, config: Config) -> set[str]:
        """Return the audiences of `config` that are held as they are wanted there."""
        return {
            name
            for name, audience in config.audiences.items()
            if name in self._holdings
            and self._holdings[name].audience == audience
            and self._clients[audience.client] == config.clients[audience.client]
        }

    def reconfigured(self, config: Config, kept: Collection[str]) -> TokenCache:
        """Return the cache of another configuration; then `start` it.

        What is `kept`, of that which is `unchanged`, keeps its token, the rest is `retired`. The
        telemetry has to know the audiences that are new.
        """
        new = copy.copy(self)
        ways = new._hold(  # noqa: SLF001 - one of us
            config, {name: self._holdings[name] for name in kept}
        )
        self.keeper.waiters_max = config.limits.waiters_per_audience_max
        holdings = [holding for name, holding in self._holdings.items() if name not in kept]
        for holding in holdings:
            self.keeper.retire(holding)
        self.retired.add(holdings, ways)
        return new

    def held(self, audience: str) -> Holding:
        """Return what is held of an audience."""
        return self._holdings[audience]

    async def close(self) -> None:
        """End all fetches and timers; no token is to be had afterwards."""
        self.quiesce()
        await self.keeper.close(self._holdings.values())
        await self._ways.close()

    def quiesce(self) -> None:
        """Start nothing more of our own accord: the proxy is draining."""
        self.keeper.quiesce(self._holdings.values())

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
                self.keeper.begin(holding, "renewal")
                return token
            case Decision.REFUSE if holding.task is None:
                error = lease.refusal(now)
                holding.facts.caller_refused(error.code)
                raise error
            case _:
                return await self.keeper.wait(holding, now)

    def reject(self, audience: AudienceName, token: Token) -> bool:
        """Take note of a 401 for `token`; see `proxy.model.TokenSource`."""
        holding = self._holdings[audience]
        now = self._monotonic()
        lease = holding.lease
        if lease.may_reject(token, now):
            holding.lease = lease.rejected(now)
            holding.facts.token_rejected()
            self.keeper.begin(holding, "rejected")
            return True
        # Somebody else's 401 has brought another token already, or is about to.
        return lease.token != token and (lease.live(now) or holding.task is not None)

    async def _credential_news(self, client: str) -> None:
        """End the backoff of whoever was refused with another credential than `client`'s now."""
        await self.keeper.credential_news(
            [each for each in self._holdings.values() if each.audience.client == client]
        )


class Retired:
    """What configurations left over: still there for requests that began before."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._holdings: list[Holding] = []
        self._ways: list[Way] = []

    def add(self, holdings: Iterable[Holding], ways: Iterable[Way]) -> None:
        """Keep these until they are ended."""
        self._holdings += holdings
        self._ways += ways

    async def end(self, *, but: Collection[Holding] = ()) -> None:
        """End what nobody asks for any more: all but these, and the ways that they ask on."""
        ending = [each for each in self._holdings if each not in but]
        self._holdings = [each for each in self._holdings if each in but]
        wanted = {each.fetch.endpoint for each in self._holdings}
        closing = [way for way in self._ways if way.endpoint not in wanted]
        self._ways = [way for way in self._ways if way.endpoint in wanted]
        await self._keeper.end(ending)
        for way in closing:
            await way.close()
