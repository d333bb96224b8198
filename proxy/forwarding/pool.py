"""The connections of one upstream: kept, limited, opened, and let go.

Decide without awaiting, await without deciding: `_open_count` counts every connection that exists
or is being opened, and is changed together with the lists it stands for. Whoever finds the limit
reached waits in line; a connection that comes free, or the place of one that ended, goes to the
first in line.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import deque
from typing import TYPE_CHECKING, Literal

import aiohappyeyeballs

from proxy.errors import Fault, ProxyError
from proxy.forwarding.connection import UpstreamConnection
from proxy.forwarding.tls_handshake import open_tls

if TYPE_CHECKING:
    from proxy.config.schema import Limits
    from proxy.forwarding.routing import Route
    from proxy.network import Descriptors, Resolver
    from proxy.telemetry.upstream import UpstreamFacts
    from proxy.tls import SharedContext, TlsContexts

    ConnectResult = Literal["success", "name", "refused", "timeout", "tls", "other"]

ADDRESSES_BELIEVED_SECONDS = 30.0
"""A name's addresses are looked up again after this; the system's resolver hides the TTL."""


class Pool:
    """The connections of one upstream."""

    def __init__(
        self,
        route: Route,
        *,
        loop: asyncio.AbstractEventLoop,
        resolver: Resolver,
        contexts: TlsContexts,
        descriptors: Descriptors,
        limits: Limits,
        facts: UpstreamFacts,
    ) -> None:
        self._route = route
        self._upstream = route.upstream
        self._idle_seconds = route.upstream.connection_idle_seconds
        self._loop = loop
        self._resolver = resolver
        self._descriptors = descriptors
        self._limits = limits
        self._facts = facts
        self._trust: SharedContext | None = None
        if route.url.scheme == "https":
            self._trust = contexts.of(route.upstream.tls)
            # Made now, so that a start fails where every connection would.
            _ = self._trust.current
        self._idle: list[UpstreamConnection] = []
        self._open_count = 0
        self._waiting: deque[asyncio.Future[UpstreamConnection | None]] = deque()
        self._all: set[UpstreamConnection] = set()
        self._addresses: list[tuple[int, int, int, str, object]] = []
        self._addresses_until = 0.0
        self._closed = False

    def __repr__(self) -> str:
        idle = len(self._idle)
        return (
            f"<Pool {self._route.name}: {self._open_count - idle} active, {idle} idle, "
            f"{len(self._waiting)} waiting>"
        )

    def take(self) -> UpstreamConnection | None:
        """Return a kept connection, the one used last first; None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            self._facts.connections_idle -= 1
            if not connection.closed and connection.quiet and not self._outdated(connection):
                self._facts.connections_active += 1
                return connection
            connection.abort()
        return None

    async def fresh(self, *, new: bool = False) -> UpstreamConnection:
        """Return a new connection, or one that came free while this one was waited for.

        `new`: nothing but a new one will do. Raises `ProxyError`: `upstream_unreachable`,
        `overloaded`.
        """
        deadline = self._loop.time() + self._upstream.timeouts.connect_seconds
        while True:
            if self._open_count < self._upstream.connections_max:
                if self._descriptors.upstreams_open < self._descriptors.upstreams_max:
                    self._open_count += 1
                    self._descriptors.upstreams_open += 1
                    break
                if not self._open_count:
                    # Nobody would hand over anything to this line.
                    raise ProxyError(
                        Fault.OVERLOADED,
                        "the descriptors that this process may have are used up",
                        retry_after_seconds=1,
                        limit="descriptors",
                    )
            handed_over = await self._stand_in_line(deadline)
            if handed_over is None:
                break
            if not new and not handed_over.closed:
                return handed_over
            self._facts.connections_active -= 1
            if handed_over in self._all:
                # Its place is taken before it is gone, so that nobody else gets it.
                self._all.remove(handed_over)
                handed_over.abort()
                break
        try:
            # Connecting has its own time; standing in line had the same.
            return await self._open(self._loop.time() + self._upstream.timeouts.connect_seconds)
        except BaseException:
            self._give_place_away()
            raise

    def release(self, connection: UpstreamConnection, now: float) -> None:
        """Take a connection back after an exchange; keep it if it may be used again."""
        self._facts.connections_active -= 1
        connection.on_news = None
        if not connection.reusable or self._closed or self._outdated(connection):
            # Nothing is owed to it: what may still come belongs to nobody.
            connection.abort()
            return
        connection.answer.on_interim = None
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._facts.connections_active += 1
                waiter.set_result(connection)
                return
        connection.expect_by(now + self._idle_seconds, "idle for too long")
        self._facts.connections_idle += 1
        self._idle.append(connection)

    def _outdated(self, connection: UpstreamConnection) -> bool:
        """Say whether trust or certificate are others now than when the connection was made."""
        return self._trust is not None and connection.tls is not self._trust.current

    def close(self) -> None:
        """Close what is idle, and what comes back from now on."""
        self._closed = True
        for connection in list(self._all):
            connection.close()

    def retire(self) -> None:
        """Close what is idle, and what comes back from now on; what is in use goes on."""
        self._closed = True
        for connection in list(self._idle):
            connection.close()

    async def _stand_in_line(self, deadline: float) -> UpstreamConnection | None:
        """Wait for a connection, or (None) for the place of one that ended."""
        waiter: asyncio.Future[UpstreamConnection | None] = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            # Not a timeout around the waiter: what is handed over in the last moment counts.
            await asyncio.wait({waiter}, timeout=max(0.0, deadline - self._loop.time()))
        except asyncio.CancelledError:
            if not waiter.cancel():
                handed_over = waiter.result()
                if handed_over is None:
                    self._give_place_away()
                else:
                    self.release(handed_over, self._loop.time())
            raise
        finally:
            if not waiter.done() or waiter.cancelled():
                self._waiting.remove(waiter)
        if waiter.done():
            return waiter.result()
        raise ProxyError(
            Fault.OVERLOADED,
            f"all {self._upstream.connections_max} connections of the upstream "
            "(connections_max) are busy",
            retry_after_seconds=1,
            limit="upstream_connections_max",
        )

    def _give_place_away(self) -> None:
        """Hand a free place to the first in line, or count it free."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._open_count -= 1
        self._descriptors.upstreams_open -= 1

    def _on_closed(self, connection: UpstreamConnection) -> None:
        if connection in self._all:
            self._all.remove(connection)
            if connection in self._idle:
                self._idle.remove(connection)
                self._facts.connections_idle -= 1
            self._give_place_away()

    async def _open(self, deadline: float) -> UpstreamConnection:
        try:
            async with asyncio.timeout_at(deadline):
                connection = await self._connect()
        except OSError as error:
            # The name may have moved, but one look-up a second is enough to see that.
            self._addresses_until = min(self._addresses_until, self._loop.time() + 1.0)
            result, detail, proxy_status = _what_failed(error)
            url = self._route.url
            self._facts.connected(result, f"{url.host}:{url.port}: {detail}")
            raise ProxyError(
                Fault.UPSTREAM_UNREACHABLE,
                f"the upstream cannot be reached: {detail}",
                proxy_status=proxy_status,
            ) from None
        self._facts.connected("success")
        self._facts.connections_active += 1
        return connection

    async def _connect(self) -> UpstreamConnection:
        url = self._route.url
        sock = await aiohappyeyeballs.start_connection(
            await self._resolved(url.host, url.port),  # type: ignore[arg-type]
            happy_eyeballs_delay=0.25,
            loop=self._loop,
        )
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._trust is None:
                _, connection = await self._loop.create_connection(self._made, sock=sock)
            else:
                context = self._trust.current
                name = self._upstream.tls.server_name or url.host
                _, connection = await open_tls(self._loop, sock, context, name, self._made)
                connection.tls = context
        except BaseException:
            sock.close()
            raise
        if connection.closed:
            raise ConnectionResetError
        self._all.add(connection)
        return connection

    def _made(self) -> UpstreamConnection:
        return UpstreamConnection(
            self._loop,
            head_bytes_max=self._limits.head_bytes_max,
            fields_max=self._limits.header_fields_max,
            on_closed=self._on_closed,
        )

    async def _resolved(self, host: str, port: int) -> list[tuple[int, int, int, str, object]]:
        if self._loop.time() >= self._addresses_until:
            try:
                self._addresses = await self._resolver.addresses(host, port)
            except socket.gaierror:
                # A resolver that is down for a moment does not move a server.
                if not self._addresses:
                    raise
            self._addresses_until = self._loop.time() + ADDRESSES_BELIEVED_SECONDS
        return self._addresses


def _what_failed(error: OSError) -> tuple[ConnectResult, str, str]:
    """Return the metric's label, our sentence, and the error type of RFC 9209 §2.3."""
    match error:
        case TimeoutError():
            return "timeout", "it did not accept in time", "connection_timeout"
        case socket.gaierror():
            return "name", "its name does not resolve", "dns_error"
        case ssl.SSLCertVerificationError():
            detail = f"its certificate is not trusted ({error.verify_message})"
            return "tls", detail, "tls_certificate_error"
        case ssl.SSLError():
            return "tls", "TLS could not be agreed on", "tls_protocol_error"
    # Several addresses that all refuse come as one OSError with their common errno.
    if error.errno == errno.ECONNREFUSED:
        return "refused", "it refuses connections", "connection_refused"
    detail = f"connecting failed ({error.strerror or type(error).__name__})"
    return "other", detail, "destination_unavailable"
