"""The callers' side: aiohttp's low-level server, with the parts replaced that a proxy needs other.

All that is taken from aiohttp's insides is here, each with its reason:

- `CallerRequest` instead of `BaseRequest`: a proxy reads the raw head and nothing else; parsing
  URL, cookies and the like would cost a fifth of a request's time.
- `Sent` instead of a `Response`: what goes to the caller is written as bytes while it comes, and
  the server is only told that it is over.
- `data_received`: a broken body must reach the handler that is reading it (aiohttp queues the
  error as the next request, and the handler waits for ever); a head is limited as a whole, in size
  and in time (aiohttp limits each line).
- `handle_error`: malformed requests get our problem+json, counted, nothing of theirs echoed
  (aiohttp answers HTTP/1.0 in plain text with the offending bytes, and logs a traceback).
- connections are limited in number.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from proxy.errors import Fault, ProxyError

if TYPE_CHECKING:
    import asyncio
    import logging
    from collections.abc import Awaitable, Callable

    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader

    from proxy.config.schema import Limits

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class CallerRequest:
    """A request as the server hands it over: raw head, body stream, and the way back."""

    __slots__ = ("_payload_writer", "_task", "content", "message", "protocol")

    def __init__(
        self, message: RawRequestMessage, content: StreamReader, protocol: CallerProtocol
    ) -> None:
        self.message = message
        self.content = content
        self.protocol = protocol
        self._task: Any = None

    def _finish(self) -> None:
        """Nothing was opened for it (`BaseRequest` closes uploaded files here)."""

    def _cancel(self, error: BaseException) -> None:
        self.content.set_exception(error)


class Sent:
    """Tells the server that the answer is out; `keep_alive` says what becomes of the connection."""

    __slots__ = ("keep_alive",)

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, _request: CallerRequest) -> None:
        """Do nothing: the head is out."""

    async def write_eof(self) -> None:
        """Do nothing: the body is out."""


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
        self._server.connections_open -= 1
        self._stop_head_timer()
        super().connection_lost(exc)

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
            if not content.is_eof() and not hasattr(messages[-1][0], "method"):
                content.set_exception(
                    ProxyError(Fault.BAD_REQUEST, "the framing of the request's body is broken")
                )

    def handle_error(  # type: ignore[override]
        self,
        request: CallerRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> Sent:
        """Answer a request that could not be parsed."""
        del request, message, status
        if isinstance(exc, LineTooLong) or "Too many headers" in str(exc):
            error = ProxyError(Fault.HEAD_TOO_LARGE, "the head exceeds the limits of `limits`")
        else:
            error = ProxyError(Fault.BAD_REQUEST, "the request is not well-formed HTTP/1.1")
        if self.transport is not None:
            self.transport.write(self._server.unparsed(error))
        return Sent(keep_alive=False)

    def refuse(self, error: ProxyError) -> None:
        """Answer what is no request yet, and close."""
        self._stop_head_timer()
        if self.transport is not None:
            self.transport.write(self._server.unparsed(error))
        self.force_close()

    def break_off(self) -> None:
        """End the connection so that what was sent cannot be taken for the whole."""
        transport = self.transport
        if transport is None:
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != getattr(socket, "AF_UNIX", None):
            # A reset, not an end: an answer that ends with the connection would look complete.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

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


def _request(
    message: RawRequestMessage,
    content: StreamReader,
    protocol: CallerProtocol,
    _writer: object,
    _task: object,
) -> CallerRequest:
    return CallerRequest(message, content, protocol)


class CallerServer(web.Server):
    """Makes a `CallerProtocol` per connection.

    `unparsed` counts and renders the refusal of what is no request; `library_log` takes what
    aiohttp has to say.
    """

    def __init__(
        self,
        handler: Callable[[CallerRequest], Awaitable[Sent]],
        *,
        limits: Limits,
        unparsed: Callable[[ProxyError], bytes],
        library_log: logging.Logger,
    ) -> None:
        super().__init__(
            handler,  # type: ignore[arg-type]
            request_factory=_request,  # type: ignore[arg-type]
            handler_cancellation=True,
        )
        self.limits = limits
        self.unparsed = unparsed
        self.library_log = library_log
        self.connections_open = 0

    def __call__(self) -> CallerProtocol:
        """Make the protocol of a new connection."""
        return CallerProtocol(self, self._loop)
