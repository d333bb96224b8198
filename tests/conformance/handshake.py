r"""WebSocket handshakes as bytes, and a tunnel opened by one.

caller, upstream = await opened(the)
caller.send(b"\x00 anything")
assert await upstream.exactly(10) == b"\x00 anything"
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING

from conformance.bench import request

if TYPE_CHECKING:
    from conformance.bench import Bench
    from conformance.wire import Peer

KEY = base64.b64encode(bytes(range(16)))
PROOF = base64.b64encode(
    hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
)
ASKS = (b"Connection: Upgrade", b"Upgrade: websocket")
KEYED = (b"Sec-WebSocket-Key: " + KEY, b"Sec-WebSocket-Version: 13")


def handshake(*fields: bytes, body: bytes = b"") -> bytes:
    """Return an opening handshake with further `fields`, and `body` right behind it."""
    return request(*ASKS, *KEYED, *fields, line=b"GET /socket HTTP/1.1", body=body)


def accepted(*fields: bytes, behind: bytes = b"") -> bytes:
    """Return the answer that accepts it, with `behind` right behind it."""
    proof = b"Sec-WebSocket-Accept: " + PROOF
    start = b"HTTP/1.1 101 Switching Protocols"
    return b"\r\n".join([start, *ASKS, proof, *fields, b"", behind])


async def opened(the: Bench, *, buffer_bytes: int = 1 << 20) -> tuple[Peer, Peer]:
    """Open a tunnel; return the caller's end and the upstream's."""
    caller = await the.caller(buffer_bytes=buffer_bytes)
    caller.send(handshake())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(accepted())
    assert (await caller.head()).start == b"HTTP/1.1 101 Switching Protocols"
    return caller, upstream


async def both_have_ended(caller: Peer, upstream: Peer) -> None:
    """Wait until both ends are told, by an end in order or by a reset."""
    await asyncio.gather(caller.ended(), upstream.ended())


async def passes_both_ways(caller: Peer, upstream: Peer) -> None:
    """Send a few bytes each way, which no HTTP parser would let pass."""
    caller.send(b"\x81\x85\x00\r\n\r\n up")
    assert await upstream.exactly(10) == b"\x81\x85\x00\r\n\r\n up"
    upstream.send(b"HTTP/9.9 \x00 down")
    assert await caller.exactly(15) == b"HTTP/9.9 \x00 down"
