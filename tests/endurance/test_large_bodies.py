"""Bodies that are larger than memory should ever be, and peers that are slow to take them."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from conformance.bench import OK, request
from conformance.wire import Peer, Upstream
from endurance.measured_proxy import MIB, eventually
from endurance.sizes import sized

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from endurance.measured_proxy import MeasuredProxy, StartMeasured

BODY_BYTES = sized(64, 1024) * MIB
STREAMS = sized(20, 100)
STREAM_BYTES_MAX = MIB
"""How much more may be resident for one stream."""
TLS_STREAM_BYTES_MAX = STREAM_BYTES_MAX + MIB // 4
"""The same under TLS, whose transport has a buffer of its own that it never gives back."""
CHUNK_BYTES = 16 * MIB
"""More than the kernel takes on the way."""
SHARED_BYTES_MAX = 2 * MIB
"""What the first large body makes grow once: the loop's read buffer, the allocator's arenas."""
PAUSES = 16
IDLE_SECONDS = 5
"""Far less than the full size takes: no limit is one on the whole."""
PIECE = bytes(range(256)) * 4096


class Surroundings:
    """An upstream behind plain TCP or TLS, and what the proxy is told of it."""

    def __init__(self, upstream: Upstream, keys: dict[str, Any]) -> None:
        self.upstream = upstream
        self.keys = keys
        self.stream_bytes_max = TLS_STREAM_BYTES_MAX if "tls" in keys else STREAM_BYTES_MAX


@pytest.fixture(params=["plain", "TLS"])
async def surroundings(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Surroundings]:
    upstream = Upstream(buffer_bytes=65536)
    keys: dict[str, Any] = {"timeouts": {"idle_seconds": IDLE_SECONDS}, "connections_max": STREAMS}
    if request.param == "TLS":
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        await upstream.start(ssl=context)
        keys |= {
            "url": f"https://127.0.0.1:{upstream.port}",
            "tls": {"ca_file": str(tmp_path / "ca.pem")},
        }
    else:
        await upstream.start()
    yield Surroundings(upstream, keys)
    await upstream.stop()


async def begin(
    proxy: MeasuredProxy, upstream: Upstream, *fields: bytes, line: bytes
) -> tuple[Peer, Peer]:
    """Send a request's head; return its caller and its upstream connection."""
    caller = await proxy.caller()
    caller.send(request(*fields, line=line))
    connection = await upstream.accept()
    await connection.head()
    return caller, connection


async def send(peer: Peer) -> None:
    for _ in range(BODY_BYTES // len(PIECE)):
        peer.send(PIECE)
        await peer.writer.drain()


async def take_slowly(peer: Peer, proxy: MeasuredProxy) -> int:
    """Read the body, pausing now and then; return the proxy's largest resident size meanwhile."""
    largest = taken = pauses = 0
    while taken < BODY_BYTES:
        if taken >= pauses * BODY_BYTES // PAUSES:
            pauses += 1
            # Time for all that is unbounded to pile up.
            await eventually(lambda: is_at_rest(proxy), "the proxy waits")
            largest = max(largest, proxy.resident_bytes())
        data = await peer.some()
        assert data == (PIECE * 2)[taken % len(PIECE) :][: len(data)], "it came changed"
        taken += len(data)
    assert taken == BODY_BYTES
    return largest


async def is_at_rest(proxy: MeasuredProxy) -> bool:
    """Say whether it used next to no CPU time for a moment."""
    return await proxy.load(0.05) < 0.1


async def warmed(start_measured: StartMeasured, around: Surroundings) -> tuple[MeasuredProxy, int]:
    """Return a proxy that has forwarded before, and its resident size."""
    proxy = await start_measured(around.upstream.port, **around.keys)
    caller, connection = await begin(proxy, around.upstream, line=b"GET /first HTTP/1.1")
    connection.send(OK)
    assert (await caller.answer()).status == 200
    connection.abort()
    caller.abort()
    await proxy.quiet()
    return proxy, proxy.resident_bytes()


async def test_a_large_answer_is_not_held_for_a_slow_caller(
    start_measured: StartMeasured, surroundings: Surroundings
) -> None:
    """R-18."""
    proxy, before = await warmed(start_measured, surroundings)
    caller, connection = await begin(proxy, surroundings.upstream, line=b"GET /large HTTP/1.1")
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY_BYTES)
    sending = asyncio.create_task(send(connection))
    await caller.head()
    largest = await take_slowly(caller, proxy)
    await sending
    assert largest - before <= SHARED_BYTES_MAX + surroundings.stream_bytes_max


async def test_a_large_body_is_not_held_for_a_slow_upstream(
    start_measured: StartMeasured, surroundings: Surroundings
) -> None:
    """R-18."""
    proxy, before = await warmed(start_measured, surroundings)
    caller, connection = await begin(
        *(proxy, surroundings.upstream, b"Content-Length: %d" % BODY_BYTES),
        line=b"POST /large HTTP/1.1",
    )
    sending = asyncio.create_task(send(caller))
    largest = await take_slowly(connection, proxy)
    await sending
    connection.send(OK)
    assert (await caller.answer()).status == 200
    assert largest - before <= SHARED_BYTES_MAX + surroundings.stream_bytes_max


@pytest.mark.parametrize("way", ["down", "up"])
async def test_a_hundred_streams_that_nobody_takes_cost_little(
    start_measured: StartMeasured, surroundings: Surroundings, way: str
) -> None:
    """R-18."""
    proxy, before = await warmed(start_measured, surroundings)
    line = b"GET /large HTTP/1.1" if way == "down" else b"PUT /large HTTP/1.1"
    framing = [] if way == "down" else [b"Transfer-Encoding: chunked"]
    pairs = [await begin(proxy, surroundings.upstream, *framing, line=line) for _ in range(STREAMS)]
    chunk = b"%x\r\n%b\r\n" % (CHUNK_BYTES, bytes(CHUNK_BYTES))
    for caller, connection in pairs:
        if way == "down":
            caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.send(chunk)
        else:
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
            caller.send(chunk)
    await eventually(lambda: is_at_rest(proxy), "the proxy waits")
    largest = proxy.resident_bytes()
    assert largest - before <= STREAMS * surroundings.stream_bytes_max
    for caller, connection in pairs:
        caller.abort()
        connection.abort()
    await proxy.quiet()
