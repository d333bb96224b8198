"""One caller's connection: requests in, one after another, each answered before the next is read.

It stands on aiohttp's low-level server (`server.py`), and does for itself what a proxy needs
otherwise than aiohttp's `RequestHandler` does it; each of these has tests:

- What goes to the caller is written as bytes while it comes; there is no `Response` to prepare.
- What has to wait runs in the connection's own task, which is cancelled when the caller leaves.
- Requests are cut out of the stream one at a time, so that an answer keeps its place before what
  is wrong with the next request, what follows a body or a declined upgrade is found again, and
  trailers are trailers (aiohttp takes the last one for a field of the next request).
- A broken body reaches the handler that is reading it (aiohttp lets it wait for ever).
- A head is bounded as a whole, in size and in time (aiohttp bounds each line); a malformed one gets
  our problem+json, nothing of it echoed.
- A caller that shuts down its sending side gets its answer; one that is gone ends its request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp.tcp_helpers import tcp_keepalive

from proxy.errors import ProxyError
from proxy.forwarding.caller_connection import CallerConnection
from proxy.forwarding.caller_request import CallerRequest
from proxy.forwarding.chunked import ChunkedReader
from proxy.forwarding.departure import is_gone
from proxy.forwarding.inbox import Inbox
from proxy.forwarding.incoming import IncomingBody
from proxy.forwarding.refusal import broken_body, head_too_slow, too_many_connections

if TYPE_CHECKING:
    import asyncio

    from proxy.forwarding.head import RequestHead
    from proxy.forwarding.server import CallerServer

INBOX_BYTES_MAX = 65536
"""So much of what comes behind a request is kept until its turn; then the caller has to wait."""


class CallerProtocol(CallerConnection):
    """See the module's docstring."""

    __slots__ = (
        "_body",
        "_finishing",
        "_holds_inbox",
        "_idle_timer",
        "_idle_until",
        "_inbox",
        "_on_its_way",
        "_request",
        "_server",
        "is_socket_file",
        "peer",
    )

    def __init__(self, server: CallerServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._server = server
        self._inbox = Inbox(server.limits.head_bytes_max)
        self._holds_inbox = False
        self._body: IncomingBody | None = None
        self._request: CallerRequest | None = None
        # Nothing but its answer is waited for: no task is at work on it, or one is.
        self._on_its_way = self._finishing = False
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_until = 0.0
        self.is_socket_file = False
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away when there are too many."""
        super().connection_made(transport)
        assert self.transport is not None
        tcp_keepalive(self.transport)
        name = transport.get_extra_info("peername")
        self.is_socket_file = not isinstance(name, tuple)
        self.peer = "127.0.0.1" if self.is_socket_file else name[0]
        if not self._server.opened(self):
            self.transport.write(self._server.conductor.unparsed(too_many_connections()))
            # Not lingering: that would hold one more of what there is too little of.
            self.force_close()
            return
        self._idle_until = self._loop.time() + self._server.limits.keepalive_seconds
        self._task_handler = self._loop.create_task(self._serve())

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go, and end what is being answered."""
        self._server.closed(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._body is not None:
            self._body.fail(broken_body("broke off"))
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came: of the body that is being received, or of what comes next."""
        if self.lingering:
            return
        body = self._body
        if body is not None:
            data = body.feed(data)
            if not body.complete:
                return
            self._body = None
            if not data:
                return
        self._inbox.add(data)
        if self.waiter is not None and not self.busy:
            block = None if self._paused else self._next_head()
            if block is None:
                self.wake()
            else:
                self._begin(block)
        elif len(self._inbox.data) > INBOX_BYTES_MAX and not self._holds_inbox:
            self._holds_inbox = True
            self.hold(True)

    def eof_received(self) -> bool:
        """See whether the caller is gone or waits for its answers; True keeps the connection."""
        transport = self.transport
        if self.lingering or transport is None:
            return False
        self.ended = True
        if self._body is not None:
            # Whoever reads it says so; a caller that is gone does not hear it.
            self._body.fail(broken_body("ended before its end"))
        if not self.busy:
            if not self._inbox.data:
                return False
            self.wake()
        elif is_gone(transport):
            return False
        self.look_after_later()
        return True

    def _begin(self, block: bytes) -> None:
        """Begin to answer a request; the connection's task goes on with what has to wait."""
        self.busy = True
        if self.ended or self.holds:
            self.look_after_later()
        request = self._request = CallerRequest(block, self)
        if self._server.conductor.begin(request):
            assert request.exchange is not None
            assert request.exchange.connection is not None
            self._on_its_way = True
            request.exchange.connection.on_news = self._has_news
        else:
            self.wake()

    def _has_news(self) -> None:
        """Finish a request whose answer has come; leave it to the task if there is more to it."""
        request = self._request
        assert request is not None, "it is on its way"
        assert request.exchange is not None
        assert request.exchange.connection is not None
        # Whatever it does to the connection is no news to us.
        request.exchange.connection.on_news = None
        keep = self._server.conductor.answered(request)
        self._on_its_way = False
        if keep is None:
            self.wake()
            return
        self._over(request, keep=keep)
        if self._inbox.data or self.closing or self.ended:
            self.wake()

    def _over(self, request: CallerRequest, *, keep: bool) -> None:
        """Make ready for the next request, or for the end."""
        self._request = None
        self.busy = self._finishing = False
        self._idle_until = self._loop.time() + self._server.limits.keepalive_seconds
        unread = request.body is not None and not request.body.complete
        if not keep or unread:
            self.linger()

    async def _serve(self) -> None:
        """Answer one request after another until one of the two sides has had enough."""
        try:
            while not self.closing:
                if self._request is None and not await self._next():
                    return
                request = self._request
                if request is None or self._on_its_way:
                    await self._arrival()
                else:
                    self._finishing = True
                    keep = await self._server.conductor.finish(request)
                    self._over(request, keep=keep)
        finally:
            if self._request is not None and not self._finishing:
                self._server.conductor.abandon(self._request)
            if self.transport is not None and not self.lingering:
                self.force_close()

    async def _next(self) -> bool:
        """Begin to answer the next request, if it is here; False if there will be none."""
        if self._paused and not await self.has_caught_up(self._server.limits.keepalive_seconds):
            return False
        block = self._next_head()
        if block is None or not self._inbox.data:
            self._let_inbox_fill()
        if block is not None:
            self._begin(block)
            return True
        return not (self.ended or self.closing)

    def _next_head(self) -> bytes | None:
        """Return the next head; None if it is not complete, or was refused."""
        try:
            head = self._inbox.next_head()
        except ProxyError as error:
            self.refuse(error)
            return None
        if head is not None and self.timer is not None:
            self.stop_timer()
        return head

    async def _arrival(self) -> None:
        """Wait for more; a head that has begun has only so much time, and so has its beginning."""
        loop = self._loop
        if self._inbox.data and not self.busy:
            if self.timer is None:
                self.timer = loop.call_later(
                    self._server.limits.head_seconds, self._head_is_too_slow
                )
        elif not self.busy:
            self.stop_timer()
            if self._idle_timer is None:
                self._idle_timer = loop.call_at(self._idle_until, self._close_idle)
        waiter = self.waiter = loop.create_future()
        await waiter

    def read_head(self, request: CallerRequest) -> RequestHead:
        """Read the head, and begin to receive the body behind it. Raises `ProxyError`."""
        limits = self._server.limits
        head = request.head = self._server.heads.read(request.block)
        if head.content_length or head.chunked:
            chunked = None
            if head.chunked:
                chunked = ChunkedReader(
                    trailer_bytes_max=limits.head_bytes_max, fields_max=limits.header_fields_max
                )
            body = request.body = IncomingBody(
                self._loop, self.hold, length=head.content_length or 0, chunked=chunked
            )
            if self._inbox.data:
                self._inbox.data = body.feed(self._inbox.data)
                if not self._inbox.data:
                    self._let_inbox_fill()
            if not body.complete:
                self._body = body
                if self.ended:
                    body.fail(broken_body("ended before its end"))
            if body.error is not None:
                # Known before anything of it was sent: then nothing is.
                raise body.error
        return head

    def take_over(self) -> bytes:
        """Return what came behind a handshake, and read on: the tunnel takes what comes now."""
        data, self._inbox.data = self._inbox.data, b""
        self._let_inbox_fill()
        return data

    def _let_inbox_fill(self) -> None:
        if self._holds_inbox:
            self._holds_inbox = False
            self.hold(False)

    def refuse(self, error: ProxyError) -> None:
        """Answer what is no request, and close."""
        if self.transport is not None:
            self.transport.write(self._server.conductor.unparsed(error))
        self.linger()

    def _head_is_too_slow(self) -> None:
        self.timer = None
        self.refuse(head_too_slow())
        self.wake()

    def _close_idle(self) -> None:
        """Close a connection that is idle for its time; look again later at one that was not."""
        self._idle_timer = None
        if self.lingering:
            # That has a time of its own.
            return
        now = self._loop.time()
        if self.busy or self._inbox.data:
            self._idle_until = now + self._server.limits.keepalive_seconds
        if now < self._idle_until:
            self._idle_timer = self._loop.call_at(self._idle_until, self._close_idle)
        else:
            self.force_close()
            self.wake()
