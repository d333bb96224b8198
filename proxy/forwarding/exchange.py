"""One request and its answer, from the head that was read to the last byte that is passed on.

The order is the specification: token first (no token, no request), then the head with the
credential as its last line, then the body at the upstream's pace; a 401 may be answered by another
token and one more try; then the answer, at the caller's pace.

Nearly every request finds a live token and an idle connection, and its answer comes in one piece.
Such a request waits for nothing but that answer, so it needs no task and no future:
`send_at_once`, and `deliver_at_once` when there is news. Whatever has to be waited for on the way
is `run`'s, which goes on from wherever the exchange is.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from proxy.errors import ProxyError
from proxy.forwarding import message
from proxy.forwarding.body import NO_ANSWER, RequestBody
from proxy.forwarding.challenge import asks_for_another_token
from proxy.forwarding.delivery import deliver, tunnel

if TYPE_CHECKING:
    from proxy.forwarding.answer_reader import AnswerHead
    from proxy.forwarding.caller_request import CallerRequest
    from proxy.forwarding.connection import UpstreamConnection
    from proxy.forwarding.head import RequestHead
    from proxy.forwarding.lane import Lane
    from proxy.model import Token

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND", "QUERY", "SEARCH"})
"""RFC 9110 §9.2.2 and the registry: what may be sent once more by an intermediary."""
TOKEN_TRUSTED_SECONDS = 0.1
"""A token is asked for again after a longer wait for a connection: it may have expired."""


class Exchange:
    """See the module's docstring. `end` comes last, whatever happened."""

    __slots__ = (
        "_body",
        "_pump",
        "_sent_at",
        "_target",
        "_websocket",
        "answer_begun",
        "answer_bytes",
        "connection",
        "head",
        "lane",
        "request",
        "response_seconds",
        "status",
        "timeouts",
        "token",
        "tunnelled_bytes",
    )

    def __init__(
        self, request: CallerRequest, head: RequestHead, lane: Lane, target: bytes
    ) -> None:
        self.request = request
        self.head = head
        self.lane = lane
        self._target = target
        self._websocket = head.wants_websocket and lane.route.websockets
        self.timeouts = lane.route.upstream.timeouts
        self.token: Token | None = None
        self._sent_at = 0.0
        self._pump: asyncio.Task[None] | None = None
        self._body: RequestBody | None = None
        if request.body is not None:
            self._body = RequestBody(
                head,
                request.body,
                replay_bytes_max=lane.route.upstream.replay_body_bytes_max,
                bytes_max=lane.limits.body_bytes_max,
                timeouts=self.timeouts,
                kept_back=lane.route.drop_with_token,
                now=lane.now,
            )
        self.connection: UpstreamConnection | None = None
        self.answer_begun = False
        self.answer_bytes = self.tunnelled_bytes = 0
        self.response_seconds: float | None = None
        self.status = 0

    @property
    def audience(self) -> str | None:
        """The audience whose token is wanted; None for an upstream without one."""
        return self.lane.route.audience

    @property
    def request_bytes(self) -> int:
        """How much of its body the caller has given."""
        return self.tunnelled_bytes if self._body is None else self._body.sent_bytes

    @property
    def _replayable(self) -> bool:
        """Whether the whole request is at hand, to be sent once more."""
        return self._body is None or self._body.replayable

    def send_at_once(self, now: float) -> bool:
        """Send the request if nothing has to be waited for; say whether that was so.

        Raises `ProxyError` (`authorization_refused`, and what is known of the token).
        """
        lane = self.lane
        route = lane.route
        if self.request.body is not None and not self.request.body.complete:
            return False
        if route.audience is not None and route.wants_token(self.head):
            token = lane.tokens.token_at_hand(route.audience)
            if token is None:
                return False
            self.token = token
        connection = lane.pool.take()
        if connection is None:
            return False
        self.connection = connection
        self._send(connection, self._outbound(self.token), now)
        return True

    async def run(self) -> bool:
        """Forward, and say whether the caller's connection may be kept. Raises `ProxyError`.

        It goes on from where the exchange is: before its request was sent, or after.
        """
        connection = self.connection
        if connection is None:
            route = self.lane.route
            if self.token is None and route.audience is not None and route.wants_token(self.head):
                self.token = await self.lane.tokens.token(route.audience)
            connection = await self._answered(self.token)
        else:
            connection = await self._head_or_again(connection, self.token)
        if connection.answer.status == 401 and self.token is not None:
            connection = await self._with_another_token(connection, self.token)
        if connection.answer.switched:
            await tunnel(self, connection)
            return False
        return await deliver(self, connection)

    def end(self, now: float) -> None:
        """Let go of what is held."""
        if self._pump is not None:
            self._pump.cancel()
        if self.connection is not None:
            self.lane.pool.release(self.connection, now)
            self.connection = None

    async def settled(self) -> None:
        """Wait until nothing reads the request's body any more; `end` comes first."""
        if self._pump is not None and not self._pump.done():
            await asyncio.wait({self._pump})

    def _outbound(self, token: Token | None) -> bytes:
        return message.outbound(
            self.head,
            self.lane.route,
            self._target,
            token,
            peer=self.request.protocol.peer,
            via=self.lane.via,
            websocket=self._websocket,
        )

    async def _answered(self, token: Token | None) -> UpstreamConnection:
        """Send the request and wait for its answer's head."""
        connection = self.lane.pool.take()
        if connection is None:
            connection, token = await self._fresh(token, new=False)
        self.connection = connection
        self._send(connection, self._outbound(token), self.lane.now())
        return await self._head_or_again(connection, token)

    async def _fresh(
        self, token: Token | None, *, new: bool
    ) -> tuple[UpstreamConnection, Token | None]:
        """Wait for a connection; a token may have expired meanwhile, and is looked at again."""
        began_at = self.lane.now()
        connection = self.connection = await self.lane.pool.fresh(new=new)
        audience = self.lane.route.audience
        if token is not None and audience and self.lane.now() > began_at + TOKEN_TRUSTED_SECONDS:
            token = self.token = await self.lane.tokens.token(audience)
        return connection, token

    async def _head_or_again(
        self, connection: UpstreamConnection, token: Token | None
    ) -> UpstreamConnection:
        """Wait for the answer's head.

        A kept connection may have been closed by the upstream just now. Then, and only if nothing
        of an answer came and a second run does no harm, the request goes out once more, anew.
        """
        try:
            await connection.head()
        except ProxyError:
            if (
                connection.exchanges < 2
                or connection.answer.received_bytes
                or connection.error is None
                or connection.error.proxy_status != "connection_terminated"
                or self.head.method not in IDEMPOTENT
                or not self._replayable
            ):
                raise
            self.end(self.lane.now())
            connection, token = await self._fresh(token, new=True)
            self._send(connection, self._outbound(token), self.lane.now())
            await connection.head()
        self.note_head(connection, self.lane.now())
        return connection

    def _send(self, connection: UpstreamConnection, data: bytes, now: float) -> None:
        """Begin an exchange on the connection: the head, and the body or its pump."""
        body = b"" if self._body is None else self._body.at_hand()
        if self.head.minor == 1:
            connection.answer.on_interim = self._pass_interim
        self._sent_at = now
        connection.expect_by(now + self.timeouts.response_seconds, NO_ANSWER)
        to_head = self.head.method == "HEAD"
        if body is None:
            assert self._body is not None, "only a body can be still to come"
            connection.send(data, to_head=to_head, whole=False)
            self._pump = asyncio.create_task(self._body.pump(connection))
        else:
            connection.send(data + body, to_head=to_head, whole=True, websocket=self._websocket)

    def note_head(self, connection: UpstreamConnection, now: float) -> None:
        """Take note of the answer's status, and of how long it took."""
        self.status = connection.answer.status
        # An upload is the caller's time.
        self.response_seconds = now - max(self._sent_at, connection.sent_at)
        self.lane.facts.response.observe(self.response_seconds)

    async def _with_another_token(
        self, connection: UpstreamConnection, token: Token
    ) -> UpstreamConnection:
        """Answer a 401 with another token where that makes sense; else the 401 passes."""
        audience = self.lane.route.audience
        assert audience is not None, "a token was sent for it"
        if (
            self.lane.route.renews
            and self._replayable
            and connection.answer.head is not None
            and asks_for_another_token(connection.answer.head.fields, token.credential)
        ):
            # The 401 waits meanwhile; its caller gets it after all if there is no other token.
            connection.expect_no_more()
            other = token
            with contextlib.suppress(ProxyError):
                if self.lane.tokens.reject(audience, token):
                    other = await self.lane.tokens.token(audience)
            if other != token:
                self.end(self.lane.now())
                second = await self._answered(other)
                still = second.answer.status == 401
                self.lane.facts.unauthorized("renewed_still_401" if still else "renewed_ok")
                return second
        self.lane.facts.unauthorized("passed")
        return connection

    def _pass_interim(self, answer: AnswerHead) -> None:
        transport = self.request.protocol.transport
        if transport is not None and not self.answer_begun:
            transport.write(message.interim(answer))
        if answer.status == 100 and self._body is not None and self.connection is not None:
            self._body.go_ahead(self.connection)
