"""Agreeing on TLS: what fails is named as the loop's own TLS names it, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trustme
from conformance.bench import eventually
from unit.forwarding.tls_far_end import (
    Told,
    descriptors,
    dial,
    far_end,
    reset,
    serving,
    tls_to,
    trusting,
)

from proxy.forwarding.tls_handshake import open_tls

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def speaks_http(sock: socket.socket) -> None:
    sock.recv(65536)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    with suppress(ConnectionResetError):  # What of it was not read makes the end a reset.
        sock.recv(65536)


def just_ends(sock: socket.socket) -> None:
    sock.recv(65536)


def resets(sock: socket.socket) -> None:
    sock.recv(65536)
    reset(sock)


def alert_of_old_version(sock: socket.socket) -> None:
    """RFC 8446 §6: fatal, protocol_version."""
    sock.recv(65536)
    sock.sendall(b"\x15\x03\x03\x00\x02\x02\x46")
    with suppress(ConnectionResetError):
        sock.recv(65536)


@pytest.mark.parametrize(
    ("serve", "kind"),
    [
        (speaks_http, ssl.SSLError),
        (alert_of_old_version, ssl.SSLError),
        (just_ends, ConnectionResetError),
        (resets, ConnectionResetError),
    ],
)
async def test_a_handshake_that_fails_says_how_and_leaves_nothing(
    authority: trustme.CA, serve: Callable[[socket.socket], None], kind: type[OSError]
) -> None:
    context = trusting(authority)
    async with far_end(serve) as address:
        sock = await dial(address)
        fd = sock.fileno()
        before = descriptors()
        with pytest.raises(kind) as caught:
            await open_tls(asyncio.get_running_loop(), sock, context, "127.0.0.1", Told)
        assert type(caught.value) is kind
        await nothing_stays(fd, before - 1)


async def test_a_certificate_that_is_not_trusted_is_told_from_other_failures(
    authority: trustme.CA,
) -> None:
    stranger = serving(trustme.CA())

    def serve(sock: socket.socket) -> None:
        with pytest.raises(ssl.SSLError):
            stranger.wrap_socket(sock, server_side=True)

    async with far_end(serve) as address:
        sock = await dial(address)
        fd = sock.fileno()
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            await open_tls(asyncio.get_running_loop(), sock, trusting(authority), "127.0.0.1", Told)
        assert caught.value.verify_message
        assert not asyncio.get_running_loop().remove_reader(fd)


async def test_a_cancelled_handshake_leaves_nothing(authority: trustme.CA) -> None:
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    ends: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        sock.recv(65536)
        loop.call_soon_threadsafe(heard.set)
        ends.append(sock.recv(65536))

    async with far_end(serve) as address:
        sock = await dial(address)
        fd = sock.fileno()
        before = descriptors()
        task = asyncio.create_task(open_tls(loop, sock, trusting(authority), "127.0.0.1", Told))
        await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await nothing_stays(fd, before - 1)
    assert ends == [b""]


async def test_a_factory_that_fails_leaves_nothing(authority: trustme.CA) -> None:
    context = serving(authority)

    def serve(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as tls, suppress(OSError):
            assert tls.recv(1) == b""

    def make() -> Told:
        raise ValueError("none today")

    async with far_end(serve) as address:
        sock = await dial(address)
        fd = sock.fileno()
        before = descriptors()
        with pytest.raises(ValueError, match="none today"):
            await open_tls(asyncio.get_running_loop(), sock, trusting(authority), "127.0.0.1", make)
        await nothing_stays(fd, before - 1)


async def test_a_slow_handshake_blocks_nobody(authority: trustme.CA) -> None:
    context = serving(authority)
    arrived, go = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def serve(sock: socket.socket) -> None:
        loop.call_soon_threadsafe(arrived.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result()
        with context.wrap_socket(sock, server_side=True) as tls:
            tls.sendall(b"first word")
            tls.recv(1)

    async with far_end(serve) as address:
        sock = await dial(address)
        opening = asyncio.create_task(open_tls(loop, sock, trusting(authority), "127.0.0.1", Told))
        await arrived.wait()
        assert not opening.done()
        go.set()
        transport, told = await opening
        await eventually(lambda: told.received == b"first word", "a server may speak first")
        transport.abort()
        await told.gone()


async def test_a_transport_tells_whom_it_speaks_to(authority: trustme.CA) -> None:
    async with tls_to(authority, lambda tls: tls.recv(1) and None) as (transport, _):
        assert transport.get_extra_info("cipher")[1] == "TLSv1.3"
        assert transport.get_extra_info("peername")[0] == "127.0.0.1"
        assert transport.get_extra_info("ssl_object").getpeercert()["subjectAltName"]
        assert not transport.can_write_eof()
        transport.close()


async def nothing_stays(fd: int, count: int) -> None:
    """Neither a watch nor a descriptor."""
    loop = asyncio.get_running_loop()
    assert not loop.remove_reader(fd)
    assert not loop.remove_writer(fd)
    gc.collect()
    await eventually(lambda: descriptors() <= count, "descriptors are back")
