"""More requests than connections: who waits, who is served, and that nothing is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from conformance.bench import OK, Bench, bench, eventually, request

if TYPE_CHECKING:
    import pytest


async def busy(the: Bench, count: int) -> list[Any]:
    """Return pairs of caller and upstream connection whose request is in flight."""
    pairs = []
    for number in range(count):
        caller = await the.caller()
        caller.send(request(line=b"GET /%d HTTP/1.1" % number))
        upstream = await the.upstream.accept()
        await upstream.head()
        pairs.append((caller, upstream))
    return pairs


async def test_a_request_without_a_free_connection_waits_and_gives_up() -> None:
    async with bench(connections_max=1, timeouts={"connect_seconds": 0.3}) as the:
        ((caller, upstream),) = await busy(the, 1)
        other = await the.caller()
        answer = await other.asks(request())
        assert answer.status == 503
        assert answer.head.values("Proxy-Status") == [
            b"token-proxy; error=connection_limit_reached"
        ]
        assert answer.head.values("Retry-After") == [b"1"]
        assert the.facts.errors["overloaded"] == 1
        upstream.send(OK)
        assert (await caller.answer()).status == 200
        assert the.upstream.connections == 1


async def test_waiting_requests_get_the_connection_in_the_order_they_came() -> None:
    async with bench(connections_max=1) as the:
        ((caller, upstream),) = await busy(the, 1)
        waiting = []
        for number in range(3):
            waiting.append(await the.caller())
            waiting[-1].send(request(line=b"GET /waited/%d HTTP/1.1" % number))
            await eventually(lambda n=number + 1: f"{n} waiting" in repr(the.pool), "one more")
        upstream.send(OK)
        assert (await caller.answer()).status == 200
        for number, each in enumerate(waiting):
            assert (await upstream.head()).target == b"/waited/%d" % number
            upstream.send(OK)
            assert (await each.answer()).status == 200
        assert the.upstream.connections == 1


async def test_a_waiting_request_gets_the_place_of_a_connection_that_ended() -> None:
    async with bench(connections_max=1) as the:
        ((caller, upstream),) = await busy(the, 1)
        other = await the.caller()
        other.send(request(line=b"GET /other HTTP/1.1"))
        await eventually(lambda: "1 waiting" in repr(the.pool), "it waits")
        upstream.abort()
        assert (await caller.answer()).status == 502
        fresh = await the.upstream.accept()
        assert (await fresh.head()).target == b"/other"
        fresh.send(OK)
        assert (await other.answer()).status == 200


async def test_a_waiting_caller_that_leaves_makes_room() -> None:
    async with bench(connections_max=1) as the:
        ((caller, upstream),) = await busy(the, 1)
        leaving, staying = await the.caller(), await the.caller()
        leaving.send(request(line=b"GET /leaving HTTP/1.1"))
        await eventually(lambda: "1 waiting" in repr(the.pool), "one waits")
        staying.send(request(line=b"GET /staying HTTP/1.1"))
        await eventually(lambda: "2 waiting" in repr(the.pool), "two wait")
        leaving.abort()
        await eventually(lambda: "1 waiting" in repr(the.pool), "one is gone")
        upstream.send(OK)
        assert (await caller.answer()).status == 200
        assert (await upstream.head()).target == b"/staying"
        upstream.send(OK)
        assert (await staying.answer()).status == 200


async def test_a_connection_handed_over_at_the_last_moment_is_not_lost() -> None:
    # Release and deadline fall into one iteration of the loop, the release first.
    connect_seconds = 0.2
    async with bench(connections_max=1, timeouts={"connect_seconds": connect_seconds}) as the:
        await the.pass_through(request())
        await eventually(lambda: "1 idle" in repr(the.pool), "the connection is back")
        loop = asyncio.get_running_loop()
        held = the.pool.take()
        assert held is not None
        waiting = asyncio.create_task(the.pool.fresh())
        before = loop.time()
        await asyncio.sleep(0)
        # The deadline lies between these two: both timers are due when the loop is let go.
        loop.call_at(before + connect_seconds, the.pool.release, held, before + connect_seconds)
        loop.call_soon(_block_until, loop, loop.time() + connect_seconds + 0.05)
        (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
        if outcome is held:
            the.pool.release(held, asyncio.get_running_loop().time())
        assert repr(the.pool) == "<Pool api: 0 active, 1 idle, 0 waiting>", outcome
        assert (the.facts.connections_active, the.facts.connections_idle) == (0, 1)


def _block_until(loop: asyncio.AbstractEventLoop, at: float) -> None:
    while loop.time() < at:
        pass


async def test_an_idle_upstream_connection_is_closed_in_time() -> None:
    async with bench(connection_idle_seconds=0.3) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(OK)
        await caller.answer()
        assert await upstream.rest() == b""
        await eventually(lambda: "0 idle" in repr(the.pool), "the pool knows")
        assert (the.facts.connections_active, the.facts.connections_idle) == (0, 0)


async def test_a_caller_that_leaves_while_connecting_is_no_failed_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*_args: object, **_keys: object) -> None:
        await asyncio.Event().wait()

    async with bench() as the:
        monkeypatch.setattr(the.pool, "_connect", never)
        caller = await the.caller()
        caller.send(request())
        await eventually(lambda: "1 active" in repr(the.pool), "it connects")
        caller.abort()
        await eventually(lambda: the.app._gateway.in_flight == 0, "it is given up")
        assert set(the.facts.connects.values()) == {0}


async def test_connecting_in_vain_looks_the_name_up_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench() as the:
        the.upstream.stop_listening()
        resolver = the.app._gateway._lanes._resolver
        plain, count = resolver.addresses, 0

        async def counted(host: str, port: int) -> object:
            nonlocal count
            count += 1
            return await plain(host, port)

        monkeypatch.setattr(resolver, "addresses", counted)
        caller = await the.caller()
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(20):
            assert (await caller.asks(request())).status == 502
        assert 1 <= count <= 1 + (loop.time() - began)


async def test_connecting_has_a_time_of_its_own_behind_waiting_in_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(connections_max=1, timeouts={"connect_seconds": 2}) as the:
        ((caller, upstream),) = await busy(the, 1)
        other = await the.caller()
        other.send(request())
        await eventually(lambda: "1 waiting" in repr(the.pool), "it waits")
        plain = the.pool._connect

        async def slow() -> object:
            await asyncio.sleep(1.2)
            return await plain()

        monkeypatch.setattr(the.pool, "_connect", slow)
        await asyncio.sleep(1.2)
        upstream.abort()
        assert (await caller.answer()).status == 502
        fresh = await the.upstream.accept()
        await fresh.head()
        fresh.send(OK)
        assert (await other.answer()).status == 200
