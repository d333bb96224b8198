"""One HTTP/1.1 connection to an upstream: one exchange after another.

Rules:

- One exchange at a time. It begins with `send` and is over when `answer.complete` is True, or when
  an error was set; only then may the connection carry another, and only if `reusable`.
- Whatever comes unasked (bytes behind an answer, bytes while idle) ends the connection and is
  never part of an answer.
- Nothing is buffered beyond `BUFFER_BYTES_MAX`: the transport is paused until it is read.
- Every wait has a deadline. One timer per connection serves them all: it is moved only when a
  deadline comes nearer, which is hardly ever, so that a request costs no timer.
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, cast

from proxy.errors import Fault, ProxyError
from proxy.forwarding.backlog import untaken_bytes
from proxy.forwarding.parsing import AnswerParser

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

BUFFER_BYTES_MAX = 65536
FOREVER = float("inf")


class UpstreamConnection(asyncio.Protocol):
    """See the module's docstring. `on_closed` is called once, when the transport is gone."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        head_bytes_max: int,
        fields_max: int,
        on_closed: Callable[[UpstreamConnection], None],
    ) -> None:
        self._loop = loop
        self._on_closed = on_closed
        self.transport: asyncio.Transport | None = None
        self.tls: ssl.SSLContext | None = None
        """What it was made with, where it speaks TLS."""
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._deadline = FOREVER
        self._deadline_detail = ""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = FOREVER
        self.writing_paused = False
        self._reading_paused = False
        self.eof_seen = False
        self._poll: select.poll | None = None
        self.answer = AnswerParser(head_bytes_max=head_bytes_max, fields_max=fields_max)
        self.exchanges = 0
        """How many exchanges were begun: more than one means a reused connection."""
        self.request_sent = True
        """Whether the whole request is written; its sender says so."""
        self.error: ProxyError | None = None
        self.on_news: Callable[[], None] | None = None
        """Called when there is news of the answer, instead of waking who waits for it."""
        self.sent_at = 0.0
        """When an upload ended, on the loop's clock."""

    @property
    def closed(self) -> bool:
        """Whether it can carry nothing more."""
        return self.transport is None or self.transport.is_closing()

    @property
    def quiet(self) -> bool:
        """Whether nothing has come on it that the loop has not told of yet: bytes, or an end.

        Bytes that came while it was idle would pass for the answer to the next request. What is on
        the wire still nobody can know.
        """
        return self._poll is None or not self._poll.poll(0)

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow this one."""
        answer = self.answer
        return (
            answer.complete
            and answer.head is not None
            and answer.head.keep_alive
            and not answer.head.until_close
            and self.request_sent
            and not answer.surplus
            and self.error is None
            and not self.closed
        )

    def send(self, data: bytes, *, to_head: bool, whole: bool, websocket: bool = False) -> None:
        """Begin an exchange with a request's head, and its body if `whole`."""
        self.exchanges += 1
        self.request_sent = whole
        self.answer.begin(to_head=to_head, websocket=websocket)
        self.write(data)

    def write(self, data: bytes) -> None:
        """Write more of the request. A connection that is gone has told so by its error."""
        if self.transport is not None:
            self.transport.write(data)

    async def drain(self, idle_seconds: float) -> None:
        """Wait until the upstream has taken what was written.

        An upstream that takes nothing for `idle_seconds` fails the exchange; a slow one does not.
        """
        while self.writing_paused and self.transport is not None:
            left = untaken_bytes(self.transport)
            drained = self._drained = self._loop.create_future()
            await asyncio.wait({drained}, timeout=idle_seconds)
            if (
                not drained.done()
                and self.transport is not None
                and untaken_bytes(self.transport) >= left
            ):
                self.fail(
                    ProxyError(
                        Fault.UPSTREAM_TIMEOUT,
                        "the upstream took nothing of the body for timeouts.idle_seconds",
                    )
                )

    async def head(self) -> None:
        """Wait for the answer's head (not 1xx). Raises `ProxyError`."""
        answer = self.answer
        while answer.head is None:
            await self._news()

    async def more(self) -> None:
        """Wait until there is something to take, or the end. Raises `ProxyError`."""
        answer = self.answer
        self._resume()
        while not answer.complete and not answer.has_body():
            await self._news()

    def take(self) -> list[bytes]:
        """Return what has come of the body since the last time, without waiting."""
        pieces = self.answer.take_pieces()
        self._resume()
        return pieces

    def pause(self) -> None:
        """Read no more until `more` is waited for: whom it is for is slower."""
        if not self._reading_paused and not self.answer.complete and self.transport is not None:
            self._reading_paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._reading_paused and self.transport is not None:
            self._reading_paused = False
            self.transport.resume_reading()

    def expect_by(self, at: float, detail: str) -> None:
        """Set the deadline: if it passes, the exchange fails with `upstream_timeout`."""
        self._deadline = at
        self._deadline_detail = detail
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._on_timer)

    def expect_no_more(self) -> None:
        """Take the deadline away: the other side owes nothing now."""
        self._deadline = FOREVER

    def fail(self, error: ProxyError) -> None:
        """End the exchange, and the connection with it."""
        if self.error is None:
            self.error = error
        self.abort()
        self._wake()

    def abort(self) -> None:
        """Break the connection off at once."""
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """Close the connection in good order."""
        if self.transport is not None:
            self.transport.close()

    def _news(self) -> asyncio.Future[None]:
        """Return what the next news from the upstream completes. Raises `ProxyError`."""
        if self.error is not None:
            raise self.error
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def _wake(self) -> None:
        if self.on_news is not None:
            self.on_news()
            return
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = FOREVER
        if self._deadline == FOREVER:
            return
        if self._loop.time() < self._deadline:
            self.expect_by(self._deadline, self._deadline_detail)
        elif self.answer.complete:
            self.close()
        else:
            self.fail(ProxyError(Fault.UPSTREAM_TIMEOUT, self._deadline_detail))

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN | getattr(select, "POLLRDHUP", 0))

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        answer = self.answer
        try:
            answer.feed(data)
        except ProxyError as error:
            self.fail(error)
            return
        if answer.surplus:
            self.close()
        if answer.buffered_bytes > BUFFER_BYTES_MAX:
            self.pause()
        if answer.head is not None:
            self._wake()

    def eof_received(self) -> bool:
        """Take note of a proper end: FIN, or TLS's close_notify (`TlsTransport` sees to that).

        True keeps the connection open the other way, for a tunnel that is about to begin.
        """
        self.eof_seen = True
        return self.answer.switched

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits what it means."""
        self.transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (
            self.error is None
            and not self.answer.complete
            and not self.answer.switched
            # Over TLS only a proper end is one: anybody on the way can cut a connection.
            and (exc is not None or not self.eof_seen or not self.answer.ends_at_eof())
        ):
            self.error = ProxyError(
                Fault.UPSTREAM_MISSPOKE,
                "the upstream closed the connection before its answer was complete",
                proxy_status="connection_terminated",
            )
        self.answer.on_interim = None
        self.resume_writing()
        self._wake()
        self._on_closed(self)

    def pause_writing(self) -> None:
        """Note that the upstream is slower than we."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """Let the writer go on."""
        self.writing_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
