"""Breaking a connection off so that nobody can take what was sent for the whole."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Abort by a reset, not an end: an answer that ends with the connection would look complete.

    A socket file knows no reset; there it is an end.
    """
    sock = transport.get_extra_info("socket")
    # A transport that is closing with nothing left to send may have given its descriptor back.
    alive = not transport.is_closing() or transport.get_write_buffer_size()
    if sock is not None and alive and sock.family != getattr(socket, "AF_UNIX", None):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
