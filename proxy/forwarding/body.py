"""A request's body on its way: sent at once if it is there, else piece by piece as it comes.

It is read at the upstream's pace and never held beyond `replay_body_bytes_max`; up to that a copy
stays, so that the request can be sent once more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.errors import Fault, ProxyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.streams import StreamReader

    from proxy.config.schema import Timeouts
    from proxy.forwarding.connection import UpstreamConnection
    from proxy.forwarding.head import RequestHead

_LAST_CHUNK = b"0\r\n\r\n"


class RequestBody:
    """The body of a request that has one. `sent_bytes` counts what the caller gave."""

    def __init__(
        self,
        head: RequestHead,
        content: StreamReader,
        *,
        replay_bytes_max: int,
        bytes_max: int | None,
        timeouts: Timeouts,
        now: Callable[[], float],
    ) -> None:
        self._content = content
        self._chunked = head.chunked
        self._expects_continue = head.expects_continue
        self._replay_bytes_max = replay_bytes_max
        self._bytes_max = bytes_max
        self._timeouts = timeouts
        self._now = now
        self._copy: bytes | None = b""
        self._ended = False
        self._patience: asyncio.Timeout | None = None
        self.sent_bytes = 0
        if bytes_max is not None and (head.content_length or 0) > bytes_max:
            raise _too_large()

    @property
    def replayable(self) -> bool:
        """Whether the whole body is at hand, to be sent (again)."""
        return self._ended and self._copy is not None

    def at_hand(self) -> bytes | None:
        """Return the whole body as it is framed upstream, None if it is still to come.

        A body that is here but too long to be kept is returned the first time only.
        """
        data = self._copy
        if not self._ended:
            if not self._content.is_eof():
                return None
            data = self._content.read_nowait()
            self._take(data)
            self._ended = True
        if data is None:
            return None
        return self._framed(data) + (_LAST_CHUNK if self._chunked else b"")

    async def pump(self, connection: UpstreamConnection) -> None:
        """Send what comes until it ends. Its failure becomes the exchange's."""
        try:
            while data := await self._next(connection):
                self._take(data)
                connection.write(self._framed(data))
                await connection.drain(self._timeouts.idle_seconds)
            self._ended = True
            if self._chunked:
                connection.write(_LAST_CHUNK)
            connection.request_sent = True
            connection.sent_at = self._now()
            connection.expect_by(
                self._now() + self._timeouts.response_seconds,
                "the upstream did not answer within timeouts.response_seconds",
            )
        except ProxyError as error:
            connection.fail(error)
        except TimeoutError:
            connection.fail(
                ProxyError(Fault.BAD_REQUEST, "the request's body came to a halt", status=408)
            )
        except Exception:  # noqa: BLE001 - aiohttp's set_exception brings whatever ended the body
            connection.fail(ProxyError(Fault.BAD_REQUEST, "the request's body broke off"))

    async def _next(self, connection: UpstreamConnection) -> bytes:
        content = self._content
        if content.at_eof():
            return b""
        if self._expects_continue:
            # The caller waits for the upstream's word: that is what the exchange's deadline is for.
            async with asyncio.timeout(None) as self._patience:
                data = await content.readany()
            self._expects_continue = False
            return data
        # While the caller is waited for, the upstream owes nothing.
        connection.expect_no_more()
        async with asyncio.timeout(self._timeouts.idle_seconds):
            return await content.readany()

    def go_ahead(self, connection: UpstreamConnection) -> None:
        """Take note of the upstream's 100: from now on the caller is waited for."""
        if self._expects_continue and self._patience is not None:
            connection.expect_no_more()
            self._patience.reschedule(self._now() + self._timeouts.idle_seconds)

    def _take(self, data: bytes) -> None:
        self.sent_bytes += len(data)
        if self._bytes_max is not None and self.sent_bytes > self._bytes_max:
            raise _too_large()
        if self._copy is not None:
            if self.sent_bytes > self._replay_bytes_max:
                self._copy = None
            else:
                self._copy += data

    def _framed(self, data: bytes) -> bytes:
        if not self._chunked:
            return data
        return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _too_large() -> ProxyError:
    return ProxyError(Fault.BODY_TOO_LARGE, "the body exceeds limits.body_bytes_max")
