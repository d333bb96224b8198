"""Reading a request's head: what it says, what of it goes on, what is refused. Pure.

One pass over the fields, since it is made for every request. Hop-by-hop fields (RFC 9110 §7.6.1)
and whatever `Connection` names are gone afterwards; framing is read once, here, and written anew
from what was read. Whatever is ambiguous raises `ProxyError`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.errors import Fault, ProxyError

if TYPE_CHECKING:
    from collections.abc import Sequence

Field = tuple[bytes, bytes]
"""Name and value as they came."""
Line = tuple[bytes, bytes]
"""Name in lower case, and the whole line as it goes on."""

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
_RELIED_ON = frozenset({b"host", b"content-length", b"transfer-encoding", b"via"})
"""What `Connection` cannot take away: the proxy relies on it."""
HARMLESS_OPTIONS = frozenset({b"keep-alive", b"close"})
ORDINARY_CONNECTION = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})
"""`Connection` values that name no field, which is nearly all there are."""
_NOTED = HOP_BY_HOP | {
    b"host",
    b"content-length",
    b"via",
    b"origin",
    b"sec-fetch-site",
    b"expect",
    b"max-forwards",
}
_MERGED = HOP_BY_HOP | {b"content-length", b"host", b"authorization", b"expect"}
"""Fields that a name with `_` must not turn into behind servers that merge `_` and `-`."""

_AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{0,5})?\Z")
_DOT_SEGMENT = re.compile(rb"(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:[/\\;?]|%2f|%5c|\Z)", re.IGNORECASE)

# Looked for as numbers: `b"_" in name` takes ten times as long as `95 in name`.
_UNDERSCORE, _HASH, _DOT, _PERCENT = b"_#.%"

HOST_PLACE: Line = (b"host", b"")
"""Keeps the place of `Host`, whose value depends on the upstream."""


class RequestHead:
    """A request's head. `lines` are those that may go on, in order, `HOST_PLACE` among them."""

    __slots__ = (
        "authority",
        "chunked",
        "content_length",
        "expects_continue",
        "has_underscores",
        "lines",
        "max_forwards",
        "method",
        "minor",
        "origin",
        "path",
        "query",
        "sec_fetch_site",
        "target",
        "via",
    )

    def __init__(self, method: str, target: bytes, minor: int) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.lines: list[Line] = []
        self.authority: bytes | None = None
        self.path = b""
        self.query = b""
        self.content_length: int | None = None
        self.chunked = False
        self.expects_continue = False
        self.has_underscores = False
        self.max_forwards: int | None = None
        self.origin: bytes | None = None
        self.sec_fetch_site: bytes | None = None
        self.via: list[bytes] = []


def read(
    method: str, target: bytes, version: tuple[int, int], fields: Sequence[Field]
) -> RequestHead:
    """Return the head of a request. Raises `ProxyError` (`bad_request` with its true status)."""
    if version[0] != 1 or version[1] > 1:
        raise _refused("this HTTP version is not spoken here", status=505)
    head = RequestHead(method, target, version[1])
    lines = head.lines
    noted: list[tuple[bytes, bytes, bytes]] | None = None
    for name, value in fields:
        lower = name.lower()
        if lower in _NOTED:
            if lower == b"host" and head.authority is None:
                head.authority = value
                lines.append(HOST_PLACE)
                continue
            if noted is None:
                noted = []
            noted.append((lower, name, value))
            if lower in HOP_BY_HOP:
                if lower == b"transfer-encoding":
                    lines.append((lower, name + b": chunked\r\n"))
                continue
        elif _UNDERSCORE in lower:
            head.has_underscores = True
            if lower.replace(b"_", b"-") in _MERGED:
                continue
        lines.append((lower, b"%b: %b\r\n" % (name, value)))
    if noted is not None:
        _take_note(head, noted)
    if head.authority is None:
        if head.minor == 1:
            raise _refused("the Host field is missing")
        lines.insert(0, HOST_PLACE)
    elif not _AUTHORITY.match(head.authority):
        raise _refused("the Host field is malformed")
    if method in {"CONNECT", "TRACE"}:
        raise _refused(f"{method} is not forwarded", status=405)
    _split_target(head)
    return head


