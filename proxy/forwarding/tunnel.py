"""After an upstream's 101: bytes across, both ways, until both sides have ended.

What the bytes mean is theirs (RFC 6455): frames, close codes and sizes are nobody's business here.
Rules:

- An end goes on as an end, so that the other way stays open; a reset goes on as a reset.
- A side that takes nothing stops the other: its transport is read no more.
- Nothing for `timeouts.tunnel_idle_seconds`, either way, ends both in order. A side that takes
  nothing of its end for `END_SECONDS` is broken off; one that is slow is not.
- After the drain `close_now` ends both in order, and has `LAST_SECONDS` for it.
- The transports are ours meanwhile; whose they were hears of their loss when all is over.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from proxy.forwarding.backlog import untaken_bytes
from proxy.forwarding.reset import reset

if TYPE_CHECKING:
    from collections.abc import Callable

END_SECONDS = 5.0
"""How long a side may take nothing of what was written to it, once the other side has ended."""
LAST_SECONDS = 1.0
"""How long both sides have when the process ends: the grace is over by then."""


class Owner(Protocol):
    """Whose a transport was before."""

    @property
    def writing_paused(self) -> bool:
        """Whether its transport has more to write than it likes."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """Hear of its loss."""
        ...


class _End(asyncio.Protocol):
    """One of the two sides. `ended`: it sends no more; `lost`: it is gone."""

    def __init__(self, tunnel: Tunnel, owner: Owner, transport: asyncio.Transport) -> None:
        self.tunnel = tunnel
        self.owner = owner
        self.transport = transport
        self.other: _End = self
        self.received_bytes = 0
        self.ended = False
        self.lost = False
        self.error: Exception | None = None
        self.untaken_bytes: int | None = None

    def data_received(self, data: bytes) -> None:
        """Pass on what came."""
        self.received_bytes += len(data)
        self.tunnel.note_use()
        self.other.write(data)

    def write(self, data: bytes) -> None:
        """Write, unless this side is ending already."""
        if data and not self.lost and not self.transport.is_closing():
            self.transport.write(data)

    def pause_writing(self) -> None:
        """Read the other side no more: this one does not keep up."""
        if not self.other.lost and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read the other side again."""
        self.tunnel.note_use()
        if not self.other.lost and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Pass the end on, and keep the other way open where the transport can (not over TLS)."""
        self.ended = True
        self.tunnel.note_end(self)
        return self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note; the tunnel sees to the rest."""
        self.lost = True
        self.error = exc
        self.tunnel.note_loss(self)


class Tunnel:
    """See the module's docstring. `run` it once."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        caller: tuple[Owner, asyncio.Transport],
        upstream: tuple[Owner, asyncio.Transport],
        idle_seconds: float,
    ) -> None:
        self._loop = loop
        self._idle_seconds = idle_seconds
        self._used_at = loop.time()
        self._timer = loop.call_later(idle_seconds, self._look)
        self._over = loop.create_future()
        self._closing = False
        self._finished = False
        self.caller = _End(self, *caller)
        self.upstream = _End(self, *upstream)
        self.caller.other, self.upstream.other = self.upstream, self.caller

    async def run(self, start: Callable[[], None]) -> None:
        """Take the transports over, `start` the exchange of bytes, and wait until it is over."""
        for end in (self.caller, self.upstream):
            end.transport.set_protocol(end)
            if end.owner.writing_paused:
                # It was told to the owner, and will not be told again.
                end.pause_writing()
        try:
            start()
            await self._over
        finally:
            self._finished = True
            self._timer.cancel()
            for end in (self.caller, self.upstream):
                if end.lost:
                    end.owner.connection_lost(end.error)
                else:
                    end.transport.abort()

    def note_use(self) -> None:
        """Take note that somebody sends or takes."""
        self._used_at = self._loop.time()

    def note_end(self, end: _End) -> None:
        """Pass on that a side sends no more; when neither does, that is the end."""
        other = end.other
        if other.ended or other.lost:
            self.close()
        elif not other.transport.is_closing():
            if other.transport.can_write_eof():
                other.transport.write_eof()
            else:
                # TLS knows no half of an end: once it has been silent so long, it has ended too.
                self._idle_seconds = min(self._idle_seconds, END_SECONDS)
                self.note_use()
                self._look_in(self._idle_seconds)

    def note_loss(self, end: _End) -> None:
        """End the other side as this one has ended."""
        if self._finished:
            end.owner.connection_lost(end.error)
            return
        if end.other.lost:
            if not self._over.done():
                self._over.set_result(None)
        elif end.error is not None:
            reset(end.other.transport)
        else:
            self.close()

    def close(self) -> None:
        """End both sides in order; a side that does not take its end is broken off."""
        for end in (self.caller, self.upstream):
            if not end.lost and not end.transport.is_closing():
                end.transport.close()
        if not self._closing:
            self._closing = True
            self._look_in(END_SECONDS)

    def close_now(self) -> None:
        """End both sides in order, and what is left of them after `LAST_SECONDS`."""
        self.close()
        self._timer.cancel()
        self._timer = self._loop.call_later(LAST_SECONDS, self._break_off)

    def _break_off(self) -> None:
        for end in (self.caller, self.upstream):
            if not end.lost:
                reset(end.transport)

    def _look_in(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """See whether it is time to end: nothing was sent or taken for too long."""
        if not self._closing:
            left = self._used_at + self._idle_seconds - self._loop.time()
            if left <= 0:
                self.close()
            else:
                self._look_in(left)
            return
        for end in (self.caller, self.upstream):
            if not end.lost:
                before, end.untaken_bytes = end.untaken_bytes, untaken_bytes(end.transport)
                if not end.untaken_bytes or end.untaken_bytes == before:
                    reset(end.transport)
        self._look_in(END_SECONDS)
