"""A caller's connection below HTTP: how it is read, how it is ended, and how its end is noticed.

It stands on the protocol of aiohttp's server, for its flow control. An end is one of four: closed
in order; lingering (our side ended, the caller's rest is dropped until it has seen the end); broken
off, so that what was sent cannot be taken for the whole; and lost.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp.base_protocol import BaseProtocol

from proxy.forwarding.backlog import untaken_bytes
from proxy.forwarding.departure import is_gone
from proxy.forwarding.reset import reset

if TYPE_CHECKING:
    from proxy.forwarding.tunnel import Tunnel

LINGER_SECONDS = 10.0
"""How long what a caller still sends is taken in, or what it does not take is kept, at the end."""
LOOK_AFTER_SECONDS = 1.0
"""How often a caller that is not being read is looked after: no news of its end would come."""


class CallerConnection(BaseProtocol):
    """See the module's docstring. `busy` says whether a request is being answered."""

    __slots__ = (
        "_looking_after",
        "_task_handler",
        "busy",
        "closing",
        "ended",
        "holds",
        "lingering",
        "timer",
        "tunnel",
        "waiter",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.holds = 0
        """How many reasons there are not to read the caller."""
        self._looking_after: asyncio.TimerHandle | None = None
        self._task_handler: asyncio.Task[None] | None = None
        self.busy = False
        self.ended = False
        """The caller sends no more."""
        self.closing = False
        """We take no more requests."""
        self.lingering = False
        self.tunnel: Tunnel | None = None
        self.waiter: asyncio.Future[None] | None = None
        """What the connection's task waits for when it has nothing to do."""
        self.timer: asyncio.TimerHandle | None = None
        """Ends a head that does not come, or an end that is not taken."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go, and end what is being answered."""
        self.closing = True
        super().connection_lost(exc)
        self.stop_timer()
        if self._looking_after is not None:
            self._looking_after.cancel()
        if self._task_handler is not None:
            self._task_handler.cancel()

    async def drain(self, idle_seconds: float) -> bool:
        """Wait until all is taken; False if nothing was for so long. Raises ConnectionError."""
        left = untaken_bytes(self.transport)
        while True:
            try:
                async with asyncio.timeout(idle_seconds):
                    await self._drain_helper()
                return True
            except TimeoutError:
                # The timeout has cancelled it; waiting for it again would end at once.
                self._drain_waiter = None
                before, left = left, untaken_bytes(self.transport)
                if left >= before:
                    return False

    async def has_caught_up(self, idle_seconds: float) -> bool:
        """Wait until the caller has taken its answers: who reads nothing gets no more of them."""
        try:
            caught_up = await self.drain(idle_seconds)
        except ConnectionError:
            return False
        if not caught_up:
            self.break_off()
        return caught_up

    def hold(self, hold: bool) -> None:  # noqa: FBT001 - a callback's one argument
        """Read the caller no more, or again; what was held twice is to be let go twice."""
        self.holds += 1 if hold else -1
        if hold and self.holds == 1:
            self._pause_transport_reading()
            self.look_after_later()
        elif not self.holds:
            self._resume_transport_reading()

    def look_after_later(self) -> None:
        """See now and then whether a caller is still there whose end we could not hear."""
        if self._looking_after is None:
            self._looking_after = self._loop.call_later(LOOK_AFTER_SECONDS, self._look_after)

    def _look_after(self) -> None:
        self._looking_after = None
        if self.transport is None or not self.busy or not (self.holds or self.ended):
            return
        if is_gone(self.transport):
            self.transport.abort()
        else:
            self.look_after_later()

    def linger(self) -> None:
        """Send no more, and drop what still comes until the caller has seen the end.

        A close with unread bytes is a reset, and a reset may overtake the answer on its way.
        """
        self.closing = True
        transport = self.transport
        if transport is None or transport.is_closing() or self.ended:
            return
        self.lingering = True
        transport.write_eof()
        self._end_in_time(transport)
        # A transport that is paused would not see the caller's end.
        self._resume_transport_reading()

    def linger_only(self, seconds: float) -> None:
        """Wait no longer than this for a caller to see the end, if it takes what was written."""
        transport = self.transport
        if transport is not None:
            self.stop_timer()
            self.timer = self._loop.call_later(seconds, transport.close)

    def force_close(self) -> None:
        """Close, and wait only so long for a caller that does not take what was written."""
        self.closing = True
        transport = self.transport
        if transport is not None:
            self.transport = None
            transport.close()
            if transport.get_write_buffer_size():
                self._end_in_time(transport)

    def break_off(self) -> None:
        """End the connection so that what was sent cannot be taken for the whole."""
        if self.transport is not None and not self.transport.is_closing():
            reset(self.transport)

    def end(self) -> asyncio.Task[None] | None:
        """End the connection now; return the task that is to be waited for."""
        task = self._task_handler
        if self.tunnel is not None:
            self.tunnel.close_now()
            return task
        if self.busy:
            self.break_off()
        else:
            self.force_close()
        if task is not None:
            task.cancel()
        return task

    def stop_timer(self) -> None:
        """Wait no longer for what `timer` would end."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _end_in_time(self, transport: asyncio.Transport, before: int | None = None) -> None:
        """Break the end off when `LINGER_SECONDS` pass in which the caller takes nothing."""
        self.stop_timer()
        left = untaken_bytes(transport)
        if before is None or 0 < left < before:
            self.timer = self._loop.call_later(LINGER_SECONDS, self._end_in_time, transport, left)
        else:
            reset(transport)

    def wake(self) -> None:
        """Let the connection's task go on, if it waits for something to do."""
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)
