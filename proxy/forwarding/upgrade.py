"""Which upgrades are asked for (RFC 9110 §7.8), and what makes one a WebSocket's. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.forwarding.head import RequestHead

_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==\Z")
"""16 bytes in base64 (RFC 6455 §4.1)."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def asks_for_websocket(head: RequestHead, upgrades: Sequence[bytes]) -> bool:
    """Say whether this is a WebSocket's opening handshake (RFC 6455 §4.2.1).

    Whatever is not wholly one goes on as a plain request without `Upgrade`: a tunnel opened by
    half a handshake would be one that somebody else's requests could be hidden in.
    """
    return (
        head.method == "GET"
        and head.minor == 1
        and not head.chunked
        and not head.content_length
        and any(
            protocol.strip(b" \t").lower() == b"websocket"
            for value in upgrades
            for protocol in value.split(b",")
        )
        and _values(head, b"sec-websocket-version") == [b"13"]
        and [bool(_KEY.match(key)) for key in _values(head, b"sec-websocket-key")] == [True]
    )


def is_websocket(fields: Sequence[tuple[bytes, bytes]]) -> bool:
    """Say whether a 101 switches to the WebSocket protocol and to nothing else."""
    return [value.lower() for value in _of(fields, b"upgrade")] == [b"websocket"]


def proves(fields: Sequence[tuple[bytes, bytes]], head: RequestHead) -> bool:
    """Say whether a 101 answers this very handshake (RFC 6455 §4.2.2).

    Without that proof, an upstream that lets callers choose a status would give them a pipe past
    the allow-lists.
    """
    (key,) = _values(head, b"sec-websocket-key")
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return _of(fields, b"sec-websocket-accept") == [base64.b64encode(digest)]


def _of(fields: Sequence[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    return [value for name, value in fields if name.lower() == wanted]


def _values(head: RequestHead, wanted: bytes) -> list[bytes]:
    return [
        line.partition(b":")[2].strip(b" \t")
        for name, line in zip(head.names, head.lines, strict=True)
        if name == wanted
    ]
