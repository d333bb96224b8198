"""The heads that we send: the request's to the upstream, the answer's to the caller. Pure.

Clean first, add last: `head.read` has taken away what does not go on; here the upstream's own
rules are applied, `Via` is added, and then, as the very last line, the credential. Nothing after
it edits fields, so no caller can name it in `Connection` and have it removed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.errors import Fault, ProxyError
from proxy.forwarding.head import (
    HARMLESS_OPTIONS,
    HOP_BY_HOP,
    ORDINARY_CONNECTION,
    Field,
    RequestHead,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.forwarding.routing import Route
    from proxy.model import Token

_FORWARDED = (b"forwarded", b"x-forwarded-")
# `Trailer` is no hop-by-hop field, and the trailers of answers do go on.
_ANSWER_NOTED = (HOP_BY_HOP - {b"trailer"}) | {b"content-length"}
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NO_TRAILERS = HOP_BY_HOP | {
    b"content-length",
    b"host",
    b"authorization",
    b"set-cookie",
    b"content-encoding",
    b"content-type",
    b"content-range",
}
"""RFC 9110 §6.5.1: framing, routing, authentication and content fields mean nothing here."""


def outbound(
    head: RequestHead,
    route: Route,
    target: bytes,
    token: Token | None,
    *,
    peer: str,
    via: bytes,
    websocket: bool = False,
) -> bytes:
    """Return the head to send upstream.

    `peer` is the caller's address, `via` our own line; `websocket` asks for the switch to it.
    """
    lines = head.lines.copy()
    if route.preserve_host and head.authority is not None:
        lines[head.host_at] = b"Host: " + head.authority
    else:
        lines[head.host_at] = route.host_line
    drop = route.drop if token is None else route.drop_with_token
    if head.has_underscores or not drop.isdisjoint(head.names):
        # X_Api_Key becomes X-Api-Key behind servers that merge the two.
        lines = [
            line
            for name, line in zip(head.names, lines, strict=True)
            if name not in drop and name.replace(b"_", b"-") not in drop
        ]
    if route.forwarded_headers != "pass":
        lines = _with_forwarded(head, route, lines, peer)
    lines.extend(route.set_lines)
    lines.append(via)
    if websocket:
        lines.append(b"Connection: Upgrade")
        lines.append(b"Upgrade: websocket")
    if token is not None:
        lines.append(token.header + b": " + token.credential)
    return b"%b %b HTTP/1.1\r\n%b\r\n\r\n" % (
        head.method.encode("ascii"),
        target,
        b"\r\n".join(lines),
    )


def _with_forwarded(head: RequestHead, route: Route, lines: list[bytes], peer: str) -> list[bytes]:
    """Apply `forwarded_headers`: `drop`, `replace` or `append`."""
    mode = route.forwarded_headers
    came: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        known = name.lower().replace(b"_", b"-")
        if known.startswith(_FORWARDED):
            came.setdefault(known, []).append(value.strip())
    own = {
        b"x-forwarded-for": b"X-Forwarded-For: " + peer.encode("ascii", "replace"),
        b"x-forwarded-proto": b"X-Forwarded-Proto: http",
        b"x-forwarded-host": b"X-Forwarded-Host: " + (head.authority or b""),
    }
    if mode == "append":
        chain = b", ".join([*came.get(b"x-forwarded-for", []), peer.encode("ascii", "replace")])
        kept = [line for line in lines if not _dashed(line).startswith(b"x-forwarded-for:")]
        kept.append(b"X-Forwarded-For: " + chain)
        kept.extend(
            own[name] for name in (b"x-forwarded-proto", b"x-forwarded-host") if name not in came
        )
        return kept
    kept = [line for line in lines if not _dashed(line).startswith(_FORWARDED)]
    if mode == "replace":
        kept.extend(own.values())
    return kept


def _dashed(line: bytes) -> bytes:
    return line.lower().replace(b"_", b"-")


class AnswerHead:
    """An upstream's answer, ready to go on: `lines` without hop-by-hop fields and `Connection`.

    Exactly one of three holds where a body may follow: `content_length` is not None, `chunked`,
    or the body ends with the connection (`until_close`).
    """

    __slots__ = ("bodiless", "chunked", "content_length", "lines", "named", "reason", "status")

    def __init__(self, status: int, reason: bytes, *, bodiless: bool) -> None:
        self.status = status
        self.reason = reason
        self.bodiless = bodiless
        self.lines: list[bytes] = []
        self.named: frozenset[bytes] = frozenset()
        """What `Connection` names, to be kept out of the trailers too."""
        self.content_length: int | None = None
        self.chunked = False

    @property
    def until_close(self) -> bool:
        """Whether the body ends with the connection."""
        return not self.bodiless and not self.chunked and self.content_length is None


def read_answer(
    status: int, reason: bytes, fields: Sequence[Field], *, to_head: bool
) -> AnswerHead:
    """Return an upstream's answer as it goes on. Raises `ProxyError` (`upstream_misspoke`)."""
    if not 100 <= status <= 999 or (reason != b"OK" and _CONTROL.search(reason)):
        raise ProxyError(Fault.UPSTREAM_MISSPOKE, "the answer's status line is malformed")
    answer = AnswerHead(status, reason, bodiless=to_head or status in {204, 304} or status < 200)
    lines = answer.lines
    options: set[bytes] | None = None
    for name, value in fields:
        lower = name.lower()
        if lower in _ANSWER_NOTED:
            if lower == b"content-length" and (status == 204 or status < 200):
                # RFC 9110 §8.6: not here.
                continue
            if lower == b"content-length":
                # The parser has seen to it that it is one number; a second one is refused there.
                answer.content_length = int(value)
                lines.append(b"%b: %d\r\n" % (name, answer.content_length))
            elif lower == b"transfer-encoding":
                if answer.chunked or value.strip(b" \t").lower() != b"chunked":
                    raise ProxyError(
                        Fault.UPSTREAM_MISSPOKE,
                        "the answer's transfer coding is not one `chunked`",
                        proxy_status="http_response_transfer_coding",
                    )
                answer.chunked = True
            elif lower == b"connection" and value not in ORDINARY_CONNECTION:
                options = options or set()
                options.update(option.strip(b" \t").lower() for option in value.split(b","))
            continue
        lines.append(b"%b: %b\r\n" % (name, value))
    if options and not options <= HARMLESS_OPTIONS:
        answer.named = frozenset(options)
        options.discard(b"content-length")
        lines[:] = [line for line in lines if line.partition(b":")[0].lower() not in options]
    return answer


