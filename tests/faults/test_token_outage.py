"""The authorization server away, end to end: what lives goes on, what has lapsed is refused."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
from faults.stepped_time import now, stepped
from faults.token_server import (
    TokenServer,
    configuration,
    eventually,
    running,
    surroundings,
)


@stepped
async def test_an_outage_is_survived_while_the_token_lives_then_refused_then_over() -> None:
    async with (
        surroundings(lifetime_seconds=100) as (server, upstream, guard),
        running(configuration(server, upstream.url), Path()) as proxy,
    ):
        assert await proxy.status() == 200
        server.down = True
        lapses_at = next(iter(server.expiry.values()))
        while now() < lapses_at - 6:
            assert await proxy.status() == 200
            await proxy.advance(1)
        await proxy.advance(6)

        sent, began_at, tries = len(upstream.requests), now(), len(server.refused_at)
        for _ in range(300):
            asked_at = now()
            status, headers, body = await proxy.call()
            assert (status, now()) == (503, asked_at)
            assert 1 <= int(headers["Retry-After"]) <= 5
            assert b"authorization_server_unavailable" in body
            await proxy.advance(0.2)
        assert len(upstream.requests) == sent
        assert len(server.refused_at) - tries <= (now() - began_at) / 4.0

        server.down = False
        back_at = now()
        while await proxy.status() != 200:
            await proxy.advance(0.2)
        assert now() - back_at <= 5
        assert guard.lapsed == []
        assert len(server.requests) == 2


@pytest.mark.slow
async def test_recovery_comes_by_itself_in_real_time_and_without_a_storm(tmp_path: Path) -> None:
    async with (
        surroundings(lifetime_seconds=2) as (server, upstream, guard),
        running(configuration(server, upstream.url), tmp_path) as proxy,
    ):
        assert await proxy.status() == 200
        server.down = True
        while await proxy.status() == 200:
            await asyncio.sleep(0.02)
        granted = len(server.expiry)

        async def insist() -> None:
            while await proxy.status() != 200:
                await asyncio.sleep(0.01)

        callers = [asyncio.create_task(insist()) for _ in range(5)]
        await eventually(lambda: len(server.refused_at) >= 3)
        server.down = False
        async with asyncio.timeout(60):
            await asyncio.gather(*callers)
        gaps = [after - before for before, after in itertools.pairwise(server.refused_at)]
        assert min(gaps) > 0.8
        assert guard.lapsed == []
        assert len(server.expiry) == granted + 1


@stepped
async def test_a_server_that_is_down_at_start_does_not_keep_the_proxy_from_starting() -> None:
    async with (
        surroundings(down=True) as (server, upstream, _),
        running(configuration(server, upstream.url), Path()) as proxy,
    ):
        await proxy.advance(30)
        assert await proxy.code() == "authorization_server_unavailable"
        assert upstream.requests == []
        server.down = False
        await proxy.advance(5)
        assert await proxy.status() == 200


@stepped
async def test_a_server_that_hangs_is_given_up_and_its_return_noticed() -> None:
    async with surroundings(lifetime_seconds=60) as (server, upstream, _):
        config = configuration(server, upstream.url, client={"timeout_seconds": 3})
        async with running(config, Path()) as proxy:
            assert await proxy.status() == 200
            server.hold()
            await proxy.advance(70, server)
            assert proxy.facts().fetches["renewal", "timeout"] >= 2
            # Whether it joins an attempt, begins one or is refused at once: in 3 s it knows.
            caller = asyncio.create_task(proxy.code())
            await proxy.advance(3.5, server)
            assert await caller == "authorization_server_unavailable"
            server.release()
            await proxy.advance(60)
            assert await proxy.status() == 200
            assert server.in_flight_max == 1


@stepped
async def test_one_dead_server_and_one_that_hangs_delay_no_other_audience() -> None:
    async with (
        TokenServer(down=True) as dead,
        TokenServer() as hanging,
        surroundings() as (server, upstream, _),
    ):
        hanging.hold()
        config = configuration(server, upstream.url, upstream={"match": {"path": "/orders"}})
        for name, other in (("dead", dead), ("hanging", hanging)):
            config["clients"][name] = config["clients"]["billing"] | {"token_endpoint": other.url}
            config["audiences"][name] = {"client": name}
            config["upstreams"][name] = {
                "url": upstream.url,
                "audience": name,
                "match": {"path": f"/{name}"},
            }
        async with running(config, Path()) as proxy:
            waiting = asyncio.create_task(proxy.status("/hanging"))
            for _ in range(20):
                asked_at = now()
                assert await proxy.status("/orders") == 200
                assert await proxy.status("/dead") == 503
                assert now() == asked_at
                await proxy.advance(0.3, hanging)
            assert not waiting.done()
            hanging.release()
            assert await waiting == 200
