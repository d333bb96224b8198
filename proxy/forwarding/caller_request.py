"""A request as the callers' side hands it to the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.telemetry.upstream import METHODS, OTHER

if TYPE_CHECKING:
    from proxy.forwarding.caller import CallerProtocol
    from proxy.forwarding.exchange import Exchange
    from proxy.forwarding.head import RequestHead
    from proxy.forwarding.incoming import IncomingBody
    from proxy.telemetry.upstream import UpstreamFacts


class CallerRequest:
    """A request's head as it came, its body if it has one, and the way back.

    `head` is None until it was read (by `CallerProtocol.read_head`), and `body` with it. The rest
    is the gateway's: what the request counts for, and how far it has come.
    """

    __slots__ = ("block", "body", "exchange", "facts", "head", "protocol", "started_at", "trouble")

    facts: UpstreamFacts
    """Whom the request counts for: nobody until its upstream is known."""
    started_at: float

    def __init__(self, block: bytes, protocol: CallerProtocol) -> None:
        self.block = block
        self.protocol = protocol
        self.head: RequestHead | None = None
        self.body: IncomingBody | None = None
        self.exchange: Exchange | None = None
        self.trouble: Exception | None = None

    @property
    def method(self) -> str:
        """The method; `_OTHER` for an unknown one in a head that could not be read."""
        if self.head is not None:
            return self.head.method
        method = self.block.partition(b" ")[0].decode("ascii", "replace")
        return method if method in METHODS else OTHER
