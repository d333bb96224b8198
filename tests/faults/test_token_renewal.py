"""Short tokens under steady load, end to end; and tokens that nobody wants any more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults.stepped_time import now, stepped
from faults.token_server import configuration, eventually, running, surroundings
from integration.steady_load import steady_load


@pytest.mark.slow
async def test_five_second_tokens_under_load_fail_nobody(tmp_path: Path) -> None:
    async with surroundings(lifetime_seconds=5, delay_seconds=0.1) as (server, upstream, guard):
        async with running(configuration(server, upstream.url), tmp_path) as proxy:
            await eventually(lambda: proxy.facts().has_had_token)
            enough = asyncio.Event()
            load = asyncio.create_task(steady_load(proxy.url, per_second=25, enough=enough))
            await eventually(lambda: len(server.requests) >= 4)
            enough.set()
            statuses = await load
            facts = proxy.facts()
            assert set(statuses) == {200}
            assert statuses.total() == len(upstream.requests) > 100
            assert guard.lapsed == []
            assert (facts.misses, facts.joined, facts.refused) == (0, 0, 0)
        assert server.in_flight_max == 1


@stepped
async def test_a_minute_of_five_second_tokens_makes_nobody_wait_but_the_first() -> None:
    async with surroundings(lifetime_seconds=5) as (server, upstream, guard):
        config = configuration(server, upstream.url, audience={"prefetch": False})
        async with running(config, Path()) as proxy:
            for _ in range(600):
                assert await proxy.status() == 200
                await proxy.advance(0.1)
            facts = proxy.facts()
            assert guard.lapsed == []
            assert (facts.misses, facts.joined) == (1, 0)
            # At 0.7 to 0.8 of the lifetime: neither a request per call nor too few of them.
            assert 15 <= len(server.requests) <= 18


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.5, 0.999999])
@stepped
async def test_a_renewal_that_hangs_costs_nothing_while_the_token_lives(
    chance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins at 70 to 80 s, and outlasts what is left of the token's life."""
    monkeypatch.setattr("proxy.app.random", SimpleNamespace(random=lambda: chance))
    async with surroundings(lifetime_seconds=100) as (server, upstream, guard):
        config = configuration(server, upstream.url, client={"timeout_seconds": 60})
        async with running(config, Path()) as proxy:
            assert await proxy.status() == 200
            server.hold()
            await proxy.advance(80, server)
            assert server.held == 1
            for _ in range(14):
                assert await proxy.status() == 200
                await proxy.advance(1, server)
            assert len(server.requests) == 2
            server.release()
            await proxy.advance(1)
            assert (await proxy.call())[2] == b"token-2"
            assert guard.lapsed == []
            assert proxy.facts().joined + proxy.facts().misses <= 1


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.5, 0.999999])
@stepped
async def test_renewals_that_hang_one_after_another_cost_nothing_while_the_token_lives(
    chance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-03: each is given up after ten seconds, and the next begins after its pause."""
    monkeypatch.setattr("proxy.app.random", SimpleNamespace(random=lambda: chance))
    async with (
        surroundings(lifetime_seconds=100) as (server, upstream, guard),
        running(configuration(server, upstream.url), Path()) as proxy,
    ):
        assert await proxy.status() == 200
        lapses_at = server.expiry["token-1"]
        server.hold()
        while now() < lapses_at - 5.5:
            await proxy.advance(0.5, server)
            assert (await proxy.call())[2] == b"token-1"
        assert proxy.facts().fetches["renewal", "timeout"] >= 1
        await proxy.advance(1, server)
        server.release()
        # Whether one was under way or a pause: it was the second at most, of two seconds.
        await proxy.advance(2)
        assert (await proxy.call())[2] == b"token-2"
        assert guard.lapsed == []
        assert server.in_flight_max == 1


@stepped
async def test_an_idle_audience_is_let_go_and_its_expiry_is_no_longer_told() -> None:
    async with surroundings(lifetime_seconds=100) as (server, upstream, _):
        config = configuration(
            server,
            upstream.url,
            audience={"idle_seconds": 500},
            admin={"listen": "127.0.0.1:0"},
        )
        async with running(config, Path()) as proxy:
            await proxy.advance(0)
            series = 'tokenproxy_token_expiry_timestamp_seconds{audience="orders"}'
            assert await proxy.status() == 200
            await proxy.advance(450)
            assert series in await proxy.metrics()
            asked = len(server.requests)
            await proxy.advance(51)
            assert series not in await proxy.metrics()
            await proxy.advance(10_000)
            assert len(server.requests) <= asked + 1
            assert await proxy.status() == 200
            assert series in await proxy.metrics()
