"""Agreeing on TLS over a connected socket, without blocking the loop."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, TypeVar

from proxy.forwarding.tls_transport import TlsTransport

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_Protocol = TypeVar("_Protocol", bound=asyncio.Protocol)


async def open_tls(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    context: ssl.SSLContext,
    server_hostname: str,
    protocol_factory: Callable[[], _Protocol],
) -> tuple[TlsTransport, _Protocol]:
    """Agree on TLS over a connected, non-blocking TCP socket, which is taken over.

    There is no time limit: put one around it. Raises `OSError`: `ssl.SSLCertVerificationError`,
    other `ssl.SSLError`, `ConnectionResetError` where the peer just ends the connection. However
    it fails, the socket is closed.
    """
    try:
        sock = tls = context.wrap_socket(
            sock,
            server_hostname=server_hostname,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
        await _shake_hands(loop, tls)
        protocol = protocol_factory()
        return TlsTransport(loop, tls, protocol), protocol
    except BaseException:
        sock.close()
        raise


async def _shake_hands(loop: asyncio.AbstractEventLoop, tls: ssl.SSLSocket) -> None:
    fd = tls.fileno()
    while True:
        ready = loop.create_future()
        try:
            tls.do_handshake()
            return
        except ssl.SSLWantReadError:
            loop.add_reader(fd, _tell, ready)
        except ssl.SSLWantWriteError:
            loop.add_writer(fd, _tell, ready)
        except ssl.SSLEOFError:
            raise ConnectionResetError("the peer ended the connection") from None
        try:
            await ready
        finally:
            loop.remove_reader(fd)
            loop.remove_writer(fd)


def _tell(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
