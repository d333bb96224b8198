"""A request's head: what it says, and what of it goes on. Pure."""

from __future__ import annotations

Field = tuple[bytes, bytes]
"""Name and value as they came."""

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"proxy-authorization",
        b"proxy-authenticate",
    }
)
HARMLESS_OPTIONS = frozenset({b"keep-alive", b"close"})
ORDINARY_CONNECTION = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})
"""`Connection` values that name no field, which is nearly all there are."""


class RequestHead:
    """A request's head.

    `lines` are those that may go on, as they came, without line ends; `names` are their names in
    lower case, in the same order. The line at `host_at` keeps the place of `Host`, whose value
    depends on the upstream.
    """

    __slots__ = (
        "authority",
        "chunked",
        "connection_options",
        "content_length",
        "expects_continue",
        "has_underscores",
        "host_at",
        "keep_alive",
        "lines",
        "max_forwards",
        "method",
        "minor",
        "names",
        "origin",
        "path",
        "query",
        "sec_fetch_site",
        "target",
        "via",
        "wants_websocket",
    )

    def __init__(self, method: str, target: bytes, minor: int) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.names: list[bytes] = []
        self.lines: list[bytes] = []
        self.host_at = -1
        self.authority: bytes | None = None
        self.path = b""
        self.query = b""
        self.content_length: int | None = None
        self.chunked = False
        self.keep_alive = minor == 1
        self.connection_options: frozenset[bytes] = frozenset()
        """What `Connection` names, to be kept out of the trailers too."""
        self.expects_continue = False
        self.has_underscores = False
        self.wants_websocket = False
        self.max_forwards: int | None = None
        self.origin: bytes | None = None
        self.sec_fetch_site: bytes | None = None
        self.via: list[bytes] = []
