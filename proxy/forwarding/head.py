"""A request's head: what it says, and what of it goes on. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

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
KEEP_ALIVE = frozenset({b"keep-alive", b"Keep-Alive"})
"""`Connection` as nearly all say it who say it: in HTTP/1.1 it changes nothing."""


def persists(options: AbstractSet[bytes], minor: int) -> bool:
    """Say whether a connection lives on after a message with these options (RFC 9112 §9.3)."""
    return b"close" not in options and (minor == 1 or b"keep-alive" in options)


class RequestHead:
    """A request's head.

    `lines` are those that may go on, as they came, without line ends; `names` are their names in
    lower case, in the same order. The line at `host_at` keeps the place of `Host`, whose value
    depends on the upstream.
    """

    # Most heads leave most of these as they are: a class attribute takes no time to set.
    authority: bytes | None = None
    chunked = False
    connection_options: frozenset[bytes] = frozenset()
    """What `Connection` names, to be kept out of the trailers too."""
    content_length: int | None = None
    expects_continue = False
    has_underscores = False
    host_at = -1
    max_forwards: int | None = None
    origin: bytes | None = None
    sec_fetch_site: bytes | None = None
    via: tuple[bytes, ...] = ()
    wants_websocket = False
    is_absolute = False
    path: bytes
    query: bytes

    def __init__(self, method: str, target: bytes, minor: int) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.keep_alive = minor == 1
        self.names: list[bytes] = []
        self.lines: list[bytes] = []
