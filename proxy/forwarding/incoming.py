"""A request's body as it comes from its caller: unframed, bounded, read by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import ProxyError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.forwarding.chunked import ChunkedReader

BUFFER_BYTES_MAX = 65536
"""Beyond this the caller is read no more until somebody takes what is here."""


class IncomingBody:
    """See the module's docstring. `hold` stops and starts the reading of the caller.

    Its framing is one of two: `length` bytes, or what `chunked` reads.
    """

    __slots__ = (
        "_buffered_bytes",
        "_chunked",
        "_hold",
        "_left",
        "_loop",
        "_pieces",
        "_waiter",
        "complete",
        "error",
        "held",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        hold: Callable[[bool], None],
        *,
        length: int,
        chunked: ChunkedReader | None,
    ) -> None:
        self._loop = loop
        self._hold = hold
        self._left = length
        self._chunked = chunked
        self._pieces: list[bytes] = [] if chunked is None else chunked.pieces
        self._buffered_bytes = 0
        self.error: ProxyError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.complete = False
        """Whether all of it has come; some may still be here to be taken."""
        self.held = False

    @property
    def here(self) -> bool:
        """Whether there is something to take."""
        return bool(self._pieces)

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """The trailer section, once the body is complete."""
        return [] if self._chunked is None else self._chunked.trailers

    def feed(self, data: bytes) -> bytes:
        """Take what came; return what lies behind the body. A fault in its framing ends it."""
        if self.error is not None:
            # Behind a fault nothing can be told apart any more.
            return b""
        rest = b""
        if self._chunked is None:
            if len(data) > self._left:
                data, rest = data[: self._left], data[self._left :]
            self._left -= len(data)
            self._pieces.append(data)
            self._buffered_bytes += len(data)
            self.complete = not self._left
        else:
            try:
                rest = self._chunked.feed(data)
            except ProxyError as error:
                self.fail(error)
                return b""
            self._buffered_bytes += self._chunked.found_bytes
            self.complete = self._chunked.complete
        if self._buffered_bytes > BUFFER_BYTES_MAX and not self.held and not self.complete:
            self.held = True
            self._hold(True)
        if self._waiter is not None and (self._pieces or self.complete):
            self._wake()
        return rest

    def fail(self, error: ProxyError) -> None:
        """End it before its end: whoever reads gets `error`, now or when it asks."""
        if self.error is None and not self.complete:
            self.error = error
            self._wake()

    def take(self) -> bytes:
        """Return what is here, without waiting."""
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._buffered_bytes = 0
        if self.held:
            self.held = False
            self._hold(False)
        return data

    async def read(self) -> bytes:
        """Return what is here, or what comes next; nothing at the end. Raises `ProxyError`."""
        while not self._pieces:
            if self.error is not None:
                raise self.error
            if self.complete:
                return b""
            self._waiter = self._loop.create_future()
            await self._waiter
        return self.take()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
