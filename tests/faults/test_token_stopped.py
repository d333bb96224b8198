"""A proxy that does not run for a while: time goes on, and nothing in it does.

As on a machine that is overloaded, or under `docker pause`. Time is stepped, but for the one test
in which a real process is really stopped.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from faults.stepped_time import SteppedLoop, now, stepped
from faults.token_server import configuration, running, surroundings
from integration.proxy_process import start

ADMIN = {"listen": "127.0.0.1:0"}
STOPPED_SECONDS = 120.0


def stop_the_world(seconds: float = STOPPED_SECONDS) -> None:
    """Let time pass in one go: no timer runs meanwhile, as in a process that is stopped."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    loop.now += seconds


@stepped
async def test_after_a_stop_that_outlasts_the_token_all_callers_get_a_new_one() -> None:
    async with (
        surroundings(lifetime_seconds=100) as (server, upstream, guard),
        running(configuration(server, upstream.url), Path()) as proxy,
    ):
        assert await proxy.status() == 200
        stop_the_world()
        answers = await asyncio.gather(*(proxy.call() for _ in range(50)))
        assert {(status, body) for status, _, body in answers} == {(200, b"token-2")}
        assert len(server.requests) == 2
        assert guard.lapsed == []


@stepped
async def test_after_a_stop_that_only_outlasts_the_renewal_nobody_waits() -> None:
    async with (
        surroundings(lifetime_seconds=1000, delay_seconds=1) as (server, upstream, guard),
        running(configuration(server, upstream.url), Path()) as proxy,
    ):
        await proxy.advance(1, server)
        await proxy.advance(689, server)
        stop_the_world()
        asked_at = now()
        assert (await proxy.call())[2] == b"token-1"
        assert now() == asked_at
        await proxy.advance(1, server)
        assert (await proxy.call())[2] == b"token-2"
        assert (len(server.requests), proxy.facts().misses, guard.lapsed) == (2, 0, [])


@stepped
async def test_a_machine_that_sleeps_again_and_again_costs_one_token_request_each_time() -> None:
    async with (
        surroundings(lifetime_seconds=60) as (server, upstream, guard),
        running(configuration(server, upstream.url), Path()) as proxy,
    ):
        for nap in range(1, 20):
            assert (await proxy.call())[2] == f"token-{nap}".encode()
            await proxy.advance(1)
            stop_the_world()
        assert len(server.requests) <= 20
        assert guard.lapsed == []


@stepped
async def test_a_stop_while_a_token_is_asked_for_does_not_make_an_old_answer_a_new_token() -> None:
    """Its life counts from before the stop; another is asked for, and soon."""
    async with surroundings(lifetime_seconds=100) as (server, upstream, guard):
        config = configuration(server, upstream.url, client={"timeout_seconds": 60})
        async with running(config, Path()) as proxy:
            assert await proxy.status() == 200
            server.hold()
            await proxy.advance(81, server)
            assert server.held == 1
            server.release()
            while server.held:
                await asyncio.sleep(0)
            stop_the_world()  # the answer was written, and nobody has read it
            woke_at = now()
            while (answer := await proxy.call())[0] != 200:
                await proxy.advance(0.1)
            assert proxy.facts().fetches["renewal", "timeout"] == 1
            assert now() - woke_at <= 1.1
            assert server.expiry[answer[2].decode()] > now()
            assert guard.lapsed == []


@stepped
async def test_a_stop_ends_a_backoff_as_any_other_time_does() -> None:
    async with (
        surroundings(down=True) as (server, upstream, _),
        running(configuration(server, upstream.url), Path()) as proxy,
    ):
        assert await proxy.status() == 503
        await proxy.advance(30)
        server.down = False
        stop_the_world()
        assert await proxy.status() == 200
        assert len(server.requests) == 1


@stepped
async def test_after_a_stop_of_two_minutes_an_outage_is_no_storm() -> None:
    async with (
        surroundings(lifetime_seconds=100) as (server, upstream, guard),
        running(configuration(server, upstream.url), Path()) as proxy,
    ):
        assert await proxy.status() == 200
        server.down = True
        for _ in range(5):
            stop_the_world()
            woke_at, tries = now(), len(server.refused_at)
            statuses = await asyncio.gather(*(proxy.status() for _ in range(50)))
            assert set(statuses) == {503}
            await proxy.advance(4)
            assert len(server.refused_at) - tries <= 3
            assert now() - woke_at == pytest.approx(4)
        assert len(upstream.requests) == 1
        assert guard.lapsed == []


@pytest.mark.slow
async def test_a_process_that_was_really_stopped_sends_no_lapsed_token(tmp_path: Path) -> None:
    async with surroundings(lifetime_seconds=3) as (server, upstream, guard):
        proxy = await start(configuration(server, upstream.url, admin=ADMIN), tmp_path)
        try:
            while True:
                _, body = await proxy.get()
                proxy.process.send_signal(signal.SIGSTOP)
                if body == f"token-{len(server.requests)}".encode():
                    break
                # It was asking for another one just then, which is not what this test is about.
                proxy.process.send_signal(signal.SIGCONT)
            before = set(server.expiry)
            callers = [asyncio.create_task(proxy.get()) for _ in range(20)]
            await asyncio.sleep(server.lifetime_seconds + 0.2)  # its life is what has to pass
            assert not any(each.done() for each in callers)
            proxy.process.send_signal(signal.SIGCONT)
            answers = await asyncio.gather(*callers)
            assert {status for status, _ in answers} == {200}
            assert before.isdisjoint(body.decode() for _, body in answers)
            assert guard.lapsed == []
            assert server.in_flight_max == 1
        finally:
            proxy.process.send_signal(signal.SIGCONT)
            assert await proxy.stop() == 0
