"""The heads that we send: the request's to the upstream, the answer's to the caller. Pure.

Clean first, add last: `HeadReader.read` has taken away what does not go on; here the upstream's own
rules are applied, `Via` is added, and then, as the very last line, the credential. Nothing after
it edits fields, so no caller can name it in `Connection` and have it removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.forwarding.head import HOP_BY_HOP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.forwarding.answer_reader import AnswerHead
    from proxy.forwarding.head import Field, RequestHead
    from proxy.forwarding.routing import Route
    from proxy.model import Token

_FORWARDED = (b"forwarded", b"x-forwarded-")
_NO_TRAILERS = HOP_BY_HOP | {
    b"content-length",
    b"host",
    b"via",
    b"expect",
    b"max-forwards",
    b"authorization",
    b"cookie",
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


def inbound(answer: AnswerHead, *, minor: int, close: bool) -> tuple[bytes, bool]:
    """Return the head to send to the caller, and whether the body goes on in chunks.

    `minor` is the caller's HTTP version; `close` says that the connection ends with this answer.
    """
    said = (answer.chunked or answer.rechunked) and minor == 1
    chunked = said and not answer.bodiless
    # To HEAD: what the answer to GET would have been framed by.
    end = b"\r\nTransfer-Encoding: chunked" if chunked or (said and answer.status == 200) else b""
    if close:
        end += b"\r\nConnection: close"
    elif minor == 0:
        end += b"\r\nConnection: keep-alive"
    return b"%b%b\r\n\r\n" % (b"\r\n".join(answer.lines), end), chunked


def interim(answer: AnswerHead) -> bytes:
    """Return a 1xx answer as it goes on (RFC 9110 §15.2)."""
    return b"\r\n".join(answer.lines) + b"\r\n\r\n"


def switching(answer: AnswerHead) -> bytes:
    """Return the 101 that opens a WebSocket, as it goes on."""
    ends = [b"Connection: Upgrade", b"Upgrade: websocket", b"", b""]
    return b"\r\n".join([*answer.lines, *ends])


def chunk(data: bytes) -> bytes:
    """Return `data`, which is not empty, as a chunk (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


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
        and not merged.startswith(_FORWARDED)
    ]
    return b"0\r\n%b\r\n" % b"".join(lines)
