"""TLS on the socket itself, against a real server in a thread: bytes both ways, and pauses."""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
import trustme
from conformance.bench import eventually
from conformance.wire import PATIENCE_SECONDS
from unit.forwarding.tls_far_end import Told, dial, serving, tls_to, trusting

from proxy.forwarding import tls_transport
from proxy.forwarding.backlog import untaken_bytes
from proxy.forwarding.tls_handshake import open_tls

if TYPE_CHECKING:
    from collections.abc import Callable


LARGE = random.Random(1).randbytes(1 << 20) * 16
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def heard(until: Callable[[], object]) -> None:
    await eventually(until, "the other side said it")


@pytest.mark.parametrize("version", VERSIONS)
async def test_bytes_go_both_ways_at_once_whatever_pauses(
    authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    chance = random.Random(2)
    context = serving(authority)
    context.maximum_version = version

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(LARGE)
        came = hashlib.sha256()
        for _ in range(0, len(LARGE), 16384):
            came.update(await reader.readexactly(16384))
            if chance.random() < 0.05:
                await asyncio.sleep(0.001)
        writer.write(came.digest())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server, asyncio.timeout(PATIENCE_SECONDS):
        loop = asyncio.get_running_loop()
        sock = await dial(server.sockets[0].getsockname())
        transport, told = await open_tls(loop, sock, trusting(authority), "127.0.0.1", Told)
        at = 0
        while at < len(LARGE):
            size = chance.choice([1, 900, 16384, 16385, 70000, 300000])
            transport.write(LARGE[at : at + size])
            at += size
            if chance.random() < 0.3:
                transport.pause_reading()
                count = len(told.received)
                await asyncio.sleep(0.001)
                assert len(told.received) == count
                transport.resume_reading()
            await told.may_write.wait()
        await told.gone()
        assert told.received == LARGE + hashlib.sha256(LARGE).digest()
        assert told.events[-2:] == ["eof", "lost"]
        assert told.error is None
        assert told.largest_bytes <= tls_transport.TURN_BYTES_MAX


async def test_many_small_records_in_one_go_all_arrive(authority: trustme.CA) -> None:
    """What OpenSSL holds already wakes no loop."""
    sent = threading.Event()

    def serve(tls: ssl.SSLSocket) -> None:
        tls.recv(100)
        for count in range(1000):
            tls.sendall(b"%03d" % count)
        sent.set()
        tls.recv(100)

    async with tls_to(authority, serve) as (transport, told):
        transport.write(b"request")
        assert sent.wait(PATIENCE_SECONDS)
        await heard(lambda: len(told.received) == 3000)
        assert told.received == b"".join(b"%03d" % count for count in range(1000))
        transport.write(b"bye")


async def test_a_slow_peer_pauses_the_writer_and_its_progress_shows(
    authority: trustme.CA,
) -> None:
    step, came = threading.Semaphore(0), []

    def serve(tls: ssl.SSLSocket) -> None:
        while step.acquire(timeout=PATIENCE_SECONDS) and (data := tls.recv(65536)):
            came.append(data)

    async with tls_to(authority, serve, buffer_bytes=65536) as (transport, told):
        transport.write(LARGE)
        assert "pause" in told.events
        left = untaken_bytes(transport)
        assert transport.get_write_buffer_size() > tls_transport.WAITING_BYTES_HIGH
        for _ in range(100):
            step.release()
        await heard(lambda: untaken_bytes(transport) < left)
        assert not told.may_write.is_set()
        for _ in range(10000):
            step.release()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await told.may_write.wait()
        assert transport.get_write_buffer_size() <= tls_transport.WAITING_BYTES_LOW
        transport.close()
        await told.gone()
    assert b"".join(came) == LARGE


async def test_a_protocol_that_fails_loses_its_connection(authority: trustme.CA) -> None:
    loop = asyncio.get_running_loop()
    reports: list[object] = []
    loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))
    failure = RuntimeError("it cannot take this")

    def fail(_: bytes) -> None:
        raise failure

    async with tls_to(authority, lambda tls: tls.sendall(b"news")) as (_, told):
        told.data_received = fail  # type: ignore[method-assign]
        await told.gone()
        assert told.error is failure
        assert reports == [failure]
