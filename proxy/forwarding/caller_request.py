"""A request as the callers' side hands it to the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader

    from proxy.forwarding.caller import CallerProtocol


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
