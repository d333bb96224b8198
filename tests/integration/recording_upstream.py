"""An upstream on loopback that keeps what arrived, byte for byte, and answers what the test says.

It is no HTTP library, so that nothing is normalised between the wire and the assertion: lines
keep their order, case and repetition, a chunked body keeps its chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it came: `head` is its lines without line ends, the request line first."""

    head: tuple[bytes, ...]
    body: bytes
    """Of a chunked body everything, framing included."""
    connection: int
    """Which connection it came on; the first is 0."""

    @property
    def target(self) -> bytes:
        return self.head[0].split(b" ")[1]

    def values(self, name: str) -> list[bytes]:
        """Return the values of every field of that name, whatever its case, in order."""
        wanted = name.lower().encode()
        fields = (line.partition(b":") for line in self.head[1:])
        return [value.strip() for key, _, value in fields if key.lower() == wanted]


Answer = Callable[[RecordedRequest, asyncio.StreamWriter], Awaitable[None]]


def response(body: bytes = b"", *, status: str = "200 OK", fields: tuple[str, ...] = ()) -> bytes:
    """Return the bytes of an answer framed by `Content-Length`."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def answer_ok(_request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(response(b"ok\n", fields=("Content-Type: text/plain",)))


class RecordingUpstream:
    """`async with RecordingUpstream() as upstream`: listens until the block ends.

    Set `answer` to an `async def (request, writer)` of your own: it writes the answer's bytes, and
    may close `writer` to end the connection. What it raises is raised when the block ends.
    """

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.answer: Answer = answer_ok
        self.connections = 0
        self.port = 0
        self._errors: list[Exception] = []
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_raised: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()
        if self._errors:
            raise ExceptionGroup("the upstream's answers failed", self._errors)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = self.connections
        self.connections += 1
        self._open.add(writer)
        try:
            while not writer.is_closing():
                head = tuple((await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n"))
                request = RecordedRequest(head, b"", connection)
                request = RecordedRequest(head, await _read_body(reader, request), connection)
                self.requests.append(request)
                await self.answer(request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side ended the connection, as it may at any time
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
            self._errors.append(error)
        finally:
            self._open.discard(writer)
            writer.close()


async def _read_body(reader: asyncio.StreamReader, request: RecordedRequest) -> bytes:
    if b"chunked" not in request.values("Transfer-Encoding"):
        return await reader.readexactly(int((request.values("Content-Length") or [b"0"])[0]))
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        body += line
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        body += await reader.readexactly(size + 2)
    while line != b"\r\n":
        line = await reader.readuntil(b"\r\n")
        body += line
    return body
