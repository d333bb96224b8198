"""What comes behind a request that is not answered yet, or instead of the rest of it."""

from __future__ import annotations

import asyncio

from conformance.bench import OK, bench, eventually, request

POST = b"POST /2 HTTP/1.1"


async def test_a_pipelined_head_is_bounded_in_size() -> None:
    async with bench(top={"limits": {"head_bytes_max": 4096}}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        for number in range(40):
            caller.send(b"GET /2 HTTP/1.1\r\nHost: localhost\r\n" if not number else b"")
            caller.send(b"X-%d: " % number + b"a" * 1000 + b"\r\n")
            await asyncio.sleep(0.002)
        upstream.send(OK)
        assert (await caller.answer()).status == 200
        await caller.ended()
        await the.pass_through_kept(upstream)


async def test_a_pipelined_head_has_only_so_much_time() -> None:
    async with bench(top={"limits": {"head_seconds": 0.3}}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        caller.send(b"GET /2 HTTP/1.1\r\nHo")
        server = the.app._gateway.server
        await eventually(lambda: _in_line(server).startswith(b"GET /2"), "its head has begun")
        upstream.send(OK)
        assert (await caller.answer()).status == 200
        assert (await caller.answer()).status == 408
        await caller.ended()


def _in_line(server: object) -> bytes:
    """Return what came behind a request that is not answered yet."""
    return b"".join(protocol._inbox.data for protocol in server.connections)  # type: ignore[attr-defined]


async def test_a_bad_chunk_that_comes_before_its_turn_is_told() -> None:
    async with bench(timeouts={"idle_seconds": 60}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        caller.send(request(b"Transfer-Encoding: chunked", line=POST))
        server = the.app._gateway.server
        await eventually(lambda: b"POST /2" in _in_line(server), "the second is in line")
        caller.send(b"ZZ\r\n")
        await eventually(lambda: b"ZZ" in _in_line(server), "so is what is wrong with it")
        upstream.send(OK)
        assert (await caller.answer()).status == 200
        answer = await caller.answer()
        assert answer.status == 400
        assert b"bad_request" in answer.body
        await caller.ended()
        assert the.upstream.connections == 1


async def test_line_breaks_behind_a_body_are_no_late_head() -> None:
    """RFC 9112 §2.2: old clients send them."""
    limits = {"head_seconds": 0.2, "keepalive_seconds": 0.8}
    async with bench(top={"limits": limits}) as the:
        caller = await the.caller()
        caller.send(request(b"Content-Length: 2", line=POST, body=b"hi"))
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(OK)
        assert (await caller.answer()).status == 200
        caller.send(b"\r\n")
        assert await caller.rest() == b""


async def test_what_is_pipelined_around_a_declined_upgrade_is_answered() -> None:
    """What comes behind it is HTTP still (aiohttp would lose it)."""
    async with bench() as the:
        caller = await the.caller()
        caller.send(
            request()
            + request(b"Connection: Upgrade", b"Upgrade: h2c", line=b"GET /2 HTTP/1.1")
            + request(line=b"GET /3 HTTP/1.1")
        )
        upstream = await the.upstream.accept()
        for target in (b"/a", b"/2", b"/3"):
            head = await upstream.head()
            assert head.target == target
            assert head.values("Upgrade") == []
            upstream.send(OK)
            assert (await caller.answer()).status == 200


async def test_what_is_in_flight_during_a_drain_is_the_last_on_its_connection() -> None:
    async with bench() as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        draining = asyncio.create_task(the.app.drain())
        await eventually(the.app._gateway._is_draining, "the drain has begun")
        upstream.send(OK)
        answer = await caller.answer()
        assert answer.head.values("Connection") == [b"close"]
        assert await caller.rest() == b""
        await draining
