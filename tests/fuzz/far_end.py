"""The far end of a connection, played by chance: a transport that delivers what it is told to."""

from __future__ import annotations

import asyncio

TURNS_MAX = 1000
"""So many turns of the event loop are enough for whatever is to happen in answer to bytes."""


class FarEnd(asyncio.Transport):
    """What `protocol` writes is in `written`; `deliver` and `end` are what the other side does."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._reading = True
        self._lost = False
        self.written = bytearray()
        self.closing = False
        self.pauses = 0
        protocol.connection_made(self)

    async def deliver(self, data: bytes) -> bool:
        """Hand the bytes over once they are wanted; False if they no longer are."""
        turns = 0
        while not self._reading and not self.closing:
            await asyncio.sleep(0)
            turns += 1
            assert turns < TURNS_MAX, "reading was paused and is never resumed"
        if self.closing:
            return False
        self._protocol.data_received(data)
        return True

    def end(self, *, in_order: bool) -> None:
        """End the connection from the other side."""
        if self._lost or self.closing:
            return
        stays = self._protocol.eof_received() if in_order else False
        if not stays:
            self._lose(None if in_order else ConnectionResetError("reset by the other side"))

    def _lose(self, error: Exception | None) -> None:
        self.closing = True
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._protocol.connection_lost, error)

    # What the protocol does.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        assert self._reading, "paused twice"
        self._reading = False
        self.pauses += 1

    def resume_reading(self) -> None:
        self._reading = True

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Send no more; nobody here looks at that."""

    def close(self) -> None:
        self._lose(None)

    def abort(self) -> None:
        self._lose(None)
