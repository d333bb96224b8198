"""Reading a request's head: what it says, what of it goes on, what is refused. Pure.

Our own reading and not llhttp's, for three reasons: llhttp takes what is ambiguous (two spaces in
the request line, RTSP), refuses what is not (methods it does not know, bytes beyond ASCII in a
target), and reports each field by a call into Python, which costs more than reading them all here.
What is strict about it: a line ends with CR LF and nothing else, a control character is nowhere, a
name is a token with the colon right behind it.

Hop-by-hop fields (RFC 9110 §7.6.1) and whatever `Connection` names are gone afterwards; framing is
read once, here, and written anew from what was read. Whatever is ambiguous raises `ProxyError`.
"""

from __future__ import annotations

import re

from proxy.errors import Fault, ProxyError
from proxy.forwarding.head import HARMLESS_OPTIONS, HOP_BY_HOP, KEEP_ALIVE, RequestHead, persists
from proxy.forwarding.refusal import head_too_large
from proxy.forwarding.target import AUTHORITY, split
from proxy.forwarding.upgrade import asks_for_websocket

_RELIED_ON = frozenset({b"host", b"content-length", b"transfer-encoding", b"via", b"expect"})
"""What `Connection` cannot take away: the proxy relies on it."""
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

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VERSIONS = frozenset({b"HTTP/1.1", b"HTTP/1.0"})
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]\Z")
TEXT = bytes(each for each in range(256) if each == 9 or (each >= 32 and each != 127))
"""Every byte but the control characters: what is left of a head without these is its line ends."""
_UNDERSCORE, _CR = b"_\r"
_METHOD_BYTES_MAX = 64
_REMEMBERED_MAX = 1024
_REMEMBERED_BYTES_MAX = 64
"""So many names and methods are remembered, if they are no longer; callers choose them."""


class HeadReader:
    """Reads heads, and remembers the names in them, as they recur."""

    def __init__(self, *, fields_max: int) -> None:
        self._fields_max = fields_max
        self._methods: dict[bytes, str] = {}
        self._names: dict[bytes, bytes] = {}
        self._authorities: set[bytes] = set()

    def read(self, block: bytes) -> RequestHead:
        """Return the head that is `block`, the bytes before the empty line that ends it.

        Raises `ProxyError`: `bad_request` with its true status, `head_too_large`.
        """
        lines = block.split(b"\r\n")
        if block.translate(None, TEXT) != b"\r\n" * (len(lines) - 1):
            raise _refused("the head holds control characters or line ends that are not CR LF")
        head = self._request_line(lines[0])
        del lines[0]
        if len(lines) > self._fields_max:
            raise head_too_large("header_fields_max")
        known = self._names
        names = head.names
        kept = head.lines
        noted: list[tuple[bytes, bytes, bytes]] | None = None
        for line in lines:
            name, colon, value = line.partition(b":")
            lower = known.get(name)
            if lower is None or not colon:
                lower = self._name(name, colon)
            if lower in _NOTED:
                if lower == b"host" and head.host_at < 0:
                    head.authority = value.strip(b" \t")
                    head.host_at = len(kept)
                else:
                    if noted is None:
                        noted = []
                    noted.append((lower, name, value.strip(b" \t")))
                    if lower in HOP_BY_HOP:
                        continue
            elif _UNDERSCORE in lower:
                head.has_underscores = True
                if lower.replace(b"_", b"-") in _MERGED:
                    continue
            names.append(lower)
            kept.append(line)
        if head.host_at < 0:
            if head.minor == 1:
                raise _refused("the Host field is missing")
            head.host_at = 0
            names.insert(0, b"host")
            kept.insert(0, b"")
        elif head.authority not in self._authorities:
            self._check(head.authority)
        if noted is not None:
            _take_note(head, noted)
        authority, head.path, head.query = split(head.method, head.target)
        if authority is not None:
            head.authority = authority
            head.is_absolute = True
        return head

    def _check(self, authority: bytes | None) -> None:
        """Refuse what is no authority; one that is will be known again."""
        if authority is None or not AUTHORITY.match(authority):
            raise _refused("the Host field is malformed")
        if len(self._authorities) >= _REMEMBERED_MAX:
            self._authorities.clear()
        self._authorities.add(authority)

    def _request_line(self, line: bytes) -> RequestHead:
        """Read RFC 9112 §3, with exactly one space between its three parts."""
        parts = line.split(b" ")
        if len(parts) != 3:
            raise _refused("the request line is not method, target and version")
        method, target, version = parts
        known = self._methods.get(method)
        if known is None:
            known = self._method(method)
        if version not in _VERSIONS:
            if _VERSION.match(version):
                raise _refused("this HTTP version is not spoken here", status=505)
            raise _refused("the request line is not method, target and version")
        return RequestHead(known, target, version[7] - 48)

    def _method(self, method: bytes) -> str:
        if len(method) > _METHOD_BYTES_MAX or not TOKEN.match(method):
            raise _refused("the method is malformed")
        name = method.decode("ascii")
        if name.upper() in {"CONNECT", "TRACE"}:
            raise _refused(f"{name.upper()} is not forwarded", status=405)
        _make_room(self._methods)
        self._methods[method] = name
        return name

    def _name(self, name: bytes, colon: bytes) -> bytes:
        if not colon or not TOKEN.match(name):
            raise _refused("a field's name is malformed")
        lower = name.lower()
        if len(name) <= _REMEMBERED_BYTES_MAX:
            _make_room(self._names)
            self._names[name] = lower
        return lower


