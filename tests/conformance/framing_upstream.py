"""The upstream of the framing tables: a raw one that records, and lets h11 read what comes.

h11 is milder than the proxy has to be (a bare LF ends a line for it), so it is never the only
judge: heads are kept as bytes too. What is said can be split into single bytes, which must change
no verdict. A request for `/case` gets what the test's script says, any other its own target.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import cast

import h11
from conformance.wire import PATIENCE_SECONDS

BYTEWISE = 512
"""So many bytes at either end of what is said go one by one; what lies between goes at once."""
EVENT_BYTES_MAX = 1 << 20

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class Recorded:
    """A request as the upstream received it: whole, or (`complete` is False) a part of one."""

    head: tuple[bytes, ...]
    target: bytes
    connection: RecordedConnection
    body: bytes = b""
    trailers: Fields = ()
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """What the upstream says to a request for `/case`; `end` is what its connection does then."""

    data: bytes
    end: str = ""
    """`fin`, `reset`, or empty: nothing."""
    early: bool = False
    """Said as soon as the request's head is there."""
    split: bool = False


def echo(target: bytes) -> bytes:
    """Return the answer to a request that has no script: its own target."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target)


def pieces(data: bytes, *, split: bool) -> list[bytes]:
    """Cut what is said into single bytes, if it is to be; of what is long, only the ends."""
    if not split:
        return [data]
    head, middle, tail = data[:BYTEWISE], data[BYTEWISE:-BYTEWISE], data[BYTEWISE:][-BYTEWISE:]
    return [bytes([byte]) for byte in head] + [middle] * bool(middle) + [bytes([b]) for b in tail]


async def turns(count: int = 2) -> None:
    """Let the loop read what was written: the two ends and the proxy share it."""
    for _ in range(count):
        await asyncio.sleep(0)


class RecordedConnection(asyncio.Protocol):
    """One connection from the proxy. `flaw` says what h11 did not like."""

    def __init__(self, upstream: RecordingUpstream) -> None:
        self._upstream = upstream
        self._tasks: set[asyncio.Task[None]] = set()
        self._current: Recorded | None = None
        self._bytes = bytearray()
        self._reader = h11.Connection(h11.SERVER, max_incomplete_event_size=EVENT_BYTES_MAX)
        self.flaw = ""
        self.silent = True
        """Whether nothing is being said."""
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._upstream.connections.append(self)

    def data_received(self, data: bytes) -> None:
        self._upstream.received_bytes += len(data)
        self._bytes += data
        self._reader.receive_data(data)
        try:
            self._read()
        except h11.RemoteProtocolError as error:
            self.flaw = str(error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self.ended = True

    def _read(self) -> None:
        while True:
            event = self._reader.next_event()
            if isinstance(event, h11.Request):
                head = bytes(self._bytes).partition(b"\r\n\r\n")[0]
                self._current = Recorded(tuple(head.split(b"\r\n")), event.target, self)
                self._upstream.requests.append(self._current)
                self._answer(self._current, early=True)
            elif isinstance(event, h11.Data):
                assert self._current is not None
                self._current.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._end(event)
                return
            else:
                return

    def _end(self, event: h11.EndOfMessage) -> None:
        assert self._current is not None
        self._current.trailers = tuple(event.headers.raw_items())
        self._current.complete = True
        if self._reader.trailing_data[0]:
            # A request is never sent before the one before it is answered.
            self.flaw = "bytes behind a request"
        self._bytes.clear()
        self._reader = h11.Connection(h11.SERVER, max_incomplete_event_size=EVENT_BYTES_MAX)
        self._answer(self._current, early=False)

    def _answer(self, request: Recorded, *, early: bool) -> None:
        script = self._upstream.script if request.target == b"/case" else None
        if script is not None and script.early == early:
            self.say(script)
        elif script is None and not early:
            self._transport.write(echo(request.target))

    def say(self, script: Script) -> None:
        """Say what the script holds, asked or not."""
        self.silent = False
        task = asyncio.create_task(self._say(script))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _say(self, script: Script) -> None:
        for piece in pieces(script.data, split=script.split):
            if self.ended:
                break
            self._transport.write(piece)
            await turns()
        self.silent = True
        if script.end == "fin":
            self._transport.close()
        elif script.end == "reset":
            # A reset overtakes what was said, unless that was taken before.
            await turns(20)
            self.abort()

    def abort(self) -> None:
        """Break the connection off, by a reset."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and not self.ended:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


class RecordingUpstream:
    """A listener that records; what has no script gets its own target back (`echo`)."""

    def __init__(self) -> None:
        self.connections: list[RecordedConnection] = []
        self.requests: list[Recorded] = []
        self.script: Script | None = None
        self.received_bytes = 0

    async def start(self) -> int:
        """Listen; return the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: RecordedConnection(self), "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """End everything."""
        self._server.close()
        for connection in self.connections:
            connection.abort()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._server.wait_closed()