def inbound(answer: AnswerHead, *, minor: int, close: bool) -> tuple[bytes, bool]:
    """Return the head to send to the caller, and whether the body goes on in chunks.

    `minor` is the caller's HTTP version; `close` says that the connection ends with this answer.
    """
    end = b""
    chunked = False
    if answer.chunked and not answer.bodiless:
        if minor == 1:
            chunked = True
            end = b"Transfer-Encoding: chunked\r\n"
    elif answer.chunked:
        # To HEAD: what the answer to GET would have been framed by.
        end = b"Transfer-Encoding: chunked\r\n" if minor == 1 and answer.status == 200 else b""
    if close:
        end += b"Connection: close\r\n"
    elif minor == 0:
        end += b"Connection: keep-alive\r\n"
    return (
        b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (answer.status, answer.reason, b"".join(answer.lines), end),
        chunked,
    )


def interim(status: int, reason: bytes, fields: Sequence[Field]) -> bytes:
    """Return a 1xx answer as it goes on (RFC 9110 §15.2)."""
    answer = read_answer(status, reason, fields, to_head=True)
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, b"".join(answer.lines))


def last_chunk(trailers: Sequence[Field], kept_back: frozenset[bytes]) -> bytes:
    """Return the end of a chunked body with its trailer section (RFC 9112 §7.1.2).

    `kept_back`: names in lower case that `Connection` has named, or that are ours to set.
    """
    if not trailers:
        return b"0\r\n\r\n"
    lines = [
        name + b": " + value + b"\r\n"
        for name, value in trailers
        if (lower := name.lower()) not in kept_back
        # X_Sum becomes X-Sum behind servers that merge the two.
        and (merged := lower.replace(b"_", b"-")) not in kept_back
        and merged not in _NO_TRAILERS
    ]
    return b"0\r\n%b\r\n" % b"".join(lines)
