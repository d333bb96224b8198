"""A token cache on a bench: a real token endpoint, and time in our hands."""

from __future__ import annotations

import io
import itertools
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from faults.stepped_time import advance, now
from faults.token_server import TokenServer

from proxy.config.loader import load_text
from proxy.errors import ProxyError
from proxy.files import FileWatch
from proxy.model import AudienceName
from proxy.telemetry.facts import Telemetry
from proxy.telemetry.log import Log
from proxy.tls import TlsContexts
from proxy.tokens.cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.telemetry.audience import AudienceFacts

WALL_AT_START = 1_760_000_000.0
ORDERS, STOCK = AudienceName("orders"), AudienceName("stock")


class Bench:
    """A cache, what it asked, and what it says of itself."""

    def __init__(self, cache: TokenCache, telemetry: Telemetry, server: TokenServer) -> None:
        self.cache = cache
        self.telemetry = telemetry
        self.server = server
        self.servers = [server]
        self.log = io.StringIO()

    @property
    def facts(self) -> AudienceFacts:
        return self.telemetry.audiences["orders"]

    def settled(self) -> bool:
        """Whether nothing is under way but what the server holds back."""
        in_flight = sum(each.fetches_in_flight for each in self.telemetry.audiences.values())
        return in_flight == sum(each.held for each in self.servers)

    async def advance(self, seconds: float) -> None:
        await advance(seconds, self.settled)

    async def token(self, audience: AudienceName = ORDERS) -> str:
        """Return the token itself."""
        found = await self.cache.token(audience)
        assert found.header == b"Authorization"
        return found.credential.decode().removeprefix("Bearer ")

    async def refusal(self, audience: AudienceName = ORDERS) -> ProxyError:
        with pytest.raises(ProxyError) as caught:
            await self.cache.token(audience)
        return caught.value

    def events(self, name: str) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [event for event in events if event["event"] == name]


@asynccontextmanager
async def bench(
    *,
    client: dict[str, Any] | None = None,
    audience: dict[str, Any] | None = None,
    clients: dict[str, Any] | None = None,
    audiences: dict[str, Any] | None = None,
    lifetime_seconds: float = 100,
    **top: Any,
) -> AsyncIterator[Bench]:
    """Make a cache with the audience `orders`, not prefetched; chance is always in the middle."""
    async with TokenServer(lifetime_seconds=lifetime_seconds) as server:
        document = {
            "allow_inline_secrets": True,
            "clients": {
                "billing": {
                    "token_endpoint": server.url,
                    "client_id": "billing",
                    **({} if client and "client_secret_file" in client else {"client_secret": "s"}),
                    **(client or {}),
                },
                **(clients or {}),
            },
            "audiences": {
                "orders": {"client": "billing", "prefetch": False} | (audience or {}),
                **(audiences or {}),
            },
            "upstreams": {"api": {"url": "http://127.0.0.1:9", "audience": "orders"}},
            **top,
        }
        config = load_text(yaml.safe_dump(document), "f.yaml", {}, Path())
        began = now()
        stream = io.StringIO()
        telemetry = Telemetry(
            upstreams=config.upstreams,
            audiences=config.audiences,
            log=Log(format="json", level="debug", access="off", stream=stream, wall=lambda: 0.0),
            wall=lambda: WALL_AT_START + now() - began,
            monotonic=now,
        )
        files = FileWatch(telemetry.files)
        cache = TokenCache(
            config,
            telemetry,
            contexts=TlsContexts(),
            files=files,
            monotonic=now,
            wall=telemetry.wall,
            chance=lambda: 0.5,
        )
        the = Bench(cache, telemetry, server)
        the.log = stream
        files.start()
        try:
            yield the
        finally:
            files.close()
            await cache.close()


def gaps(server: TokenServer) -> list[float]:
    """Return the seconds between attempts, those included that were reset."""
    instants = sorted([each.at for each in server.requests] + server.refused_at)
    return [round(after - before, 3) for before, after in itertools.pairwise(instants)]
