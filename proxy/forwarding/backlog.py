"""How much of what was written to a peer it has not taken yet."""

from __future__ import annotations

import array
import fcntl
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


def untaken_bytes(transport: asyncio.Transport | None) -> int:
    """Return what waits in the transport and, where the kernel tells, in the socket behind it.

    A peer that reads slowly may leave the transport's own buffer as it is for seconds, while the
    kernel's shrinks; only both together show that it reads at all.
    """
    if transport is None:
        return 0
    waiting = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is None or (transport.is_closing() and not waiting):
        # Closed with all written: the descriptor may be another's by now.
        return waiting
    in_kernel = array.array("i", [0])
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, in_kernel)
    except OSError:
        # Not every kernel knows it for sockets; then the transport's buffer has to do.
        return waiting
    return waiting + in_kernel[0]
