"""Upstreams that are slow, gone, or end connections at the wrong moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from conformance.bench import OK, Bench, bench, eventually, request

if TYPE_CHECKING:
    from conformance.wire import Peer


async def kept(the: Bench) -> tuple[Peer, Peer]:
    """Return a caller and an upstream connection that have one request behind them."""
    caller = await the.caller()
    caller.send(request())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(OK)
    assert (await caller.answer()).status == 200
    return caller, upstream


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
@pytest.mark.parametrize("reset", [True, False])
async def test_a_stale_connection_costs_an_idempotent_request_nothing(
    method: bytes, *, reset: bool
) -> None:
    async with bench() as the:
        caller, stale = await kept(the)
        caller.send(request(line=method + b" /again HTTP/1.1"))
        # The upstream's farewell crosses the request.
        assert (await stale.head()).target == b"/again"
        if reset:
            stale.abort()
        else:
            stale.finish()
        fresh = await the.upstream.accept()
        assert (await fresh.head()).start == method + b" /again HTTP/1.1"
        fresh.send(OK if method != b"HEAD" else OK[:-2])
        assert (await caller.answer(to_head=method == b"HEAD")).status == 200
        assert the.upstream.connections == 2


async def test_a_stale_connection_costs_a_small_body_nothing_either() -> None:
    async with bench() as the:
        caller, stale = await kept(the)
        caller.send(request(b"Content-Length: 4", line=b"PUT /a HTTP/1.1", body=b"body"))
        await stale.head()
        stale.abort()
        fresh = await the.upstream.accept()
        assert (await fresh.head()).values("Content-Length") == [b"4"]
        assert await fresh.exactly(4) == b"body"
        fresh.send(OK)
        assert (await caller.answer()).status == 200


@pytest.mark.parametrize("method", [b"POST", b"PATCH"])
async def test_a_post_is_never_sent_twice(method: bytes) -> None:
    async with bench() as the:
        caller, stale = await kept(the)
        caller.send(request(b"Content-Length: 4", line=method + b" /a HTTP/1.1", body=b"body"))
        await stale.head()
        stale.abort()
        answer = await caller.answer()
        assert answer.status == 502
        assert b"upstream_misspoke" in answer.body
        assert the.facts.errors["upstream_misspoke"] == 1
        assert the.upstream.connections == 1


async def test_a_request_is_sent_once_more_and_not_for_ever() -> None:
    async with bench() as the:
        caller, stale = await kept(the)
        caller.send(request())
        await stale.head()
        stale.abort()
        fresh = await the.upstream.accept()
        await fresh.head()
        fresh.abort()
        assert (await caller.answer()).status == 502
        assert the.upstream.connections == 2


async def test_a_fresh_connection_that_fails_is_no_stale_one() -> None:
    async with bench() as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.abort()
        answer = await caller.answer()
        assert answer.status == 502
        assert answer.head.values("Proxy-Status") == [b"token-proxy; error=connection_terminated"]
        assert the.upstream.connections == 1


@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\n", b"H", b"HTTP/1.1 103 Early\r\n\r\n"])
async def test_a_connection_that_answered_a_byte_is_no_stale_one(part: bytes) -> None:
    async with bench() as the:
        caller, upstream = await kept(the)
        caller.send(request())
        await upstream.head()
        upstream.send(part)
        await upstream.flush()
        upstream.finish()
        answer = await caller.answer()
        if answer.status == 103:
            answer = await caller.answer()
        assert answer.status == 502
        assert the.upstream.connections == 1


async def test_a_connection_that_ended_while_idle_is_not_used() -> None:
    async with bench() as the:
        caller, idle = await kept(the)
        await eventually(lambda: the.facts.connections_idle == 1, "it is idle")
        idle.finish()
        await eventually(lambda: the.facts.connections_idle == 0, "the pool knows")
        caller.send(request(b"Content-Length: 0", line=b"POST /a HTTP/1.1"))
        fresh = await the.upstream.accept()
        await fresh.head()
        fresh.send(OK)
        assert (await caller.answer()).status == 200


async def test_an_upstream_is_found_again_when_it_is_back() -> None:
    async with bench() as the:
        the.upstream.stop_listening()
        caller = await the.caller()
        assert (await caller.asks(request())).status == 502
        server = await asyncio.start_server(
            the.upstream._on_connection, "127.0.0.1", the.upstream.port
        )
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(OK)
        assert (await caller.answer()).status == 200
        server.close()


async def test_one_upstream_that_hangs_does_not_delay_another() -> None:
    other = {"url": "http://127.0.0.1:UPSTREAM_PORT", "audience": "none", "match": {"path": "/b"}}
    async with bench() as the:
        del the
    upstreams = {
        "api": {"url": "http://127.0.0.1:UPSTREAM_PORT", "audience": "none", "connections_max": 1},
        "other": other,
    }
    async with bench(top={"upstreams": upstreams}) as the:
        first, second, third = [await the.caller() for _ in range(3)]
        first.send(request())
        hanging = await the.upstream.accept()
        await hanging.head()
        second.send(request())
        await eventually(lambda: "1 waiting" in repr(the.pool), "the second waits")
        third.send(request(line=b"GET /b/1 HTTP/1.1"))
        upstream = await the.upstream.accept()
        assert (await upstream.head()).target == b"/1"
        upstream.send(OK)
        assert (await third.answer()).status == 200
        hanging.send(OK)
        assert (await first.answer()).status == 200
        await hanging.head()
        hanging.send(OK)
        assert (await second.answer()).status == 200
