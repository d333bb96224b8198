"""A request's body on its way: sent at once if it is there, else piece by piece as it comes.

It is read at the upstream's pace and never held beyond `replay_body_bytes_max`; up to that a copy
stays, so that the request can be sent once more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.errors import Fault, ProxyError
from proxy.forwarding.connection import FOREVER
from proxy.forwarding.message import chunk, last_chunk
from proxy.forwarding.refusal import body_too_large

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.schema import Timeouts
    from proxy.forwarding.connection import UpstreamConnection
    from proxy.forwarding.head import RequestHead
    from proxy.forwarding.incoming import IncomingBody
NO_ANSWER = "the upstream did not answer within timeouts.response_seconds"


class RequestBody:
    """The body of a request that has one. `sent_bytes` counts what the caller gave.

    `kept_back` are names in lower case that must not go on as trailers.
    """

    def __init__(
        self,
        head: RequestHead,
        incoming: IncomingBody,
        *,
        replay_bytes_max: int,
        bytes_max: int | None,
        timeouts: Timeouts,
        kept_back: frozenset[bytes],
        now: Callable[[], float],
    ) -> None:
        self._incoming = incoming
        self._chunked = head.chunked
        self._kept_back = head.connection_options | kept_back
        self._expects_continue = head.expects_continue
        self._replay_bytes_max = replay_bytes_max
        self._bytes_max = bytes_max
        self._timeouts = timeouts
        self._now = now
        self._copy: bytearray | None = bytearray()
        self._ended = False
        self._due_at = FOREVER
        self._timer: asyncio.TimerHandle | None = None
        self.sent_bytes = 0
        if bytes_max is not None and (head.content_length or 0) > bytes_max:
            raise body_too_large()

    @property
    def replayable(self) -> bool:
        """Whether the whole body is at hand, to be sent (again)."""
        return self._ended and self._copy is not None

    def at_hand(self) -> bytes | None:
        """Return the whole body as it is framed upstream, None if it is still to come.

        A body that is here but too long to be kept is returned the first time only. Raises
        `ProxyError` for one that is known to be broken: then nothing of its request is sent.
        """
        if self._incoming.error is not None:
            raise self._incoming.error
        if not self._ended:
            if not self._incoming.complete:
                return None
            data = self._incoming.take()
            self._take(data)
            self._ended = True
        elif self._copy is not None:
            data = bytes(self._copy)
        else:
            return None
        if not self._chunked:
            return data
        return (chunk(data) if data else b"") + self._end()

    async def pump(self, connection: UpstreamConnection) -> None:
        """Send what comes until it ends. Its failure becomes the exchange's."""
        try:
            while data := await self._next(connection):
                self._take(data)
                connection.write(chunk(data) if self._chunked else data)
                if connection.writing_paused:
                    await connection.drain(self._timeouts.idle_seconds)
            self._ended = True
            if self._chunked:
                connection.write(self._end())
            connection.request_sent = True
            connection.sent_at = self._now()
            if connection.answer.head is None:
                connection.expect_by(self._now() + self._timeouts.response_seconds, NO_ANSWER)
        except ProxyError as error:
            connection.fail(error)
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _next(self, connection: UpstreamConnection) -> bytes:
        incoming = self._incoming
        if incoming.error is not None:
            raise incoming.error
        if incoming.here:
            return incoming.take()
        if incoming.complete:
            return b""
        if self._expects_continue:
            # The caller waits for the upstream's word: that is what the exchange's deadline is for.
            data = await incoming.read()
            self._expects_continue = False
            self._due_at = FOREVER
            return data
        # While the caller is waited for, the upstream owes nothing; once it answers, the deadlines
        # are those of the answer.
        if connection.answer.head is None:
            connection.expect_no_more()
        self._expect_by(self._now() + self._timeouts.idle_seconds)
        data = await incoming.read()
        self._due_at = FOREVER
        return data

    def _expect_by(self, at: float) -> None:
        """Set the deadline for what the caller sends next.

        The timer is moved only when it comes too late, so that a piece of a body costs none.
        """
        self._due_at = at
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(at, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due_at == FOREVER:
            return
        if self._now() < self._due_at:
            self._expect_by(self._due_at)
        else:
            self._incoming.fail(
                ProxyError(Fault.BAD_REQUEST, "the request's body came to a halt", status=408)
            )

    def go_ahead(self, connection: UpstreamConnection) -> None:
        """Take note of the upstream's 100: from now on the caller is waited for."""
        if self._expects_continue:
            connection.expect_no_more()
            self._expect_by(self._now() + self._timeouts.idle_seconds)

    def _take(self, data: bytes) -> None:
        self.sent_bytes += len(data)
        if self._bytes_max is not None and self.sent_bytes > self._bytes_max:
            raise body_too_large()
        if self._copy is not None:
            if self.sent_bytes > self._replay_bytes_max:
                self._copy = None
            else:
                self._copy += data

    def _end(self) -> bytes:
        return last_chunk(self._incoming.trailers, self._kept_back)
