"""Which upstream a request goes to, and by what target. Pure.

A `Route` is an upstream made ready: what can be reckoned once is reckoned here, so that a request
costs a few dictionary look-ups, however many upstreams there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.addresses import is_loopback
from proxy.config.urls import Url, parse_url
from proxy.errors import Fault, ProxyError
from proxy.model import AudienceName

if TYPE_CHECKING:
    from proxy.config.schema import Config, Upstream
    from proxy.forwarding.head import RequestHead

_HOSTS_REMEMBERED = 1024
"""Verdicts on `Host` values are remembered for so many; callers choose the values."""


class Route:
    """One upstream, made ready."""

    def __init__(self, name: str, upstream: Upstream, credential_header: str | None) -> None:
        self.name = name
        self.upstream = upstream
        self.url: Url = parse_url(upstream.url)
        self.audience = None if upstream.audience == "none" else AudienceName(upstream.audience)
        self.credential_header = (credential_header or "Authorization").lower().encode("ascii")
        default_port = 443 if self.url.scheme == "https" else 80
        host = f"[{self.url.host}]" if ":" in self.url.host else self.url.host
        authority = host if self.url.port == default_port else f"{host}:{self.url.port}"
        self.host_line = f"Host: {authority}".encode("ascii")
        self.preserve_host = upstream.host_header == "preserve"
        self.forwarded_headers = upstream.forwarded_headers
        self.prefix = upstream.match.path.rstrip("/").encode("ascii")
        self.url_path = self.url.path.encode("ascii")
        self._base = self.url_path.rstrip(b"/")
        removed = {each.lower().encode("ascii") for each in upstream.remove_headers}
        removed |= {each.lower().encode("ascii") for each in upstream.set_headers}
        self.drop = frozenset(removed)
        self.drop_with_token = self.drop | {self.credential_header, b"authorization"}
        self.set_lines = [
            f"{field}: {value}".encode() for field, value in upstream.set_headers.items()
        ]
        self.methods = None if upstream.methods is None else frozenset(upstream.methods)
        self._paths = (
            None
            if upstream.paths is None
            else tuple(path.rstrip("/").encode("ascii") for path in upstream.paths)
        )
        self.websockets = "websocket" in upstream.upgrades
        self.renews = self.audience is not None and upstream.on_unauthorized == "renew"

    def check(self, head: RequestHead) -> None:
        """Raise `ProxyError` (`not_allowed`) for what is not on the upstream's lists."""
        if self.methods is not None and head.method not in self.methods:
            raise ProxyError(Fault.NOT_ALLOWED, "the method is not among the upstream's `methods`")
        if self._paths is not None and not any(
            head.path == prefix or head.path.startswith(prefix + b"/") for prefix in self._paths
        ):
            raise ProxyError(Fault.NOT_ALLOWED, "the path is not below the upstream's `paths`")

    def wants_token(self, head: RequestHead) -> bool:
        """Say whether our token goes on the request, or the caller's own stays.

        Raises `ProxyError` (`authorization_refused`).
        """
        if self.audience is None:
            return False
        existing = self.upstream.existing_authorization
        if existing == "replace":
            return True
        brought = self.credential_header in head.names or b"authorization" in head.names
        if brought and existing == "reject":
            raise ProxyError(
                Fault.AUTHORIZATION_REFUSED,
                "this upstream takes no Authorization from callers: leave the field away",
            )
        return not brought

    def target(self, head: RequestHead) -> bytes:
        """Return the request target to send: all bytes behind the prefix as they came."""
        if head.path == b"*":
            return b"*"
        if self.upstream.keep_prefix:
            return self._base + head.path + head.query
        rest = head.path[len(self.prefix) :]
        if not rest:
            return (self.url_path or b"/") + head.query
        return self._base + rest + head.query

    def own_target(self, head: RequestHead) -> bytes | None:
        """Return the target of a request that names the upstream's own URL; None if not below."""
        if head.path == b"*":
            # All of the server, which only an upstream without a path is.
            return None if self._base else b"*"
        if head.path == self._base or head.path.startswith(self._base + b"/"):
            return head.path + head.query
        return None


