"""An upstream for callers that leave: it says when a request came and when its connection ended.

What it does is told by the request's path: `/hold` waits, `/stream` answers without end as fast
as it is taken, `/take` reads a body without end, `/late` answers after `LATE_SECONDS`, anything
else is answered at once. The path's last segment is the exchange's name.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Self

from conformance.bench import OK
from endurance.sizes import PATIENCE_SECONDS

LATE_SECONDS = 0.05
_PIECE = b"8000\r\n" + bytes(0x8000) + b"\r\n"


class Course:
    """What is known of one exchange: events that are set when they happen."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.ended = asyncio.Event()
        """Its connection ended, or the answer is out whole."""


class PatientUpstream:
    """`async with PatientUpstream() as upstream`; see the module's docstring."""

    def __init__(self) -> None:
        self.port = 0
        self.courses: defaultdict[str, Course] = defaultdict(Course)
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._errors: list[Exception] = []

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_raised: object) -> None:
        self._server.close()
        for writer in self._open.values():
            writer.transport.abort()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*self._open)
            await self._server.wait_closed()
        if self._errors:
            raise ExceptionGroup("the upstream met what it does not know", self._errors)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                _, kind, name = head.split(b" ", 2)[1].decode().split("/")
                course = self.courses[name]
                course.came.set()
                try:
                    await self._answer(kind, reader, writer)
                finally:
                    course.ended.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the proxy ends what its callers have left
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
            self._errors.append(error)
        finally:
            writer.transport.abort()
            del self._open[task]

    async def _answer(
        self, kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if kind in {"hold", "take"}:
            while await reader.read(65536):
                pass
            raise ConnectionResetError
        if kind == "stream":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not writer.is_closing():
                writer.write(_PIECE)
                await writer.drain()
                # Writing to a peer that takes all at once would never let others in.
                await asyncio.sleep(0)
            raise ConnectionResetError
        if kind == "late":
            await asyncio.sleep(LATE_SECONDS)
        if writer.is_closing():
            raise ConnectionResetError
        writer.write(OK)
