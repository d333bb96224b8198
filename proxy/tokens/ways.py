"""Every client's way to its authorization server, shared by the audiences that name the client."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from proxy.network import Resolver
from proxy.tokens.credential import Credential
from proxy.tokens.endpoint import Endpoint
from proxy.tokens.fetch import Fetch
from proxy.tokens.locator import TokenEndpointLocator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.config.client import Client
    from proxy.config.schema import Audience, Config
    from proxy.files import FileWatch
    from proxy.telemetry.files import FileFacts
    from proxy.tls import SharedContext, TlsContexts

THREADS_MAX = 64


class _Way:
    """One client's endpoint, where it is, and what we show there."""

    def __init__(
        self,
        name: str,
        client: Client,
        resolver: Resolver,
        trust: SharedContext,
        facts: FileFacts,
        body_bytes_max: int,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        news: Callable[[], Awaitable[None]],
    ) -> None:
        self.client = client
        self.endpoint = Endpoint(
            client, resolver=resolver, trust=trust, wall=wall, body_bytes_max=body_bytes_max
        )
        self.locator = TokenEndpointLocator(client, self.endpoint, monotonic=monotonic)
        self.credential = Credential(name, client, trust, facts)
        self._news = news

    async def read_proof(self) -> None:
        """Read a changed secret, key or assertion; see `FileWatch.add`."""
        self.credential.read_proof()
        await self._news()

    async def read_tls(self) -> None:
        """Read changed files of `tls`; see `FileWatch.add`."""
        await self.credential.read_tls()
        await self._news()


class Ways:
    """All clients' ways out. `news` is awaited with a client's name when its files have changed."""

    def __init__(
        self,
        config: Config,
        *,
        contexts: TlsContexts,
        files: FileWatch,
        facts: FileFacts,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        news: Callable[[str], Awaitable[None]],
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        # A look-up that hangs holds one thread; one per client keeps them out of each other's way.
        self._resolver = Resolver(
            threads=max(2, min(len(config.clients), THREADS_MAX)), purpose="tokens"
        )
        self._ways = {
            name: _Way(
                name,
                client,
                self._resolver,
                contexts.of(client.tls),
                facts,
                config.limits.token_response_bytes_max,
                monotonic=monotonic,
                wall=wall,
                news=partial(news, name),
            )
            for name, client in config.clients.items()
        }
        for way in self._ways.values():
            credential = way.credential
            files.add(credential.key, credential.files, way.read_proof)
            files.add(credential.tls_key, contexts.of(way.client.tls).files, way.read_tls)

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
