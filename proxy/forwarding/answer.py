"""Answers of our own: problem details (RFC 9457) with `Proxy-Status` (RFC 9209). Pure."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.errors import ProxyError

ALLOW = "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"
TYPE_PREFIX = "urn:token-proxy:error:"
"""A name, not an address: the heading to read is the code's in `docs/errors.md`."""


def problem(error: ProxyError, upstream: str, *, minor: int, close: bool, to_head: bool) -> bytes:
    """Return a whole answer: head and body. `upstream` is "" before one is known."""
    body = json.dumps(
        {
            "type": TYPE_PREFIX + error.code,
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "code": error.code,
            "upstream": upstream,
        },
        indent=1,
    ).encode()
    lines = [
        f"HTTP/1.1 {error.status} {_reason(error.status)}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        f"Proxy-Status: token-proxy; error={error.proxy_status}",
        "Cache-Control: no-store",
    ]
    if error.status == 405:
        lines.append(ALLOW)
    if error.wants_retry_after:
        lines.append(f"Retry-After: {max(1, math.ceil(error.retry_after_seconds or 1))}")
    if close:
        lines.append("Connection: close")
    elif minor == 0:
        lines.append("Connection: keep-alive")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
    return head if to_head else head + body


def options() -> bytes:
    """Return the answer to OPTIONS that is to go no further; the connection ends with it."""
    lines = ("HTTP/1.1 200 OK", ALLOW, "Content-Length: 0", "Connection: close", "", "")
    return "\r\n".join(lines).encode("ascii")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
