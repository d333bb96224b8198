"""What a configuration makes of its upstreams: routes, and a lane for each.

Another configuration makes other lanes; a request goes to its end on the lane it began on. An
upstream that is as it was keeps its connections; the connections of one that is not, or is no more,
are closed as they come free.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from proxy.forwarding.lane import Lane
from proxy.forwarding.pool import Pool
from proxy.forwarding.routing import Routes
from proxy.network import Descriptors, Resolver

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.config.schema import Config, Limits
    from proxy.forwarding.routing import Route
    from proxy.model import TokenSource
    from proxy.telemetry.facts import Telemetry
    from proxy.tls import TlsContexts

RESOLVER_THREADS_MIN = 2
RESOLVER_THREADS_MAX = 16


class Lanes:
    """The lanes in use: `by_name`; and `routes`, which say whose a request is."""

    def __init__(
        self,
        config: Config,
        tokens: TokenSource,
        telemetry: Telemetry,
        *,
        contexts: TlsContexts,
        loop: asyncio.AbstractEventLoop,
        draining: Callable[[], bool],
    ) -> None:
        self._telemetry = telemetry
        self._contexts = contexts
        self._loop = loop
        self._draining = draining
        self._resolver = Resolver(threads=RESOLVER_THREADS_MIN, purpose="upstreams")
        pseudonym = f"token-proxy-{secrets.token_hex(4)}"
        self.pseudonym = pseudonym.encode("ascii")
        """How this very instance is called in `Via`."""
        self._via = f"Via: 1.1 {pseudonym}".encode("ascii")
        self.descriptors = Descriptors(config.limits.connections_max)
        self.by_name: dict[str, Lane] = {}
        self.routes = Routes(config)
        self.reconfigure(config, tokens)

    def reconfigure(self, config: Config, tokens: TokenSource) -> list[Lane]:
        """Use the lanes of `config` from now on; return those that were used until now.

        The telemetry knows the upstreams already, TLS contexts are made. Raises nothing then.
        """
        self._resolver.allow(
            max(RESOLVER_THREADS_MIN, min(len(config.upstreams), RESOLVER_THREADS_MAX))
        )
        self.descriptors.allow(config.limits.connections_max)
        routes = Routes(config)
        routes.ports = self.routes.ports
        before = self.by_name
        self.by_name = {
            route.name: self._lane(route, config, tokens, before.get(route.name))
            for route in routes.routes
        }
        self.routes = routes
        used = {lane.pool for lane in self.by_name.values()}
        for lane in before.values():
            if lane.pool not in used:
                lane.pool.retire()
        return list(before.values())

    def _lane(self, route: Route, config: Config, tokens: TokenSource, before: Lane | None) -> Lane:
        facts = self._telemetry.upstreams[route.name]
        if (
            before is not None
            and before.route.upstream == route.upstream
            and _read_alike(before.limits, config.limits)
        ):
            pool = before.pool
        else:
            pool = Pool(
                route,
                loop=self._loop,
                resolver=self._resolver,
                contexts=self._contexts,
                descriptors=self.descriptors,
                limits=config.limits,
                facts=facts,
            )
        return Lane(
            route=route,
            pool=pool,
            facts=facts,
            tokens=tokens,
            limits=config.limits,
            via=self._via,
            now=self._loop.time,
            draining=self._draining,
        )

    async def close(self) -> None:
        """Close all connections to upstreams."""
        for lane in self.by_name.values():
            lane.pool.close()
        await self._resolver.close()


def _read_alike(one: Limits, other: Limits) -> bool:
    """Return whether a connection reads answers under the one as it does under the other."""
    return (one.head_bytes_max, one.header_fields_max) == (
        other.head_bytes_max,
        other.header_fields_max,
    )
