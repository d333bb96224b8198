"""The layers below a request, one after the other: name, TCP, TLS.

Connections are opened as `run` opens them: names on threads of their own, all addresses in a race.
"""

from __future__ import annotations

import errno
import ipaddress
from typing import TYPE_CHECKING

from proxy.commands.doctor.report import Check, skipped
from proxy.commands.doctor.tls_layer import peek, secured
from proxy.commands.doctor.way import LayerFailed, socket_to, within
from proxy.config.addresses import TcpAddress

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from proxy.commands.doctor.way import Way
    from proxy.config.document import KeyPath
    from proxy.network import AddressInfo, Resolver
    from proxy.tls import SharedContext

ADDRESSES_SHOWN_MAX = 4
BEHIND = "not checked, because of that"
"""Why a check was not made that stands behind a failed one of the same group."""


class Reach:
    """Opens connections and tells each layer; `wall` gives Unix time."""

    def __init__(self, resolver: Resolver, *, wall: Callable[[], float]) -> None:
        self._resolver = resolver
        self._wall = wall

    async def examine(self, subject: KeyPath, way: Way, trust: SharedContext) -> list[Check]:
        """Return a check for each layer; those behind a failure are skipped."""
        checks: list[Check] = []
        try:
            addresses = await self.addresses(way)
            checks.append(Check(subject, "name", "ok", _resolved_to(way, addresses)))
            sock = await _connected(way, addresses)
            try:
                checks.append(Check(subject, "tcp", "ok", _connected_to(way, sock)))
                if way.url.scheme == "https":
                    checks.append(await self._secured(subject, way, sock, trust, addresses))
            finally:
                sock.close()
        except LayerFailed as failed:
            checks.append(
                Check(subject, failed.layer, "failure", failed.detail, failed.hint, failed.key)
            )
            behind = way.layers[way.layers.index(failed.layer) + 1 :]
            checks += skipped(subject, behind, BEHIND)
        return checks

    async def speaks_tls(self, way: Way) -> bool:
        """Say whether a server that was asked in plain HTTP speaks TLS."""
        try:
            await peek(way, await self.addresses(way))
        except (OSError, LayerFailed):
            return False
        return True

    async def addresses(self, way: Way) -> list[AddressInfo]:
        """Look up where connections go. Raises `LayerFailed`."""
        hop, key = way.next_hop, way.next_hop_key
        try:
            return await within(way.seconds, self._resolver.addresses(hop.host, hop.port))
        except TimeoutError:
            raise LayerFailed(
                "name",
                f"no answer about {hop.host} within {way.seconds:g} s",
                "see whether this machine's name servers can be reached (/etc/resolv.conf; in a "
                "cluster: network policies towards its DNS)",
                key,
            ) from None
        except OSError as error:
            raise LayerFailed(
                "name",
                f"{hop.host} does not resolve ({error.strerror or error})",
                f"check the host in `{key[-1]}` for a slip; if it is right, this machine's name "
                "servers do not know it",
                key,
            ) from None

    async def _secured(
        self,
        subject: KeyPath,
        way: Way,
        sock: socket.socket,
        trust: SharedContext,
        addresses: list[AddressInfo],
    ) -> Check:
        if way.http_proxy is not None and way.http_proxy.scheme == "https":
            reason = "not checked, behind an https proxy; the token request will tell"
            return Check(subject, "tls", "skipped", reason)
        detail, due = await secured(way, sock, trust, addresses, self._wall())
        if not due:
            return Check(subject, "tls", "ok", detail)
        hint = "it should have been renewed by now: tell whoever runs the server"
        return Check(subject, "tls", "warning", detail, hint, way.key)


async def _connected(way: Way, addresses: list[AddressInfo]) -> socket.socket:
    hop, key = way.next_hop, way.next_hop_key
    where = str(TcpAddress(hop.host, hop.port))
    try:
        return await within(way.seconds, socket_to(addresses))
    except TimeoutError:
        raise LayerFailed(
            "tcp",
            f"no connection to {where} within {way.seconds:g} s",
            "a firewall or network policy may drop the packets, or the port may be wrong in "
            f"`{key[-1]}`",
            key,
        ) from None
    except OSError as error:
        # Several addresses that all refuse come as one OSError with their common errno.
        if error.errno == errno.ECONNREFUSED:
            reason = "it refuses connections"
            hint = (
                f"nothing listens there: see whether the server is up, and the port in `{key[-1]}`"
            )
        else:
            reason = error.strerror or type(error).__name__
            hint = f"see the routes and firewalls on the way, and the host in `{key[-1]}`"
        raise LayerFailed("tcp", f"no connection to {where}: {reason}", hint, key) from None


def _resolved_to(way: Way, addresses: list[AddressInfo]) -> str:
    hop = way.next_hop
    hosts = list(dict.fromkeys(str(address[4][0]) for address in addresses))
    if _is_address(hop.host):
        told = f"{hop.host} is an address, there is nothing to look up"
    else:
        more = " and more" if len(hosts) > ADDRESSES_SHOWN_MAX else ""
        told = f"{hop.host} is {', '.join(hosts[:ADDRESSES_SHOWN_MAX])}{more}"
    if way.http_proxy is not None:
        told += f" (the proxy of `http_proxy`, which looks up {way.url.host} itself)"
    return told


def _connected_to(way: Way, sock: socket.socket) -> str:
    hop = way.next_hop
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        # It took the connection and ended it at once; the next layer says so.
        host, port = hop.host, hop.port
    behind = "" if way.http_proxy is None else ", the proxy of `http_proxy`"
    return f"connected to {TcpAddress(host, port)}{behind}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
