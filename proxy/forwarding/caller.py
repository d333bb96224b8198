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
import socket
import struct
from typing import TYPE_CHECKING, Any

from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from aiohttp.web_server import Server

from proxy.errors import Fault, ProxyError

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable

    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader

    from proxy.config.schema import Limits

LINGER_SECONDS = 10.0
"""How long what a caller still sends is taken in after its answer is out."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class CallerRequest:
    """A request as the server hands it over: raw head, body stream, and the way back."""

    __slots__ = ("content", "message", "protocol")

    def __init__(
        self, message: RawRequestMessage, content: StreamReader, protocol: CallerProtocol
    ) -> None:
        self.message = message
        self.content = content
        self.protocol = protocol

    def _cancel(self, error: BaseException) -> None:
        self.content.set_exception(error)


class CallerProtocol(RequestHandler):
    """One caller's connection."""

    __slots__ = ("_head_bytes", "_head_timer", "_server", "peer")

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
        self._head_timer: asyncio.TimerHandle | None = None
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away when there are too many."""
        super().connection_made(transport)
        name = transport.get_extra_info("peername")
        self.peer = name[0] if isinstance(name, tuple) else "127.0.0.1"
        self._server.connections_open += 1
        if self._server.connections_open > self._server.limits.connections_max:
            self.refuse(
                ProxyError(
                    Fault.OVERLOADED, "limits.connections_max is reached", retry_after_seconds=1
                )
            )

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go."""
        self._server.note_closed()
        self._stop_head_timer()
        super().connection_lost(exc)

    async def start(self) -> None:
        """Answer one request after another until one of the two sides has had enough."""
        loop = self._loop
        server = self._server
        try:
            while not self._force_close:
                if not self._messages:
                    self._waiter = loop.create_future()
                    try:
                        await self._waiter
                    finally:
                        self._waiter = None
                message, content = self._next_message()
                if isinstance(message, _ErrInfo):
                    self.refuse(_what_was_wrong(message.exc))
                    return
                request = CallerRequest(message, content, self)
                self._current_request = request  # type: ignore[assignment]
                self._request_in_progress = True
                try:
                    keep = await server.handle(request)
                finally:
                    self._current_request = None
                    self._request_in_progress = False
                    if self._handler_waiter is not None:
                        self._handler_waiter.set_result(None)
                if not keep or self._upgraded or self._close:
                    if not content.is_eof():
                        await self._read_on(content)
                    return
                self._next_keepalive_close_time = loop.time() + self._keepalive_timeout
                if self._keepalive_handle is None:
                    self._keepalive_handle = loop.call_at(
                        self._next_keepalive_close_time, self._process_keepalive
                    )
        finally:
            if self.transport is not None:
                self.transport.close()

    def _next_message(self) -> tuple[Any, StreamReader]:
        """Take the next request in line, and let the parser go on if it had paused for us."""
        message, content = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return message, content

    async def _read_on(self, content: StreamReader) -> None:
        """Take in what the caller still sends before closing.

        A close with unread bytes is a reset, and a reset may overtake the answer on its way.
        """
        if self._force_close:
            return
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while not content.is_eof():
                    await content.readany()
        except (TimeoutError, ProxyError):
            # It had its time, or what it sends makes no sense: the answer is out.
            return

    def data_received(self, data: bytes) -> None:
        """Parse what came; see the module's docstring."""
        waiting_for_head = not self._request_in_progress and not self._messages
        super().data_received(data)
        messages = self._messages
        if waiting_for_head:
            if messages:
                self._head_bytes = 0
                self._stop_head_timer()
                return
            self._head_bytes += len(data)
            if self._head_bytes > self._server.limits.head_bytes_max:
                self.refuse(
                    ProxyError(Fault.HEAD_TOO_LARGE, "the head exceeds limits.head_bytes_max")
                )
            elif self._head_timer is None and self._head_bytes:
                self._head_timer = self._loop.call_later(
                    self._server.limits.head_seconds, self._head_too_slow
                )
        elif messages and self._current_request is not None:
            # The only thing that can follow an unfinished body is the report that it is broken.
            content = self._current_request.content
            if not content.is_eof() and isinstance(messages[-1][0], _ErrInfo):
                content.set_exception(
                    ProxyError(Fault.BAD_REQUEST, "the framing of the request's body is broken")
                )

    def refuse(self, error: ProxyError) -> None:
        """Answer what is no request yet, and close."""
        self._stop_head_timer()
        if self.transport is not None:
            self.transport.write(self._server.unparsed(error))
        self.force_close()

    def break_off(self) -> None:
        """End the connection so that what was sent cannot be taken for the whole."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != getattr(socket, "AF_UNIX", None):
            # A reset, not an end: an answer that ends with the connection would look complete.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

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

    async def drain(self) -> None:
        """Wait until the caller has taken what was written. Raises ConnectionError if it left."""
        await self._drain_helper()

    def _head_too_slow(self) -> None:
        self._head_timer = None
        self.refuse(
            ProxyError(
                Fault.BAD_REQUEST, "the head did not come within limits.head_seconds", status=408
            )
        )

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _what_was_wrong(error: BaseException) -> ProxyError:
    if isinstance(error, LineTooLong) or "Too many headers" in str(error):
        return ProxyError(Fault.HEAD_TOO_LARGE, "the head exceeds the limits of `limits`")
    return ProxyError(Fault.BAD_REQUEST, "the request is not well-formed HTTP/1.1")


class CallerServer(Server):
    """Makes a `CallerProtocol` per connection.

    `handle` answers a request and says whether the connection may be kept; it raises nothing but
    `CancelledError`. `unparsed` counts and renders the refusal of what is no request;
    `library_log` takes what aiohttp has to say.
    """

    def __init__(
        self,
        handle: Callable[[CallerRequest], Awaitable[bool]],
        *,
        limits: Limits,
        unparsed: Callable[[ProxyError], bytes],
        library_log: logging.Logger,
    ) -> None:
        # Our protocol calls `handle`; aiohttp's handler is never reached.
        super().__init__(handle, handler_cancellation=True)  # type: ignore[arg-type]
        self.handle = handle
        self.limits = limits
        self.unparsed = unparsed
        self.library_log = library_log
        self.connections_open = 0
        self._emptied: asyncio.Event | None = None

    def note_closed(self) -> None:
        """Count a connection that is gone."""
        self.connections_open -= 1
        if not self.connections_open and self._emptied is not None:
            self._emptied.set()

    async def emptied(self) -> None:
        """Close connections that have nothing in flight; wait until what was written is out."""
        if not self.connections_open:
            return
        self._emptied = asyncio.Event()
        for protocol in self.connections:
            if protocol.transport is not None:
                protocol.transport.close()
        await self._emptied.wait()

    async def end_all(self) -> None:
        """End all connections; what is in flight is broken off."""
        tasks = [
            protocol.end() for protocol in self.connections if isinstance(protocol, CallerProtocol)
        ]
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)

    def __call__(self) -> CallerProtocol:
        """Make the protocol of a new connection."""
        return CallerProtocol(self, self._loop)
