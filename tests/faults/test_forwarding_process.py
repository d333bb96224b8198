"""The proxy as a process, under signals and large bodies."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
from conformance.bench import OK, request
from conformance.wire import PATIENCE_SECONDS, Peer, Upstream, connect
from integration import proxy_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from integration.proxy_process import RunningProxy

MIB = 1 << 20
GROWTH_BYTES_MAX = 16 * MIB


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    server = Upstream(buffer_bytes=65536)
    await server.start()
    yield server
    await server.stop()


async def start(folder: Path, upstream: Upstream, **top: Any) -> RunningProxy:
    keys = {"url": f"http://127.0.0.1:{upstream.port}", "audience": "none"}
    return await proxy_process.start({"upstreams": {"api": keys}} | top, folder)


async def caller_of(proxy: RunningProxy, *, buffer_bytes: int = MIB) -> Peer:
    host, _, port = proxy.url.removeprefix("http://").rpartition(":")
    return await connect(host, int(port), buffer_bytes=buffer_bytes)


async def event(proxy: RunningProxy, name: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not proxy.events(name):
            await asyncio.sleep(0.02)


async def resident_bytes(proxy: RunningProxy) -> int:
    ps = await asyncio.create_subprocess_exec(
        "ps", "-o", "rss=", "-p", str(proxy.process.pid), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await ps.communicate()
    return int(out) * 1024


async def test_what_is_in_flight_is_finished_before_the_end(
    tmp_path: Path, upstream: Upstream
) -> None:
    proxy = await start(tmp_path, upstream, shutdown={"drain_seconds": 30})
    busy, idle, late = [await caller_of(proxy) for _ in range(3)]
    connections = []
    for caller in (busy, idle):
        caller.send(request())
        connections.append(await upstream.accept())
        await connections[-1].head()
    connections[0].send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    connections[1].send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )
    first = await busy.until(b"ok\r\n")
    second = await idle.until(b"ok\r\n")
    if second.startswith(b"HTTP"):
        await idle.until(b"0\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200")
    proxy.process.send_signal(signal.SIGTERM)
    await event(proxy, "draining")
    # New requests on old connections are told; new connections find nobody.
    for caller in (idle, late):
        answer = await caller.asks(request())
        assert answer.status == 503
        assert b"shutting_down" in answer.body
        assert answer.head.values("Connection") == [b"close"]
        assert await caller.rest() == b""
    with pytest.raises(ConnectionRefusedError):
        await caller_of(proxy)
    connections[0].send(b"4\r\ndone\r\n0\r\n\r\n")
    assert await busy.until(b"0\r\n\r\n") == b"4\r\ndone\r\n0\r\n\r\n"
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await proxy.process.wait() == 0
    for caller in (busy, idle, late):
        caller.abort()


async def test_a_slow_reader_gets_all_of_its_answer_before_the_end(
    tmp_path: Path, upstream: Upstream
) -> None:
    proxy = await start(tmp_path, upstream, shutdown={"drain_seconds": 30})
    caller = await caller_of(proxy, buffer_bytes=1024)
    caller.send(request())
    connection = await upstream.accept()
    await connection.head()
    body = bytes(range(256)) * (8 * 4096)
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await caller.head()
    proxy.process.send_signal(signal.SIGTERM)
    await event(proxy, "draining")
    came = bytearray()
    # Slowly at the end, where it matters: what is written last is still in the process.
    while len(came) < len(body):
        piece = await caller.reader.read(65536)
        if not piece:
            break
        came += piece
        if len(came) > len(body) - 4 * MIB:
            await asyncio.sleep(0.01)
    assert bytes(came) == body
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await proxy.process.wait() == 0
    caller.abort()


async def test_what_is_not_finished_in_time_is_broken_off(
    tmp_path: Path, upstream: Upstream
) -> None:
    proxy = await start(tmp_path, upstream, shutdown={"drain_seconds": 0.3})
    caller = await caller_of(proxy)
    caller.send(request())
    connection = await upstream.accept()
    await connection.head()
    connection.send(b"HTTP/1.1 200 OK\r\n\r\npart")
    await caller.until(b"part")
    proxy.process.send_signal(signal.SIGTERM)
    assert await caller.broken_off()
    await connection.ended()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await proxy.process.wait() == 0
    caller.abort()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_ends_it_at_once(
    tmp_path: Path, upstream: Upstream, number: signal.Signals, status: int
) -> None:
    proxy = await start(tmp_path, upstream, shutdown={"drain_seconds": 60})
    caller = await caller_of(proxy)
    caller.send(request())
    await (await upstream.accept()).head()
    proxy.process.send_signal(number)
    await event(proxy, "draining")
    proxy.process.send_signal(number)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await proxy.process.wait() == status
    caller.abort()


async def test_an_idle_proxy_ends_at_once_though_connections_are_kept(
    tmp_path: Path, upstream: Upstream
) -> None:
    proxy = await start(tmp_path, upstream, shutdown={"drain_seconds": 60})
    caller = await caller_of(proxy)
    caller.send(request())
    connection = await upstream.accept()
    await connection.head()
    connection.send(OK)
    assert (await caller.answer()).status == 200
    proxy.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await proxy.process.wait() == 0
    await caller.ended()
    await connection.ended()
    caller.abort()


async def test_a_port_that_is_taken_ends_the_start(tmp_path: Path, upstream: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file = tmp_path / "taken.yaml"
        file.write_text(
            f"listen: 127.0.0.1:{taken.getsockname()[1]}\nadmin: {{listen: null}}\n"
            f"upstreams:\n  api: {{url: 'http://127.0.0.1:{upstream.port}', audience: none}}\n"
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "run", "-c", str(file)),
            cwd=proxy_process.ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                _, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 69
    assert str(taken).encode() not in said
    assert b"cannot listen on 127.0.0.1:" in said
    assert b"Traceback" not in said


async def test_a_large_answer_to_a_slow_reader_is_not_held_in_memory(
    tmp_path: Path, upstream: Upstream
) -> None:
    proxy = await start(tmp_path, upstream)
    caller = await caller_of(proxy, buffer_bytes=65536)
    caller.send(request())
    connection = await upstream.accept()
    await connection.head()
    size = 64 * MIB
    before = await resident_bytes(proxy)
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    sending = asyncio.create_task(_send(connection, size))
    await caller.head()
    largest = await _take(caller, size, proxy)
    await sending
    assert largest - before <= GROWTH_BYTES_MAX
    caller.abort()
    assert await proxy.stop() == 0


async def test_a_large_body_to_a_slow_upstream_is_not_held_in_memory(
    tmp_path: Path, upstream: Upstream
) -> None:
    proxy = await start(tmp_path, upstream)
    caller = await caller_of(proxy)
    size = 64 * MIB
    before = await resident_bytes(proxy)
    caller.send(request(b"Content-Length: %d" % size, line=b"POST /a HTTP/1.1"))
    sending = asyncio.create_task(_send(caller, size))
    connection = await upstream.accept()
    await connection.head()
    largest = await _take(connection, size, proxy)
    await sending
    connection.send(OK)
    assert (await caller.answer()).status == 200
    assert largest - before <= GROWTH_BYTES_MAX
    caller.abort()
    assert await proxy.stop() == 0


async def _send(peer: Peer, size: int) -> None:
    piece = bytes(MIB)
    for _ in range(size // MIB):
        peer.send(piece)
        await peer.flush()


async def _take(peer: Peer, size: int, proxy: RunningProxy) -> int:
    """Read so much, pausing now and then; return the proxy's largest resident size meanwhile."""
    largest = taken = 0
    pauses = 0
    while taken < size:
        if taken >= pauses * size // 8:
            # Time enough for all that is unbounded to pile up.
            pauses += 1
            await asyncio.sleep(0.1)
            largest = max(largest, await resident_bytes(proxy))
        data = await peer.some()
        assert data, "it ended too early"
        taken += len(data)
    assert taken == size
    return largest