def _take_note(head: RequestHead, noted: list[tuple[bytes, bytes, bytes]]) -> None:
    codings: list[bytes] = []
    lengths: list[bytes] = []
    options: set[bytes] = set()
    for lower, _, value in noted:
        if lower == b"connection":
            if value in ORDINARY_CONNECTION:
                continue
            options.update(option.strip(b" \t").lower() for option in value.split(b","))
        elif lower == b"content-length":
            lengths.append(value)
        elif lower == b"transfer-encoding":
            codings.append(value)
        elif lower == b"via":
            head.via.append(value)
        elif lower == b"origin":
            # Several are nobody's own.
            head.origin = value if head.origin is None else b"several"
        elif lower == b"sec-fetch-site":
            head.sec_fetch_site = value if head.sec_fetch_site is None else b"several"
        elif lower == b"expect":
            _take_expectation(head, value)
        elif lower == b"max-forwards":
            _take_max_forwards(head, value)
        elif lower == b"host":
            raise _refused("there are several Host fields")
    if codings or lengths:
        _take_framing(head, codings, lengths)
    options -= HARMLESS_OPTIONS
    if options:
        options -= _RELIED_ON
        head.lines[:] = [line for line in head.lines if line[0] not in options]


def _take_framing(head: RequestHead, codings: list[bytes], lengths: list[bytes]) -> None:
    """Read RFC 9112 §6, strictly: what two parsers might read differently is refused."""
    if codings and lengths:
        raise _refused("Content-Length and Transfer-Encoding are both there")
    if codings:
        if len(codings) != 1 or codings[0].strip(b" \t").lower() != b"chunked":
            raise _refused("the only transfer coding forwarded is one `chunked`")
        if head.minor == 0:
            raise _refused("HTTP/1.0 knows no Transfer-Encoding")
        head.chunked = True
        return
    if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
        raise _refused("the Content-Length is not one number")
    head.content_length = int(lengths[0])
    written = b"%d" % head.content_length
    if written != lengths[0]:
        _replace(head, b"content-length", written)


def _take_expectation(head: RequestHead, value: bytes) -> None:
    if head.minor == 0:
        # RFC 9110 §10.1.1: an expectation in HTTP/1.0 is to be ignored.
        head.lines[:] = [line for line in head.lines if line[0] != b"expect"]
        return
    if value.strip(b" \t").lower() != b"100-continue":
        raise _refused("the only expectation known is 100-continue", status=417)
    head.expects_continue = True


def _take_max_forwards(head: RequestHead, value: bytes) -> None:
    """Count down what limits the reach of OPTIONS (RFC 9110 §7.6.2)."""
    if head.method != "OPTIONS" or not value.isdigit() or len(value) > 9:
        return
    head.max_forwards = int(value)
    _replace(head, b"max-forwards", b"%d" % max(head.max_forwards - 1, 0))


def _replace(head: RequestHead, name: bytes, value: bytes) -> None:
    """Write a field's value anew, in its place and with its name as it came."""
    head.lines[:] = [
        (lower, b"%b: %b\r\n" % (line.partition(b":")[0], value) if lower == name else line)
        for lower, line in head.lines
    ]


def _split_target(head: RequestHead) -> None:
    """Split origin-form and absolute-form (RFC 9112 §3.2) into authority, path and query."""
    target = head.target
    if _HASH in target:
        raise _refused("the request target holds a fragment")
    if not target.startswith(b"/"):
        if target == b"*":
            head.path = b"*"
            return
        scheme, separator, rest = target.partition(b"://")
        if not separator or scheme.lower() not in {b"http", b"https"}:
            raise _refused("the request target is malformed")
        slash = len(rest)
        for mark in (b"/", b"?"):
            found = rest.find(mark)
            if 0 <= found < slash:
                slash = found
        head.authority = rest[:slash]
        if not _AUTHORITY.match(head.authority):
            raise _refused("the request target's authority is malformed")
        target = rest[slash:]
        if not target and head.method == "OPTIONS":
            # RFC 9112 §3.2.4: the last proxy makes an asterisk of it.
            head.path = b"*"
            return
        if not target.startswith(b"/"):
            target = b"/" + target
    path, mark, query = target.partition(b"?")
    head.path = path
    head.query = mark + query
    if (_DOT in path or _PERCENT in path) and _DOT_SEGMENT.search(path):
        raise _refused("the request target holds dot segments")


def _refused(detail: str, *, status: int | None = None) -> ProxyError:
    return ProxyError(Fault.BAD_REQUEST, detail, status=status)
