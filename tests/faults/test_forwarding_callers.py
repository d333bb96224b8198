"""Callers that leave, and connections that end in the middle."""

from __future__ import annotations

import asyncio
import socket
import stat
from typing import TYPE_CHECKING

import pytest
from conformance.bench import OK, bench, eventually, request

if TYPE_CHECKING:
    from pathlib import Path

    from conformance.wire import Peer


@pytest.mark.parametrize("reset", [True, False])
async def test_a_caller_that_leaves_ends_the_request_upstream(*, reset: bool) -> None:
    async with bench() as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        if reset:
            caller.abort()
        else:
            caller.finish()
        await upstream.ended()
        await eventually(lambda: the.facts.in_flight == 0, "nothing is in flight")
        assert the.facts.connections_idle == 0


@pytest.mark.parametrize("reset", [True, False])
async def test_a_caller_that_leaves_during_the_answer_ends_it(*, reset: bool) -> None:
    async with bench() as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await caller.until(b"hello\r\n")
        if reset:
            caller.abort()
        else:
            caller.finish()
        await upstream.ended()
        await eventually(lambda: the.facts.in_flight == 0, "nothing is in flight")


async def test_a_caller_that_leaves_during_its_body_ends_the_request() -> None:
    async with bench() as the:
        caller = await the.caller()
        caller.send(request(b"Transfer-Encoding: chunked", line=b"POST /a HTTP/1.1"))
        caller.send(b"5\r\nhello\r\n")
        upstream = await the.upstream.accept()
        await upstream.head()
        assert await upstream.exactly(10) == b"5\r\nhello\r\n"
        caller.abort()
        try:
            rest = await upstream.rest()
        except ConnectionResetError:
            rest = b""
        assert b"0\r\n\r\n" not in rest


async def test_a_caller_that_leaves_while_its_reading_is_waited_for_ends_the_answer() -> None:
    async with bench() as the:
        caller = await the.caller(buffer_bytes=1024)
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        size = 16 << 20
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        await caller.head()
        await asyncio.sleep(0.1)
        caller.abort()
        await upstream.ended()


async def test_many_callers_that_leave_cost_nothing() -> None:
    async with bench(connections_max=4) as the:
        for _ in range(5):
            callers = [await the.caller() for _ in range(12)]
            for caller in callers:
                caller.send(request())
            await eventually(lambda: the.facts.in_flight == 12, "all are in flight")
            for caller in callers:
                caller.abort()
            await eventually(lambda: the.facts.in_flight == 0, "all are gone")
            await eventually(
                lambda: repr(the.pool) == "<Pool api: 0 active, 0 idle, 0 waiting>", "no leak"
            )
        # The places are all free: four at once get through.
        the.upstream._arrived = asyncio.Queue()
        callers = [await the.caller() for _ in range(4)]
        for caller in callers:
            caller.send(request())
        upstreams = [await the.upstream.accept() for _ in range(4)]
        for upstream in upstreams:
            await upstream.head()
            upstream.send(OK)
        for caller in callers:
            assert (await caller.answer()).status == 200


async def test_what_was_pipelined_is_not_sent_once_its_caller_is_gone() -> None:
    async with bench() as the:
        caller = await the.caller()
        caller.send(request() + request(line=b"GET /second HTTP/1.1"))
        upstream = await the.upstream.accept()
        await upstream.head()
        caller.abort()
        await upstream.ended()
        assert the.upstream.connections == 1


@pytest.mark.parametrize("framing", [b"Content-Length: 8388608", b"Transfer-Encoding: chunked"])
async def test_an_early_answer_reaches_a_caller_that_is_still_sending(framing: bytes) -> None:
    async with bench(buffer_bytes=1024) as the:
        caller = await the.caller()
        caller.send(request(framing, line=b"POST /a HTTP/1.1"))
        piece = bytes(65536)
        if b"chunked" in framing:
            piece = b"10000\r\n" + piece + b"\r\n"
        caller.send(piece * 128)
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        await upstream.flush()
        answer = await caller.answer()
        assert answer.status == 413
        assert answer.body == b"no"
        await upstream.ended()


async def test_an_answer_streams_while_its_request_is_still_coming() -> None:
    async with bench() as the:
        caller = await the.caller()
        caller.send(request(b"Transfer-Encoding: chunked", line=b"POST /a HTTP/1.1"))
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await caller.head()).start == b"HTTP/1.1 200 OK"
        for piece in (b"one", b"two"):
            caller.send(b"3\r\n" + piece + b"\r\n")
            assert await upstream.exactly(8) == b"3\r\n" + piece + b"\r\n"
            upstream.send(b"3\r\n" + piece + b"\r\n")
            assert await caller.exactly(8) == b"3\r\n" + piece + b"\r\n"
        caller.send(b"0\r\n\r\n")
        assert await upstream.exactly(5) == b"0\r\n\r\n"
        upstream.send(b"0\r\n\r\n")
        assert await caller.exactly(5) == b"0\r\n\r\n"
        assert await caller.rest() == b""


async def test_a_socket_file_serves_like_a_port(tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    async with bench(top={"listen": f"unix:{path}"}, forwarded_headers="append") as the:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        head, answer = await the.pass_through(request())
        assert head.values("X-Forwarded-For") == [b"127.0.0.1"]
        assert answer.body == b"ok"
        caller = await the.caller()
        caller.send(request())
        upstream = the.upstream._peers[0]
        await upstream.head()
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        upstream.finish()
        assert await caller.until(b"hello")
        assert await caller.rest() == b""
    assert not path.exists()


async def test_a_part_never_looks_like_the_whole_through_a_socket_file(tmp_path: Path) -> None:
    # There is no reset on a socket file: an answer that ends with the connection needs another
    # framing there, or another end.
    async with bench(top={"listen": f"unix:{tmp_path / 'proxy.sock'}"}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        head = await caller.head()
        await caller.until(b"hello")
        upstream.abort()
        try:
            rest = await caller.rest()
        except ConnectionResetError:
            return
        assert head.values("Transfer-Encoding") == [b"chunked"]
        assert not rest.endswith(b"0\r\n\r\n")


async def test_a_stale_socket_file_does_not_stop_a_start(tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    stale = await asyncio.start_unix_server(_nobody, path)
    # As a process that was killed leaves it: the file is there, nobody listens.
    stale.close()
    await stale.wait_closed()
    _leave_a_socket_file(path)
    async with bench(top={"listen": f"unix:{path}"}) as the:
        _, answer = await the.pass_through(request())
        assert answer.status == 200


def _leave_a_socket_file(path: Path) -> None:
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def _nobody(_reader: Peer, _writer: Peer) -> None:
    raise AssertionError("nobody connects")
