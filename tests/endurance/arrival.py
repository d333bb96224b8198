"""When a request came, whatever kept its reader busy: the kernel knows.

Both ends judge tokens by instants. Were these taken when a busy process got round to reading, a
token that came in time would seem late, and the test would fail for want of CPU time.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_INFO_BYTES = 56
_LAST_DATA_RECEIVED_AT = 52
"""Where `struct tcp_info` of Linux has the milliseconds since data came last."""


def arrived_at(writer: asyncio.StreamWriter) -> float:
    """Return when the last data of this connection came, in monotonic seconds."""
    sock = writer.get_extra_info("socket")
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    (milliseconds,) = struct.unpack_from("I", info, _LAST_DATA_RECEIVED_AT)
    return time.monotonic() - milliseconds / 1000
