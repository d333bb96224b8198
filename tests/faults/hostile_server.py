"""A server that plays what a test tells it, byte for byte and pause by pause.

A script is a tuple of steps: bytes are written, `Pause` waits on the loop's clock, `Flood` writes
a piece again and again for as long as the other side takes it, `RESET` breaks the connection off,
`HANG` waits until the other side goes. At a script's end the connection is closed in good order.

What `play` sets is played to the next request alone, what `turn` sets to all until `calm`; whoever
comes afterwards is answered by `usual`. So one attempt meets the hostile answer and the next does
not.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from faults.token_server import TOKEN_PATH, Asked

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Pause:
    """So many seconds of the loop's time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Flood:
    """A piece, written `times` times."""

    piece: bytes
    times: int


@dataclass(frozen=True, slots=True)
class Bare:
    """What becomes of the connection without a byte being said."""

    name: Literal["reset", "hang"]


RESET = Bare("reset")
HANG = Bare("hang")
Step = bytes | Pause | Flood | Bare
Script = tuple[Step, ...]
Answer = Script | bytes


@dataclass(slots=True)
class HostileServer:
    """`async with HostileServer(usual=...) as server`; see the module's docstring.

    `tls` is the context for connections, `door` what the next one meets before it can ask: a
    script that is played instead of a handshake, or another context than the usual one.
    """

    usual: Callable[[Asked], Answer]
    tls: ssl.SSLContext | None = None
    requests: list[Asked] = field(default_factory=list)
    connections: int = 0
    held: int = 0
    """How many connections are at a `Pause` or `HANG`."""
    sent_max: int = 0
    """The most bytes that one connection took, those in the kernel's buffers included."""
    port: int = 0
    _script: Callable[[Asked], Answer] | None = None
    _turned: Callable[[Asked], Answer] | None = None
    _door: Script | ssl.SSLContext | None = None
    _server: asyncio.Server | None = None
    _keeper: socket.socket | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_raised: object) -> None:
        if self._keeper is None:
            self.refuse()
        for writer in self._open:
            writer.transport.abort()
        while self._open:
            await asyncio.sleep(0)
        if self._keeper is not None:
            self._keeper.close()

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return self.origin + TOKEN_PATH

    def play(self, script: Answer | Callable[[Asked], Answer]) -> None:
        """Play this to the next request."""
        self._script = script if callable(script) else lambda _: script

    def turn(self, answer: Callable[[Asked], Answer]) -> None:
        """Answer so from now on."""
        self._turned = answer

    async def calm(self) -> None:
        """Be as good as ever."""
        self._turned = None
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
            await self.listen()

    def shut(self, door: Script | ssl.SSLContext) -> None:
        """Let the next connection meet this before it can ask."""
        self._door = door

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Refuse connections from now on. The port stays ours."""
        assert self._server is not None
        self._server.close()
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keeper.bind(("127.0.0.1", self.port))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            # The other side may go at any time, in the middle of a handshake too.
            with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                await self._meet(reader, writer)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        door, self._door = self._door, None
        if isinstance(door, tuple):
            await self._perform(door, reader, writer)
            return
        if self.tls is not None:
            await writer.start_tls(door or self.tls)
        asked = await _read(reader)
        self.requests.append(asked)
        script, self._script = self._script or self._turned or self.usual, None
        answer = script(asked)
        steps = (answer,) if isinstance(answer, bytes) else answer
        await self._perform(steps, reader, writer)

    async def _perform(
        self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        sent = 0
        try:
            for step in script:
                match step:
                    case Pause():
                        await self._hold(reader, step.seconds)
                    case Bare("hang"):
                        await self._hold(reader, None)
                    case Bare():
                        _reset(writer)
                        return
                    case Flood():
                        for _ in range(step.times):
                            sent += len(step.piece)
                            await _written(writer, step.piece)
                    case _:
                        sent += len(step)
                        await _written(writer, step)
        finally:
            left = writer.transport.get_write_buffer_size()
            self.sent_max = max(self.sent_max, sent - left)

    async def _hold(self, reader: asyncio.StreamReader, seconds: float | None) -> None:
        """Wait; a peer that goes meanwhile ends the script."""
        self.held += 1
        gone = asyncio.create_task(reader.read())
        try:
            await asyncio.wait({gone}, timeout=seconds)
            if gone.done():
                raise ConnectionResetError
        finally:
            gone.cancel()
            await asyncio.wait({gone})
            self.held -= 1


async def _written(writer: asyncio.StreamWriter, piece: bytes) -> None:
    if writer.is_closing():
        raise ConnectionResetError
    writer.write(piece)
    await writer.drain()
    # A drain that does not have to wait lets nobody else run.
    await asyncio.sleep(0)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")[:-4].split("\r\n")
    method, target, _ = head[0].split(" ")
    pairs = (line.partition(":") for line in head[1:])
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(asyncio.get_running_loop().time(), method, target, headers, body)
