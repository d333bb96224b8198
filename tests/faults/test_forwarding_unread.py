"""Callers that read slowly or not at all: what they may cost, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
from conformance.bench import Bench, bench, eventually, request

from proxy.forwarding import caller_connection as callers_side

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.wire import Peer

SIZE = 200_000


def deaf(the: Bench, *, buffer_bytes: int = 4096) -> socket.socket:
    """Return a caller's socket that nothing reads from, and whose kernel takes little."""
    host, _, port = the.host.rpartition(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    sock.connect((host, int(port)))
    sock.setblocking(False)
    return sock


async def answering(upstream: Peer, head: bytes, body: bytes) -> None:
    while True:
        await upstream.head()
        upstream.send(head + body)


async def at_rest(number: Callable[[], int]) -> int:
    """Wait until a number has not moved for a while; return it."""
    before, same = -1, 0
    while same < 20:
        await asyncio.sleep(0.02)
        same = same + 1 if number() == before else 0
        before = number()
    return before


async def test_who_reads_nothing_gets_a_few_answers_and_no_more() -> None:
    async with bench() as the:
        with deaf(the) as sock:
            sock.send(request() * 400)
            upstream = await the.upstream.accept()
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE
            task = asyncio.create_task(answering(upstream, head, bytes(SIZE)))
            await eventually(lambda: the.facts.requests["GET", 200, "upstream"], "the first")
            count = await at_rest(lambda: sum(the.facts.requests.values()))
            task.cancel()
        # What kernels hold is some MiB.
        assert count < 50


@pytest.mark.slow
async def test_our_own_errors_pile_up_no_more_than_answers() -> None:
    async with bench(match={"path": "/api"}) as the:
        with deaf(the) as sock:
            sent = 0

            def pushed() -> int:
                nonlocal sent
                # Full for now: that is what is waited for.
                with contextlib.suppress(BlockingIOError):
                    sent += sock.send(request() * 1000)
                return sent

            pushed()
            await eventually(lambda: the.unrouted.errors["no_route"], "the first")
            await at_rest(pushed)
            server = the.app._gateway.server
            (protocol,) = server.connections
            assert protocol.transport is not None
            assert protocol.transport.get_write_buffer_size() < 2 * 65536


@pytest.mark.parametrize("close", [b"Connection: close", b"X-A: 1"])
async def test_an_end_that_is_not_taken_is_bounded(
    monkeypatch: pytest.MonkeyPatch, close: bytes
) -> None:
    monkeypatch.setattr(callers_side, "LINGER_SECONDS", 0.3)
    limits = {"keepalive_seconds": 0.3}
    async with bench(top={"limits": limits}, timeouts={"idle_seconds": 60}) as the:
        with deaf(the) as sock:
            sock.send(request() * 60 + request(close))
            upstream = await the.upstream.accept()
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE
            task = asyncio.create_task(answering(upstream, head, bytes(SIZE)))
            server = the.app._gateway.server
            await eventually(lambda: the.facts.requests["GET", 200, "upstream"], "the first")
            await eventually(lambda: server.connections_open == 0, "the connection is given up")
            task.cancel()


@pytest.mark.slow
async def test_a_slow_but_steady_reader_is_served_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callers_side, "LINGER_SECONDS", 1.0)
    async with bench(timeouts={"idle_seconds": 1.0}) as the:
        with deaf(the, buffer_bytes=131072) as sock:
            size = 5 << 20
            sock.send(request(b"Connection: close"))
            upstream = await the.upstream.accept()
            await upstream.head()
            upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
            came = 0
            loop = asyncio.get_running_loop()
            while came < size:
                data = await asyncio.wait_for(loop.sock_recv(sock, 200_000), 30)
                assert data, f"it ended after {came} bytes"
                came += len(data)
                await asyncio.sleep(0.2)
