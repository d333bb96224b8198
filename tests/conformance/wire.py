"""Both ends of the proxy as bare sockets: `Peer` says bytes and reads bytes, with a deadline.

Nothing is normalised between the wire and an assertion: a head's lines keep their order, case and
repetition, and how a connection ended (in order, or broken off) is part of what was received.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field

PATIENCE_SECONDS = 30
"""How long any event is waited for before the test fails; no test waits that long in vain."""


@dataclass(frozen=True, slots=True)
class Head:
    """A message's head: the lines without their ends, the start line first."""

    start: bytes
    lines: tuple[bytes, ...]

    def values(self, name: str) -> list[bytes]:
        """Return the values of every field of that name, whatever its case, in order."""
        wanted = name.lower().encode()
        fields = (line.partition(b":") for line in self.lines)
        return [value.strip() for key, _, value in fields if key.lower() == wanted]

    @property
    def names(self) -> list[bytes]:
        """Return the fields' names as they were written."""
        return [line.partition(b":")[0] for line in self.lines]

    @property
    def target(self) -> bytes:
        """Return a request's target."""
        return self.start.split(b" ")[1]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; of a chunked one `pieces` are the chunks as they were cut."""

    head: Head
    body: bytes
    pieces: tuple[bytes, ...] = ()
    trailers: tuple[bytes, ...] = ()

    @property
    def status(self) -> int:
        """Return the status code."""
        return int(self.head.start.split(b" ")[1])


@dataclass(slots=True)
class Peer:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: bytearray = field(default_factory=bytearray)

    def send(self, data: bytes) -> None:
        """Write without waiting for the other side to take it."""
        self.writer.write(data)

    async def flush(self) -> None:
        """Wait until the other side has taken most of what was sent."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.writer.drain()

    async def head(self) -> Head:
        """Read up to the empty line."""
        data = await self.until(b"\r\n\r\n")
        start, *lines = data[:-4].split(b"\r\n")
        return Head(start, tuple(lines))

    async def until(self, end: bytes) -> bytes:
        """Read up to and with `end`. Raises `asyncio.IncompleteReadError`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.readuntil(end)

    async def exactly(self, count: int) -> bytes:
        """Read so many bytes. Raises `asyncio.IncompleteReadError`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.readexactly(count)

    async def some(self) -> bytes:
        """Read what is there, at least a byte; empty at the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read(65536)

    async def rest(self) -> bytes:
        """Read up to the end. Raises `ConnectionResetError` when it was broken off."""
        parts = []
        while data := await self.some():
            parts.append(data)
        return b"".join(parts)

    async def broken_off(self) -> bool:
        """Wait for the end; say whether it was a reset."""
        try:
            await self.rest()
        except ConnectionResetError:
            return True
        return False

    async def ended(self) -> None:
        """Wait for the end, in order or not."""
        await self.broken_off()

    async def chunked(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """Read a chunked body; return its chunks and its trailer lines."""
        pieces = []
        while size := int((await self.until(b"\r\n")).partition(b";")[0], 16):
            pieces.append((await self.exactly(size + 2))[:-2])
        trailers = []
        while (line := await self.until(b"\r\n")) != b"\r\n":
            trailers.append(line[:-2])
        return tuple(pieces), tuple(trailers)

    async def answer(self, *, to_head: bool = False) -> Answer:
        """Read one answer by its own framing; interim answers are answers too."""
        head = await self.head()
        status = int(head.start.split(b" ")[1])
        if to_head or status < 200 or status in {204, 304}:
            return Answer(head, b"")
        if head.values("Transfer-Encoding"):
            pieces, trailers = await self.chunked()
            return Answer(head, b"".join(pieces), pieces, trailers)
        if length := head.values("Content-Length"):
            return Answer(head, await self.exactly(int(length[0])))
        return Answer(head, await self.rest())

    async def asks(self, request: bytes) -> Answer:
        """Send a request and read its answer."""
        self.send(request)
        return await self.answer(to_head=request.startswith(b"HEAD "))

    def finish(self) -> None:
        """Send no more: what was written goes out, and the connection ends in order."""
        self.writer.close()

    def abort(self) -> None:
        """Break the connection off, by a reset."""
        if self.writer.is_closing():
            # uvloop has given the descriptor back by now.
            self.writer.transport.abort()
            return
        sock = self.writer.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Upstream:
    """A listener whose connections the test takes one by one, and answers by hand."""

    def __init__(self, *, buffer_bytes: int) -> None:
        self._buffer_bytes = buffer_bytes
        self._arrived: asyncio.Queue[Peer] = asyncio.Queue()
        self._peers: list[Peer] = []
        self.port = 0

    @property
    def connections(self) -> int:
        """How many connections came so far."""
        return len(self._peers)

    async def start(self, **options: object) -> None:
        """Listen on a port of the kernel's choice; `options` go to `asyncio.start_server`."""
        self._server = await asyncio.start_server(
            self._on_connection,
            "127.0.0.1",
            0,
            limit=self._buffer_bytes,
            **options,  # type: ignore[arg-type]
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self._peers.append(peer)
        self._arrived.put_nowait(peer)

    async def accept(self) -> Peer:
        """Return the next connection, in the order of their coming."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._arrived.get()

    def stop_listening(self) -> None:
        """Refuse connections from now on; those that are there stay."""
        self._server.close()

    async def stop(self) -> None:
        """End everything."""
        self._server.close()
        for peer in self._peers:
            peer.abort()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._server.wait_closed()


async def connect(
    host: str | None, port: int | None, *, buffer_bytes: int = 1 << 20, path: str | None = None
) -> Peer:
    """Connect to `host:port`, or to the socket file `path`."""
    if path is not None:
        reader, writer = await asyncio.open_unix_connection(path, limit=buffer_bytes)
    else:
        reader, writer = await asyncio.open_connection(host, port, limit=buffer_bytes)
    return Peer(reader, writer)