def misplaced_control(data: bytes, start: int) -> bool:
    """Say whether the beginning of a head holds, from `start` on, what no head may hold.

    Before `start` it was looked for already; a line end may lie across.
    """
    if start and data[start - 1] == _CR:
        start -= 1
    controls = data[start:].translate(None, TEXT)
    return bool(controls.replace(b"\r\n", b"").removesuffix(b"\r"))


def _make_room(remembered: dict[bytes, bytes] | dict[bytes, str]) -> None:
    if len(remembered) >= _REMEMBERED_MAX:
        remembered.clear()


def _take_note(head: RequestHead, noted: list[tuple[bytes, bytes, bytes]]) -> None:
    codings: list[tuple[bytes, bytes]] = []
    lengths: list[bytes] = []
    upgrades: list[bytes] = []
    trailers: list[bytes] = []
    options: set[bytes] | None = None
    for lower, name, value in noted:
        if lower == b"connection":
            if value in KEEP_ALIVE and head.minor == 1:
                continue
            if options is None:
                options = set()
            options.update(option.strip(b" \t").lower() for option in value.split(b","))
        elif lower == b"content-length":
            lengths.append(value)
        elif lower == b"transfer-encoding":
            codings.append((name, value))
        elif lower == b"via":
            head.via = (*head.via, value)
        elif lower == b"origin":
            # Several are nobody's own.
            head.origin = value if head.origin is None else b"several"
        elif lower == b"sec-fetch-site":
            head.sec_fetch_site = value if head.sec_fetch_site is None else b"several"
        elif lower == b"expect":
            _take_expectation(head, value)
        elif lower == b"max-forwards":
            _take_max_forwards(head, value)
        elif lower == b"upgrade":
            upgrades.append(value)
        elif lower == b"trailer":
            trailers.append(name + b": " + value)
        elif lower == b"host":
            raise _refused("there are several Host fields")
    if codings or lengths:
        _take_framing(head, codings, lengths, trailers)
    if options is not None:
        _take_options(head, options)
        if upgrades and b"upgrade" in options:
            head.wants_websocket = asks_for_websocket(head, upgrades)


def _take_options(head: RequestHead, options: set[bytes]) -> None:
    """Read what `Connection` says, and take away what it names (RFC 9110 §7.6.1)."""
    head.keep_alive = persists(options, head.minor)
    named = options - HARMLESS_OPTIONS
    if named:
        head.connection_options = frozenset(named)
        _keep(head, [name in _RELIED_ON or name not in named for name in head.names])


def _take_framing(
    head: RequestHead,
    codings: list[tuple[bytes, bytes]],
    lengths: list[bytes],
    trailers: list[bytes],
) -> None:
    """Read RFC 9112 §6, strictly: what two parsers might read differently is refused."""
    if codings and lengths:
        raise _refused("Content-Length and Transfer-Encoding are both there")
    if codings:
        name, value = codings[0]
        if len(codings) != 1 or value.lower() != b"chunked":
            raise _refused("the only transfer coding forwarded is one `chunked`")
        if head.minor == 0:
            raise _refused("HTTP/1.0 knows no Transfer-Encoding")
        head.chunked = True
        # Trailers go on, and so does their announcement.
        head.lines += [*trailers, name + b": chunked"]
        head.names += [b"trailer"] * len(trailers) + [b"transfer-encoding"]
        return
    if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
        raise _refused("the Content-Length is not one number")
    head.content_length = int(lengths[0])
    _replace(head, b"content-length", b"%d" % head.content_length)


def _take_expectation(head: RequestHead, value: bytes) -> None:
    if head.minor == 0:
        # RFC 9110 §10.1.1: an expectation in HTTP/1.0 is to be ignored.
        _keep(head, [name != b"expect" for name in head.names])
        return
    if value.lower() != b"100-continue":
        raise _refused("the only expectation known is 100-continue", status=417)
    head.expects_continue = True


def _take_max_forwards(head: RequestHead, value: bytes) -> None:
    """Count down what limits the reach of OPTIONS (RFC 9110 §7.6.2)."""
    if head.method != "OPTIONS" or not value.isdigit() or len(value) > 9:
        return
    head.max_forwards = int(value)
    _replace(head, b"max-forwards", b"%d" % max(head.max_forwards - 1, 0))


def _keep(head: RequestHead, stays: list[bool]) -> None:
    """Keep the lines that stay; `Host` always does."""
    head.lines[:] = [line for line, stay in zip(head.lines, stays, strict=True) if stay]
    head.names[:] = [name for name, stay in zip(head.names, stays, strict=True) if stay]
    head.host_at = head.names.index(b"host")


def _replace(head: RequestHead, name: bytes, value: bytes) -> None:
    """Write a field's value anew, in its place and with its name as it came."""
    for at, lower in enumerate(head.names):
        if lower == name:
            head.lines[at] = head.lines[at].partition(b":")[0] + b": " + value


def _refused(detail: str, *, status: int | None = None) -> ProxyError:
    return ProxyError(Fault.BAD_REQUEST, detail, status=status)
