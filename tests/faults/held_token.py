"""A proxy that holds a token of some age, before an upstream that may refuse it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faults.token_server import configuration, running, surroundings, token_of
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from faults.token_server import Guard, Proxy, TokenServer
    from integration.recording_upstream import RecordingUpstream


class Held:
    """The proxy, its server and its upstream; what came of 401s."""

    def __init__(
        self, proxy: Proxy, server: TokenServer, upstream: RecordingUpstream, guard: Guard
    ) -> None:
        self.proxy = proxy
        self.server = server
        self.upstream = upstream
        self.guard = guard

    def actions(self, upstream: str = "api") -> dict[str, int]:
        """Return how often each thing came of a 401, but for what never did."""
        facts = self.proxy.app.telemetry.upstreams[upstream]
        return {name: times for name, times in facts.unauthorized_actions.items() if times}

    async def told_actions(self) -> dict[str, float]:
        """Return the same as the metric tells it, zeros included; needs the admin listener."""
        return {
            sample.labels["action"]: sample.value
            for family in text_string_to_metric_families(await self.proxy.metrics())
            for sample in family.samples
            if sample.name == "tokenproxy_upstream_unauthorized_total"
        }

    def sent(self) -> list[str]:
        """Return the tokens that the upstream got, in order."""
        return [token_of(each) for each in self.upstream.requests]


@asynccontextmanager
async def held(
    *, age_seconds: float = 10, top: dict[str, Any] | None = None, **upstream_keys: Any
) -> AsyncIterator[Held]:
    """Run a proxy whose token `token-1` is `age_seconds` old; `top` are keys of the first level."""
    async with surroundings() as (server, upstream, guard):
        config = configuration(server, upstream.url, upstream=upstream_keys, **(top or {}))
        async with running(config, Path()) as proxy:
            assert await proxy.status() == 200
            await proxy.advance(age_seconds)
            upstream.requests.clear()
            yield Held(proxy, server, upstream, guard)
