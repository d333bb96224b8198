"""One request and its answer, once its upstream is known: token, send, receive, pass on.

The order is the specification: token first (no token, no request), then the head with the
credential as its last line, then the body at the upstream's pace; a 401 may be answered by another
token and one more try; then the answer, at the caller's pace.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import Fault, ProxyError
from proxy.forwarding import message
from proxy.forwarding.body import RequestBody
from proxy.forwarding.challenge import asks_for_another_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.schema import Limits
    from proxy.forwarding.caller_request import CallerRequest
    from proxy.forwarding.connection import UpstreamConnection
    from proxy.forwarding.head import Field, RequestHead
    from proxy.forwarding.pool import Pool
    from proxy.forwarding.routing import Route
    from proxy.model import Token, TokenSource
    from proxy.telemetry.upstream import UpstreamFacts

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND", "QUERY", "SEARCH"})
"""RFC 9110 §9.2.2 and the registry: what may be sent once more by an intermediary."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What all exchanges with one upstream share. `now` is the event loop's clock."""

    route: Route
    pool: Pool
    facts: UpstreamFacts
    tokens: TokenSource
    limits: Limits
    via: bytes
    now: Callable[[], float]
    draining: Callable[[], bool]


class Exchange:
    """See the module's docstring. `run` once, then `end`, whatever happened."""

    def __init__(
        self, request: CallerRequest, head: RequestHead, lane: Lane, target: bytes
    ) -> None:
        self._request = request
        self._head = head
        self._lane = lane
        self._target = target
        self._timeouts = lane.route.upstream.timeouts
        self._pump: asyncio.Task[None] | None = None
        self._body: RequestBody | None = None
        if request.body is not None:
            self._body = RequestBody(
                head,
                request.body,
                replay_bytes_max=lane.route.upstream.replay_body_bytes_max,
                bytes_max=lane.limits.body_bytes_max,
                timeouts=self._timeouts,
                kept_back=lane.route.drop_with_token,
                now=lane.now,
            )
        self.connection: UpstreamConnection | None = None
        self.answer_begun = False
        self.answer_bytes = 0
        self.response_seconds: float | None = None
        self.status = 0

    @property
    def audience(self) -> str | None:
        """The audience whose token is wanted; None for an upstream without one."""
        return self._lane.route.audience

    @property
    def request_bytes(self) -> int:
        """How much of its body the caller has given."""
        return 0 if self._body is None else self._body.sent_bytes

    @property
    def _replayable(self) -> bool:
        """Whether the whole request is at hand, to be sent once more."""
        return self._body is None or self._body.replayable

    async def run(self, *, keep_alive: bool) -> bool:
        """Forward, and say whether the caller's connection may be kept. Raises `ProxyError`."""
        token = None
        if self._lane.route.audience is not None and self._lane.route.wants_token(self._head):
            token = await self._lane.tokens.token(self._lane.route.audience)
        connection = await self._answered(token)
        if connection.answer.status == 401 and token is not None:
            connection = await self._with_another_token(connection, token)
        return await self._pass_on(connection, keep_alive=keep_alive)

    def end(self) -> None:
        """Let go of what is held."""
        if self._pump is not None:
            self._pump.cancel()
        if self.connection is not None:
            self._lane.pool.release(self.connection)
            self.connection = None

    async def settled(self) -> None:
        """Wait until nothing reads the request's body any more; `end` comes first."""
        if self._pump is not None and not self._pump.done():
            await asyncio.wait({self._pump})

    async def _answered(self, token: Token | None) -> UpstreamConnection:
        """Send the request and wait for its answer's head.

        A kept connection may have been closed by the upstream just now. Then, and only if nothing
        of an answer came and a second run does no harm, the request goes out once more, anew.
        """
        data = message.outbound(
            self._head,
            self._lane.route,
            self._target,
            token,
            peer=self._request.protocol.peer,
            via=self._lane.via,
        )
        connection = self._lane.pool.take()
        if connection is None:
            connection = await self._lane.pool.fresh()
        self.connection = connection
        reused = connection.exchanges > 0
        try:
            await self._sent(connection, data)
        except ProxyError:
            if (
                not reused
                or connection.answer.received_bytes
                or connection.error is None
                or connection.error.proxy_status != "connection_terminated"
                or self._head.method not in IDEMPOTENT
                or not self._replayable
            ):
                raise
            self.end()
            connection = self.connection = await self._lane.pool.fresh(new=True)
            await self._sent(connection, data)
        return connection

    async def _sent(self, connection: UpstreamConnection, data: bytes) -> None:
        body = b"" if self._body is None else self._body.at_hand()
        if self._head.minor == 1:
            connection.answer.on_interim = self._pass_interim
        sent_at = self._lane.now()
        connection.expect_by(
            sent_at + self._timeouts.response_seconds,
            "the upstream did not answer within timeouts.response_seconds",
        )
        to_head = self._head.method == "HEAD"
        if body is None:
            assert self._body is not None, "only a body can be still to come"
            connection.send(data, to_head=to_head, whole=False)
            self._pump = asyncio.create_task(self._body.pump(connection))
        else:
            connection.send(data + body, to_head=to_head, whole=True)
        await connection.head()
        self.status = connection.answer.status
        # An upload is the caller's time.
        self.response_seconds = self._lane.now() - max(sent_at, connection.sent_at)
        self._lane.facts.response.observe(self.response_seconds)

    async def _with_another_token(
        self, connection: UpstreamConnection, token: Token
    ) -> UpstreamConnection:
        """Answer a 401 with another token where that makes sense; else the 401 passes."""
        audience = self._lane.route.audience
        assert audience is not None, "a token was sent for it"
        if (
            self._lane.route.renews
            and self._replayable
            and asks_for_another_token(connection.answer.fields, token.credential)
            and self._lane.tokens.reject(audience, token)
        ):
            # The 401 waits meanwhile; its caller gets it after all if there is no other token.
            connection.expect_no_more()
            try:
                other = await self._lane.tokens.token(audience)
            except ProxyError:
                other = token
            if other != token:
                self.end()
                second = await self._answered(other)
                still = second.answer.status == 401
                self._lane.facts.unauthorized("renewed_still_401" if still else "renewed_ok")
                return second
        self._lane.facts.unauthorized("passed")
        return connection

    async def _pass_on(self, connection: UpstreamConnection, *, keep_alive: bool) -> bool:
        """Write the answer to the caller as it comes."""
        protocol = self._request.protocol
        came = connection.answer
        try:
            answer = message.read_answer(
                came.status,
                came.reason,
                came.fields,
                to_head=self._head.method == "HEAD",
            )
        except ProxyError as error:
            # Complete for the parser, and yet nothing more is to be believed of this connection.
            connection.fail(error)
            raise
        if answer.until_close and self._head.minor == 1 and protocol.is_socket_file:
            # No reset tells a broken end from a proper one there; a last chunk does.
            answer.chunked = True
        keep_alive = (
            keep_alive
            and not self._lane.draining()
            and not answer.until_close
            and (self._head.minor == 1 or not answer.chunked)
            and connection.request_sent
        )
        data, chunked = message.inbound(answer, minor=self._head.minor, close=not keep_alive)
        while True:
            ended = came.complete
            if connection.error is not None and not ended:
                raise connection.error
            piece = connection.take()
            if piece:
                self.answer_bytes += len(piece)
                data += b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
            if ended and chunked:
                data += message.last_chunk(came.trailers, answer.named)
            transport = protocol.transport
            if transport is None:
                # The caller has left; the server cancels this task at its next wait.
                raise asyncio.CancelledError
            if data:
                transport.write(data)
                self.answer_begun = True
                data = b""
            if ended:
                return keep_alive
            if protocol.writing_paused:
                await self._drained()
            connection.expect_by(
                self._lane.now() + self._timeouts.idle_seconds,
                "the upstream's answer came to a halt for timeouts.idle_seconds",
            )
            await connection.more()

    async def _drained(self) -> None:
        # While the caller is waited for, the upstream owes nothing.
        if self.connection is not None:
            self.connection.expect_no_more()
        try:
            taken = await self._request.protocol.drain(self._timeouts.idle_seconds)
        except ConnectionError:
            raise asyncio.CancelledError from None
        if not taken:
            raise ProxyError(
                Fault.BAD_REQUEST, "the caller took nothing for timeouts.idle_seconds", status=408
            )

    def _pass_interim(self, status: int, reason: bytes, fields: list[Field]) -> None:
        transport = self._request.protocol.transport
        if transport is not None and not self.answer_begun:
            transport.write(message.interim(status, reason, fields))
        if status == 100 and self._body is not None and self.connection is not None:
            self._body.go_ahead(self.connection)
