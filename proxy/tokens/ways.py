"""Every client's way to its authorization server, shared by the audiences that name the client."""

from __future__ import annotations

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

THREADS_MIN = 2
THREADS_MAX = 64


class Way:
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
        news: Callable[[str], Awaitable[None]],
    ) -> None:
        self.name = name
        self.client = client
        self.endpoint = Endpoint(
            client, resolver=resolver, trust=trust, wall=wall, body_bytes_max=body_bytes_max
        )
        self.locator = TokenEndpointLocator(client, self.endpoint, monotonic=monotonic)
        self.credential = Credential(name, client, trust, facts)
        self.trust = trust
        self._news = news

    def watch(self, files: FileWatch) -> None:
        """Have the files of what we show read again when they change."""
        files.add(self.credential.key, self.credential.files, self._read_proof)
        files.add(self.credential.tls_key, self.trust.files, self._read_tls)

    def unwatch(self, files: FileWatch) -> None:
        """Undo `watch`."""
        files.remove(self.credential.key)
        files.remove(self.credential.tls_key)

    async def close(self) -> None:
        """Close all connections and end searches."""
        self.locator.close()
        await self.endpoint.close()

    async def _read_proof(self) -> None:
        self.credential.read_proof()
        await self._news(self.name)

    async def _read_tls(self) -> None:
        await self.credential.read_tls()
        await self._news(self.name)


class Ways:
    """All clients' ways out, of the configuration that was given last."""

    def __init__(
        self,
        *,
        contexts: TlsContexts,
        files: FileWatch,
        facts: FileFacts,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._contexts = contexts
        self._files = files
        self._facts = facts
        self._monotonic = monotonic
        self._wall = wall
        self._resolver = Resolver(threads=THREADS_MIN, purpose="tokens")
        self._ways: dict[str, Way] = {}
        self.news: Callable[[str], Awaitable[None]] = _nobody_listens
        """Awaited with a client's name when its files have changed."""

    def reconfigure(self, config: Config) -> list[Way]:
        """Have a way for each client of `config`; return those that are none of them any more.

        They still lead out, until they are closed, but their files are not looked at.
        """
        # A look-up that hangs holds one thread; one per client keeps them out of each other's way.
        self._resolver.allow(max(THREADS_MIN, min(len(config.clients), THREADS_MAX)))
        kept = {n: w for n, w in self._ways.items() if config.clients.get(n) == w.client}
        left = [way for name, way in self._ways.items() if name not in kept]
        for way in left:
            way.unwatch(self._files)
        self._ways = {
            name: kept.get(name) or self._way(name, client, config)
            for name, client in config.clients.items()
        }
        for name, way in self._ways.items():
            way.endpoint.body_bytes_max = config.limits.token_response_bytes_max
            if name not in kept:
                way.watch(self._files)
        return left

    def _way(self, name: str, client: Client, config: Config) -> Way:
        return Way(
            name,
            client,
            self._resolver,
            self._contexts.of(client.tls),
            self._facts,
            config.limits.token_response_bytes_max,
            monotonic=self._monotonic,
            wall=self._wall,
            news=self._tell,
        )

    async def _tell(self, client: str) -> None:
        await self.news(client)

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
        """Close all ways."""
        for way in self._ways.values():
            await way.close()
        await self._resolver.close()


async def _nobody_listens(_client: str) -> None:
    """Take no note of a change: nobody holds a token yet."""
