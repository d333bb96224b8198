"""URLs as the configuration has them: parsed once, strictly, so that all parts agree on the host.

Lenient parsers differ in what they take for the host (`http://localhost@evil.example`,
backslashes, tabs); so whatever is not plainly RFC 3986 is refused, and userinfo with it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from proxy.config.addresses import is_loopback

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)"
    r"(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
_ALLOWED = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[^\]]*)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?"
)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_DOT_SEGMENT = re.compile(
    r"(?:^|[/;]|%2[fF]|%5[cC]|\\)(?:\.|%2[eE]){1,2}(?=$|[/;\\]|%2[fF]|%5[cC])"
)


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute `http` or `https` URL. `host` is lower-case and without brackets."""

    scheme: str
    host: str
    port: int
    path: str
    query: str | None

    @property
    def is_plain_remote(self) -> bool:
        """Whether what goes there would cross a network in clear."""
        return self.scheme == "http" and not is_loopback(self.host)


def has_dot_segments(path: str) -> bool:
    """Say whether a path holds `.` or `..` as a segment, encoded or not."""
    return _DOT_SEGMENT.search(path) is not None


def is_host_name(text: str) -> bool:
    """Say whether `text` is a DNS name or an IPv4 address, without port or trailing dot."""
    return len(text) <= 253 and all(_LABEL.fullmatch(label) for label in text.split("."))


def parse_url(text: str, *, query_allowed: bool = False) -> Url:
    """Read a URL. Raises ValueError, whose text says what is wrong and holds no value."""
    if not text.isascii():
        raise ValueError("should be ASCII: write a host in its xn-- form, a path percent-encoded")
    if not _ALLOWED.fullmatch(text):
        raise ValueError("has a character that no URL may hold")
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("should be a URL that begins with https:// (or http://)")
    scheme = match["scheme"].lower()
    if scheme not in {"http", "https"}:
        raise ValueError("should be an https or http URL")
    if "@" in match["authority"]:
        raise ValueError("should have no user or password before the host")
    if match["fragment"] is not None:
        raise ValueError("should have no fragment (#)")
    if match["query"] is not None and not query_allowed:
        raise ValueError("should have no query (?)")
    host, port = _host_and_port(match["authority"], scheme)
    if has_dot_segments(match["path"]):
        raise ValueError("should have no dot segments (. or ..) in its path")
    query = match["query"]
    return Url(scheme, host, port, match["path"], None if query is None else query[1:])


def _host_and_port(authority: str, scheme: str) -> tuple[str, int]:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError("should have a host and, if wanted, a port after //")
    port = int(match["port"] or (443 if scheme == "https" else 80))
    if not 1 <= port <= 65535:
        raise ValueError("should have a port from 1 to 65535")
    if match["six"] is not None:
        try:
            return str(ipaddress.IPv6Address(match["six"])), port
        except ValueError:
            raise ValueError("should have an IPv6 address between the brackets") from None
    if not is_host_name(match["host"].removesuffix(".")):
        raise ValueError("should have a host name with labels of 1 to 63 characters")
    return match["host"].lower(), port
