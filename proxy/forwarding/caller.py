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

from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from proxy.errors import Fault, ProxyError

if TYPE_CHECKING:
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader

    from proxy.forwarding.server import CallerServer

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
        self._timer: asyncio.TimerHandle | None = None
        """Ends a head that does not come, or an end that is not taken."""
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
        self._stop_timer()
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
                if self._long_reads and _head_bytes(message) > server.limits.head_bytes_max:
                    self.refuse(_head_too_large())
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
                    if self._messages:
                        self._linger()
                    elif not content.is_eof():
                        await self._read_on(content)
                    return
                self._next_keepalive_close_time = loop.time() + self._keepalive_timeout
                if self._keepalive_handle is None:
                    self._keepalive_handle = loop.call_at(
                        self._next_keepalive_close_time, self._process_keepalive
                    )
        finally:
            if self.transport is not None and not self._lingering:
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
        self._lingering = True
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while self.transport is not None and not content.is_eof():
                    await content.readany()
        except (TimeoutError, ProxyError):
            # It had its time, or what it sends makes no sense: the answer is out.
            return
        finally:
            self._lingering = False

    def data_received(self, data: bytes) -> None:
        """Parse what came; see the module's docstring."""
        waiting_for_head = not (self._request_in_progress or self._messages or self._lingering)
        super().data_received(data)
        if len(data) + self._head_bytes > self._server.limits.head_bytes_max:
            # Only from here on may a head that is complete be too large as a whole.
            self._long_reads = True
        messages = self._messages
        if waiting_for_head:
            if messages:
                self._head_bytes = 0
                self._stop_timer()
                return
            self._head_bytes += len(data)
            if self._head_bytes > self._server.limits.head_bytes_max:
                self.refuse(_head_too_large())
            elif self._timer is None and self._head_bytes:
                self._timer = self._loop.call_later(
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
        """Answer what is no request, and close."""
        if self.transport is not None:
            self.transport.write(self._server.unparsed(error))
        self._linger()

    def _linger(self) -> None:
        """Send no more, and drop what still comes until the caller has seen the end.

        A close with unread bytes is a reset, and a reset may overtake the answer on its way.
        """
        self._stop_timer()
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self._lingering = True
        transport.write_eof()
        self._timer = self._loop.call_later(LINGER_SECONDS, self.force_close)
        # From here on aiohttp drops what comes; its loop ends.
        self.close()

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
        self._timer = None
        self.refuse(
            ProxyError(
                Fault.BAD_REQUEST, "the head did not come within limits.head_seconds", status=408
            )
        )

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _head_bytes(message: RawRequestMessage) -> int:
    return len(message.path) + sum(len(name) + len(value) for name, value in message.raw_headers)


def _head_too_large() -> ProxyError:
    return ProxyError(Fault.HEAD_TOO_LARGE, "the head exceeds limits.head_bytes_max")


def _what_was_wrong(error: BaseException) -> ProxyError:
    if isinstance(error, LineTooLong) or "Too many headers" in str(error):
        return ProxyError(Fault.HEAD_TOO_LARGE, "the head exceeds the limits of `limits`")
    if isinstance(error, BadHttpMethod):
        return ProxyError(
            Fault.BAD_REQUEST, "the request does not begin with a method that is known here"
        )
    return ProxyError(Fault.BAD_REQUEST, "the request is not well-formed HTTP/1.1")
