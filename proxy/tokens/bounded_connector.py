"""Connections that end when more comes on them than one answer may be.

aiohttp bounds each field of a head and we bound the body, but informational answers (1xx) without
end and blanks without end are neither: they would fill the memory, or the time. One connection has
one answer here, so what comes on it is counted.

aiohttp has no public way to give a connector's connections a protocol of one's own. Should the
attribute below be another one some day, connections work without the bound, and a test says so.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    import asyncio

HEAD_BYTES_MAX = 65536


class AnswerTooLongError(aiohttp.ClientPayloadError):
    """More came than one answer may be, its head and framing included."""


class BoundedConnector(aiohttp.TCPConnector):
    """A connector for answers of at most `body_bytes_max`, each on a connection of its own."""

    def __init__(
        self,
        *,
        resolver: aiohttp.abc.AbstractResolver,
        body_bytes_max: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        # Requests are rare; a connection kept for the next one would be stale by then.
        super().__init__(resolver=resolver, force_close=True, limit=0, loop=loop)
        # As much again for the framing: a server may send a chunk for every few bytes.
        bytes_max = HEAD_BYTES_MAX + 2 * body_bytes_max
        make = functools.partial(_BoundedHandler, loop=loop, bytes_max=bytes_max)
        self._factory = make  # type: ignore[assignment] # a partial is not covariant


class _BoundedHandler(ResponseHandler):
    def __init__(self, *, loop: asyncio.AbstractEventLoop, bytes_max: int) -> None:
        super().__init__(loop=loop)
        self._bytes_left = bytes_max

    def data_received(self, data: bytes) -> None:
        self._bytes_left -= len(data)
        if self._bytes_left >= 0:
            super().data_received(data)
        elif self.transport is not None:
            self.set_exception(AnswerTooLongError("more came than one answer may be"))
            self.transport.abort()