class Routes:
    """All upstreams of a configuration."""

    def __init__(self, config: Config) -> None:
        self.routes = [
            Route(
                name,
                upstream,
                config.audiences[upstream.audience].header if upstream.audience != "none" else None,
            )
            for name, upstream in config.upstreams.items()
        ]
        self._by_host: dict[bytes | None, dict[bytes, Route]] = {}
        self._by_suffix: dict[bytes, dict[bytes, Route]] = {}
        self._by_url: dict[bytes, list[Route]] = {}
        for route in self.routes:
            host = route.upstream.match.host
            if host is not None and host.startswith("*."):
                table = self._by_suffix.setdefault(host[1:].lower().encode("ascii"), {})
            else:
                key = None if host is None else host_of(host.encode("ascii"))
                table = self._by_host.setdefault(key, {})
            table[route.prefix] = route
            self._by_url.setdefault(_plain(route.url.host), []).append(route)
        for routes in self._by_url.values():
            # The longest path is tried first.
            routes.sort(key=lambda route: len(route.url_path), reverse=True)
        # Without any `match.host` there is nothing to look a host up in.
        self._names_any = bool(self._by_suffix) or set(self._by_host) != {None}
        self._depth = max(route.prefix.count(b"/") for route in self.routes)
        self._allowed = _allowed_hosts(config, self.routes)
        self._names_hosts = config.allowed_hosts is not None
        self._verdicts: dict[bytes, tuple[bytes, bool]] = {}
        self.ports: frozenset[int] = frozenset()
        """The ports we listen on, once they are known; none for Unix sockets alone."""

    def match(self, head: RequestHead) -> tuple[Route, bytes]:
        """Return the upstream and the target for a request.

        Raises `ProxyError`: `host_refused`, `no_route`.
        """
        authority = head.authority
        host, allowed = (b"", True) if authority is None else self._judged(authority)
        found = self._by_name(host, head.path) if self._names_any else None
        if found is None and head.is_absolute and authority is not None:
            own = self._by_own_url(host, authority, head)
            if own is not None:
                return own
            if not self._is_our_own(host, authority):
                raise ProxyError(
                    Fault.HOST_REFUSED, "no upstream's url or match.host has this host and port"
                )
        if not allowed:
            raise ProxyError(Fault.HOST_REFUSED, "the Host is not among `allowed_hosts`")
        if found is None:
            found = self._in_table(self._by_host.get(None), head.path)
        if found is None:
            raise ProxyError(Fault.NO_ROUTE, "no upstream's `match` fits this host and path")
        return found, found.target(head)

    def _by_name(self, host: bytes, path: bytes) -> Route | None:
        """Match by `match.host`: exact hosts first, then suffixes, the longest first."""
        found = self._in_table(self._by_host.get(host), path) if host else None
        if found is None and self._by_suffix:
            at = host.find(b".")
            while at >= 0 and found is None:
                found = self._in_table(self._by_suffix.get(host[at:]), path)
                at = host.find(b".", at + 1)
        return found

    def _in_table(self, table: dict[bytes, Route] | None, path: bytes) -> Route | None:
        """Find the longest prefix that ends at a segment's border."""
        if table is None:
            return None
        if self._depth and path != b"*":
            # No deeper than the deepest prefix: a path of thousands of slashes costs nothing.
            ends: list[int] = []
            at = path.find(b"/", 1)
            while at >= 0 and len(ends) < self._depth:
                ends.append(at)
                at = path.find(b"/", at + 1)
            if len(ends) < self._depth:
                ends.append(len(path))
            for end in reversed(ends):
                found = table.get(path[:end])
                if found is not None:
                    return found
        return table.get(b"")

    def _by_own_url(
        self, host: bytes, authority: bytes, head: RequestHead
    ) -> tuple[Route, bytes] | None:
        """Match a target in absolute form by the upstreams' own URLs."""
        routes = self._by_url.get(host)
        if routes is None:
            return None
        port = _port_of(authority)
        at_port = [route for route in routes if port in {None, 80, route.url.port}]
        for route in at_port:
            target = route.own_target(head)
            if target is not None:
                return route, target
        if at_port:
            raise ProxyError(
                Fault.NO_ROUTE, "the path does not lie below the path of the upstream's `url`"
            )
        return None

    def _is_our_own(self, host: bytes, authority: bytes) -> bool:
        """Say whether an absolute target names this proxy itself (RFC 9112 §3.2.2)."""
        if self._names_hosts:
            return True
        port = _port_of(authority) or 80
        return is_loopback(host.decode("ascii")) and (not self.ports or port in self.ports)

    def _judged(self, authority: bytes) -> tuple[bytes, bool]:
        """Return an authority's host, and whether that is allowed; remembered, as it recurs."""
        verdict = self._verdicts.get(authority)
        if verdict is None:
            host = host_of(authority)
            verdict = (host, self._is_allowed(host))
            if len(self._verdicts) >= _HOSTS_REMEMBERED:
                self._verdicts.clear()
            self._verdicts[authority] = verdict
        return verdict

    def _is_allowed(self, host: bytes) -> bool:
        allowed = self._allowed
        if allowed is None or host in allowed:
            return True
        if b"*loopback" in allowed and is_loopback(host.decode("ascii")):
            return True
        return any(each.startswith(b"*.") and host.endswith(each[1:]) for each in allowed)


def host_of(authority: bytes) -> bytes:
    """Return the host of an authority: lower case, no port, no brackets, no trailing dot."""
    if authority.startswith(b"["):
        return authority[1 : authority.find(b"]")].lower()
    return authority.partition(b":")[0].lower().removesuffix(b".")


def _plain(host: str) -> bytes:
    return host.encode("ascii").removesuffix(b".")


def _port_of(authority: bytes) -> int | None:
    _, _, port = authority.rpartition(b"]")[2].partition(b":")
    return int(port) if port else None


def _allowed_hosts(config: Config, routes: list[Route]) -> frozenset[bytes] | None:
    """Return the hosts allowed, None for all; `*loopback` stands for any loopback address."""
    if config.allowed_hosts is not None:
        if "*" in config.allowed_hosts:
            return None
        return frozenset(host_of(each.encode("ascii")) for each in config.allowed_hosts)
    allowed = {b"*loopback"}
    for route in routes:
        allowed.add(_plain(route.url.host))
        if route.upstream.match.host is not None:
            allowed.add(host_of(route.upstream.match.host.encode("ascii")))
    return frozenset(allowed)
