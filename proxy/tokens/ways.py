"""Every client's way to its authorization server, shared by the audiences that name the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.network import Resolver, TlsContexts
from proxy.tokens.endpoint import Endpoint
from proxy.tokens.fetch import Credential, Fetch
from proxy.tokens.metadata import TokenEndpointLocator

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.schema import Audience, Client, Config

THREADS_MAX = 64


class _Way:
    """One client's endpoint, where it is, and what we show there."""

    def __init__(
        self,
        client: Client,
        resolver: Resolver,
        contexts: TlsContexts,
        body_bytes_max: int,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.client = client
        self.endpoint = Endpoint(
            client,
            resolver=resolver,
            contexts=contexts,
            wall=wall,
            body_bytes_max=body_bytes_max,
        )
        self.locator = TokenEndpointLocator(client, self.endpoint, monotonic=monotonic)
        self.credential = Credential(client)


class Ways:
    """All clients' ways out."""

    def __init__(
        self, config: Config, *, monotonic: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        # A look-up that hangs holds one thread; one per client keeps them out of each other's way.
        self._resolver = Resolver(
            threads=max(2, min(len(config.clients), THREADS_MAX)), purpose="tokens"
        )
        contexts = TlsContexts()
        self._ways = {
            name: _Way(
                client,
                self._resolver,
                contexts,
                config.limits.token_response_bytes_max,
                monotonic=monotonic,
                wall=wall,
            )
            for name, client in config.clients.items()
        }

    def fetch(self, audience: Audience) -> Fetch:
        """Return what asks for `audience`'s token."""
        way = self._ways[audience.client]
        return Fetch(
            way.client,
            audience,
            endpoint=way.endpoint,
            locator=way.locator,
            credential=way.credential,
            monotonic=self._monotonic,
            wall=self._wall,
        )

    async def close(self) -> None:
        """Close all connections and end searches."""
        for way in self._ways.values():
            way.locator.close()
            await way.endpoint.close()
        await self._resolver.close()
