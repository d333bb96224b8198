"""All callers' connections: made, counted, and ended together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from aiohttp.web_server import Server

from proxy.forwarding.caller import CallerProtocol
from proxy.forwarding.head_reader import HeadReader
from proxy.forwarding.tunnel import END_SECONDS, LAST_SECONDS

if TYPE_CHECKING:
    from proxy.config.schema import Limits
    from proxy.errors import ProxyError
    from proxy.forwarding.caller_request import CallerRequest


class Conductor(Protocol):
    """Who answers requests: see `proxy.forwarding.gateway.Gateway`."""

    def begin(self, request: CallerRequest) -> bool:
        """Take a request as far as it goes at once; True if it is on its way upstream."""
        ...

    def answered(self, request: CallerRequest) -> bool | None:
        """Pass its answer on if all of it is here; None: `finish` has to."""
        ...

    async def finish(self, request: CallerRequest) -> bool:
        """Do the rest; say whether the connection may be kept. Raises only `CancelledError`."""
        ...

    def abandon(self, request: CallerRequest) -> None:
        """End a request on its way whose caller has left."""
        ...

    def unparsed(self, error: ProxyError) -> bytes:
        """Count and render the refusal of what is no request."""
        ...


class CallerServer(Server):
    """Makes a `CallerProtocol` per connection, and hands requests to the conductor."""

    def __init__(self, conductor: Conductor, *, limits: Limits, connections_max: int) -> None:
        # Our protocol asks the conductor; what aiohttp would call is never reached.
        super().__init__(conductor.finish)  # type: ignore[arg-type]
        self.conductor = conductor
        self.limits = limits
        self._connections_max = connections_max
        self.heads = HeadReader(fields_max=limits.header_fields_max)
        self.connections_open = 0
        self._emptied: asyncio.Event | None = None

    def reconfigure(self, limits: Limits, *, connections_max: int) -> None:
        """Use other limits from now on; connections that are there stay."""
        self._connections_max = connections_max
        if limits.header_fields_max != self.limits.header_fields_max:
            self.heads = HeadReader(fields_max=limits.header_fields_max)
        self.limits = limits

    def opened(self, protocol: CallerProtocol) -> bool:
        """Count a new connection; False if it is one too many."""
        self.connection_made(protocol, protocol.transport)  # type: ignore[arg-type]
        self.connections_open += 1
        return self.connections_open <= self._connections_max

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
        for protocol in cast("list[CallerProtocol]", self.connections):
            if protocol.lingering:
                protocol.linger_only(LAST_SECONDS)
            elif protocol.transport is not None:
                protocol.transport.close()
        await self._emptied.wait()

    async def end_all(self) -> None:
        """End all connections; what is in flight is broken off."""
        protocols = cast("list[CallerProtocol]", self.connections)
        tasks = {task for protocol in protocols if (task := protocol.end()) is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=2 * END_SECONDS)

    def __call__(self) -> CallerProtocol:  # type: ignore[override]
        """Make the protocol of a new connection."""
        return CallerProtocol(self, self._loop)
