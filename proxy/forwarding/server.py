"""All callers' connections: made, counted, and ended together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp.web_server import Server

from proxy.forwarding.caller import CallerProtocol
from proxy.forwarding.head_reader import HeadReader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.config.schema import Limits
    from proxy.errors import ProxyError
    from proxy.forwarding.caller_request import CallerRequest


class CallerServer(Server):
    """Makes a `CallerProtocol` per connection.

    `handle` answers a request and says whether the connection may be kept; it raises nothing but
    `CancelledError`. `unparsed` counts and renders the refusal of what is no request.
    """

    def __init__(
        self,
        handle: Callable[[CallerRequest], Awaitable[bool]],
        *,
        limits: Limits,
        unparsed: Callable[[ProxyError], bytes],
    ) -> None:
        # Our protocol calls `handle`; aiohttp's handler is never reached.
        super().__init__(handle, handler_cancellation=True)  # type: ignore[arg-type]
        self.handle = handle
        self.limits = limits
        self.unparsed = unparsed
        self.heads = HeadReader(fields_max=limits.header_fields_max)
        self.connections_open = 0
        self._emptied: asyncio.Event | None = None

    def opened(self, protocol: CallerProtocol) -> bool:
        """Count a new connection; False if it is one too many."""
        self.connection_made(protocol, protocol.transport)  # type: ignore[arg-type]
        self.connections_open += 1
        return self.connections_open <= self.limits.connections_max

    def closed(self, protocol: CallerProtocol) -> None:
        """Count a connection that is gone."""
        self.connection_lost(protocol)  # type: ignore[arg-type]
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
        protocols = cast("list[CallerProtocol]", self.connections)
        tasks = [protocol.end() for protocol in protocols]
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)

    def __call__(self) -> CallerProtocol:  # type: ignore[override]
        """Make the protocol of a new connection."""
        return CallerProtocol(self, self._loop)
