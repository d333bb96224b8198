"""The far end of a TLS connection: a blocking `ssl` server in a thread; and who is told here."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from conformance.wire import PATIENCE_SECONDS

from proxy.forwarding.tls_handshake import open_tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import trustme

    from proxy.forwarding.tls_transport import TlsTransport


class Told(asyncio.Protocol):
    """Writes down what a transport tells."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.largest_bytes = 0
        self.events: list[str] = []
        self.error: Exception | None = None
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.largest_bytes = max(self.largest_bytes, len(data))

    def eof_received(self) -> None:
        self.events.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.error = exc
        self.lost.set()

    def pause_writing(self) -> None:
        self.events.append("pause")
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.events.append("resume")
        self.may_write.set()

    async def gone(self) -> None:
        """Wait for `connection_lost`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.lost.wait()


def serving(authority: trustme.CA) -> ssl.SSLContext:
    """Return a server's context for 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """Return a client's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def reset(sock: socket.socket) -> None:
    """End a connection by a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - the listing is all that is wanted


async def dial(address: tuple[str, int], *, buffer_bytes: int | None = None) -> socket.socket:
    """Return a connected, non-blocking socket."""
    sock = socket.socket()
    sock.setblocking(False)
    if buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


@asynccontextmanager
async def far_end(serve: Callable[[socket.socket], None]) -> AsyncIterator[tuple[str, int]]:
    """Have one connection served, in a thread; at the end wait for it. Yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_SECONDS)

        def accept() -> None:
            sock, _ = listening.accept()
            sock.settimeout(PATIENCE_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with sock:
                serve(sock)

        thread = asyncio.create_task(asyncio.to_thread(accept))
        try:
            yield listening.getsockname()
        finally:
            await thread


@asynccontextmanager
async def tls_to(
    authority: trustme.CA,
    serve: Callable[[ssl.SSLSocket], None],
    *,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    buffer_bytes: int | None = None,
) -> AsyncIterator[tuple[TlsTransport, Told]]:
    """Speak TLS with `serve`. At the end the transport must be gone, and have said so once."""
    context = serving(authority)
    context.maximum_version = version

    def serve_tls(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as tls:
            serve(tls)

    loop = asyncio.get_running_loop()
    async with far_end(serve_tls) as address:
        sock = await dial(address, buffer_bytes=buffer_bytes)
        transport, told = await open_tls(loop, sock, trusting(authority), "127.0.0.1", Told)
        try:
            yield transport, told
        finally:
            transport.abort()
            await told.gone()
            await asyncio.sleep(0)
            assert told.events.count("lost") == 1
            assert transport.get_extra_info("socket").fileno() == -1
