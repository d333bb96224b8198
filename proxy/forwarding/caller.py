"""The callers' side: aiohttp's low-level server, with the parts replaced that a proxy needs other.

All that is taken from aiohttp's insides is here, each with its reason:

- `CallerRequest` instead of `BaseRequest`: a proxy reads the raw head and nothing else; parsing
  URL, cookies and the like would cost a fifth of a request's time.
- `start`, the connection's loop: what goes to the caller is written as bytes while it comes, so
  there is no `Response` to prepare; the handler runs in the connection's own task (aiohttp makes
  one per request), which is cancelled when the caller leaves; and what follows a declined upgrade
  or a body that was not read can never be taken for a request.
- `data_received`: a broken body must reach the handler that is reading it (aiohttp queues the
  error as the next request, and the handler waits for ever); a head is limited as a whole, in size
  and in time (aiohttp limits each line).
- Malformed requests get our problem+json, nothing of theirs echoed (aiohttp echoes them).
- Connections are limited in number.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp.web_protocol import RequestHandler, _ErrInfo

from proxy.errors import Fault, ProxyError
from proxy.forwarding.backlog import untaken_bytes
from proxy.forwarding.caller_request import CallerRequest
from proxy.forwarding.refusal import head_too_large, head_too_slow, size_of_head, what_was_wrong
from proxy.forwarding.reset import reset

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader

    from proxy.forwarding.server import CallerServer

LINGER_SECONDS = 10.0
"""How long what a caller still sends is taken in, or what it does not take is kept, at the end."""


class CallerProtocol(RequestHandler):
    """One caller's connection."""

    __slots__ = (
        "_head_bytes",
        "_lingering",
        "_long_reads",
        "_server",
        "_timer",
        "is_socket_file",
        "peer",
    )

    _server: CallerServer

    def __init__(self, server: CallerServer, loop: asyncio.AbstractEventLoop) -> None:
        limits = server.limits
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=limits.keepalive_seconds,
            logger=server.library_log,
            access_log=None,  # type: ignore[arg-type]
            # The whole head is limited below; a single line may be as long as that.
            max_line_size=limits.head_bytes_max,
            max_field_size=limits.head_bytes_max,
            max_headers=limits.header_fields_max,
            auto_decompress=False,
            read_bufsize=65536,
        )
        self._server = server
        self._head_bytes = 0
        # Ends a head that does not come, or an end that is not taken.
        self._timer: asyncio.TimerHandle | None = None
        self._lingering = False
        self._long_reads = False
        self.is_socket_file = False
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away when there are too many."""
        super().connection_made(transport)
        name = transport.get_extra_info("peername")
        self.is_socket_file = not isinstance(name, tuple)
        self.peer = "127.0.0.1" if self.is_socket_file else name[0]
        self._server.connections_open += 1
        if self._server.connections_open > self._server.limits.connections_max:
            error = ProxyError(
                Fault.OVERLOADED, "limits.connections_max is reached", retry_after_seconds=1
            )
            transport.write(self._server.unparsed(error))  # type: ignore[attr-defined]
            # No lingering: it would hold one more of what there is too little of.
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go."""
        self._server.note_closed()
        super().connection_lost(exc)
        self._stop_timer()

    async def start(self) -> None:
        """Answer one request after another until one of the two sides has had enough."""
        loop = self._loop
        server = self._server
        try:
            while not self._force_close:
                if self._paused and not await self._has_caught_up():
                    return
                if not self._messages:
                    await self._next_arrival()
                message, content = self._next_message()
                if isinstance(message, _ErrInfo):
                    self.refuse(what_was_wrong(message.exc))
                    return
                if self._long_reads and size_of_head(message) > server.limits.head_bytes_max:
                    self.refuse(head_too_large())
                    return
                request = CallerRequest(message, content, self)
                self._current_request = request  # type: ignore[assignment]
                self._request_in_progress = True
                self._tell_of_broken_body()
                try:
                    keep = await server.handle(request)
                finally:
                    self._current_request = None
                    self._request_in_progress = False
                if not keep or self._close or (self._upgraded and not self._messages):
                    if self._messages or not content.is_eof():
                        self._linger()
                    return
                self._next_keepalive_close_time = loop.time() + self._keepalive_timeout
                if self._keepalive_handle is None:
                    self._keepalive_handle = loop.call_at(
                        self._next_keepalive_close_time, self._process_keepalive
                    )
        finally:
            if self.transport is not None and not self._lingering:
                self.force_close()

    async def _next_arrival(self) -> None:
        """Wait for a request; the time of one whose head has begun is running."""
        if self._head_bytes:
            self._start_timer()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _next_message(self) -> tuple[Any, StreamReader]:
        """Take the next request in line, and let the parser go on if it had paused for us."""
        message, content = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return message, content

    async def _has_caught_up(self) -> bool:
        """Wait until the caller has taken its answers: who reads nothing gets no more of them."""
        try:
            caught_up = await self.drain(self._keepalive_timeout)
        except ConnectionError:
            return False
        if not caught_up:
            self.break_off()
        return caught_up

    def data_received(self, data: bytes) -> None:
        """Parse what came; see the module's docstring."""
        if self._lingering:
            return
        current = self._current_request
        in_body = current is not None and not current.content.is_eof()
        queued = len(self._messages)
        super().data_received(data)
        if current is not None:
            self._long_reads = True
            self._tell_of_broken_body()
        if len(self._messages) > queued:
            self._long_reads |= len(data) + self._head_bytes > self._server.limits.head_bytes_max
            self._head_bytes = 0
            self._stop_timer()
        elif not in_body:
            self._take_note_of_head(data)

    def _take_note_of_head(self, data: bytes) -> None:
        """Bound a head that is not complete, in size and in time."""
        if not self._head_bytes and not data.strip(b"\r\n"):
            # Line breaks behind a body are no head (RFC 9112 §2.2).
            return
        self._head_bytes += len(data)
        if self._head_bytes > self._server.limits.head_bytes_max:
            if self._request_in_progress:
                # The answer that is under way comes first; then the connection ends.
                self.close()
            else:
                self.refuse(head_too_large())
        elif not self._request_in_progress:
            self._start_timer()

    def _tell_of_broken_body(self) -> None:
        """Tell the handler that its request's body is broken.

        Nothing else can follow an unfinished body but the parser's report of that.
        """
        current = self._current_request
        if (
            current is not None
            and self._messages
            and not current.content.is_eof()
            and isinstance(self._messages[-1][0], _ErrInfo)
        ):
            current.content.set_exception(
                ProxyError(Fault.BAD_REQUEST, "the framing of the request's body is broken")
            )

    def refuse(self, error: ProxyError) -> None:
        """Answer what is no request, and close."""
        if self.transport is not None:
            self.transport.write(self._server.unparsed(error))
        self._linger()

    def _linger(self) -> None:
        """Send no more, and drop what still comes until the caller has seen the end.

        A close with unread bytes is a reset, and a reset may overtake the answer on its way.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self._lingering = True
        transport.write_eof()
        self._end_in_time(transport)
        # A transport that is paused would not see the caller's end.
        self._resume_transport_reading()
        # aiohttp's loop ends.
        self.close()

    def force_close(self) -> None:
        """Close, and wait only so long for a caller that does not take what was written."""
        transport = self.transport
        super().force_close()
        if transport is not None and transport.get_write_buffer_size():
            self._end_in_time(transport)

    def _end_in_time(self, transport: asyncio.Transport, before: int | None = None) -> None:
        """Break the end off when `LINGER_SECONDS` pass in which the caller takes nothing."""
        self._stop_timer()
        left = untaken_bytes(transport)
        if before is None or 0 < left < before:
            self._timer = self._loop.call_later(LINGER_SECONDS, self._end_in_time, transport, left)
        else:
            reset(transport)

    def break_off(self) -> None:
        """End the connection so that what was sent cannot be taken for the whole."""
        if self.transport is not None and not self.transport.is_closing():
            reset(self.transport)

    def end(self) -> asyncio.Task[None] | None:
        """End the connection now; return the task that is to be waited for."""
        task = self._task_handler
        if self._request_in_progress:
            self.break_off()
        else:
            self.force_close()
        if task is not None:
            task.cancel()
        return task

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

    def _head_too_slow(self) -> None:
        self._timer = None
        self.refuse(head_too_slow())

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(
                self._server.limits.head_seconds, self._head_too_slow
            )

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
