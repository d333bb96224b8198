"""The end of the proxy while tokens are being fetched."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from faults.token_server import configuration, eventually, running, surroundings
from integration import proxy_process

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_SECONDS = 60
"""Far less than the token server's silence lasts here, far more than a machine needs."""
SILENCE = {"timeout_seconds": 600}


async def test_a_fetch_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        server.hold()
        config = configuration(server, upstream.url, client=SILENCE)
        async with running(config, tmp_path) as proxy:
            await eventually(lambda: server.held == 1)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await proxy.app.drain()
                await proxy.app.close()
            await eventually(lambda: server.held == 0)
            assert "drain_incomplete" not in proxy.log


async def test_callers_that_wait_for_a_token_hold_up_the_end_no_longer_than_the_drain(
    tmp_path: Path,
) -> None:
    async with surroundings() as (server, upstream, _):
        server.hold()
        patient = {"wait_seconds_max": 600, "prefetch": False}
        config = configuration(server, upstream.url, client=SILENCE, audience=patient)
        config["shutdown"] = {"drain_seconds": 0.2}
        async with running(config, tmp_path) as proxy:
            callers = [asyncio.create_task(proxy.call()) for _ in range(5)]
            await eventually(lambda: proxy.facts().waiters == 5)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await proxy.app.drain()
                assert len(proxy.events("drain_incomplete")) == 1
                await proxy.app.close()
                ended = await asyncio.gather(*callers, return_exceptions=True)
            assert not any(isinstance(each, tuple) and each[0] < 500 for each in ended)
            assert upstream.requests == []


async def test_a_caller_that_waits_for_a_token_is_still_served_during_the_drain(
    tmp_path: Path,
) -> None:
    async with surroundings() as (server, upstream, _):
        server.hold()
        config = configuration(server, upstream.url)
        config["shutdown"] = {"drain_seconds": 60}
        async with running(config, tmp_path) as proxy:
            caller = asyncio.create_task(proxy.status())
            await eventually(lambda: proxy.facts().waiters == 1)
            draining = asyncio.create_task(proxy.app.drain())
            await eventually(lambda: bool(proxy.events("draining")))
            server.release()
            assert await caller == 200
            await draining
            assert "drain_incomplete" not in proxy.log


async def test_sigterm_ends_the_process_though_the_token_server_hangs(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        server.hold()
        config = configuration(server, upstream.url, client=SILENCE)
        config["admin"] = {"listen": "127.0.0.1:0"}
        proxy = await proxy_process.start(config, tmp_path)
        await eventually(lambda: server.held == 1)
        assert await proxy.stop() == 0
