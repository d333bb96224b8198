"""Refusals of what is no proper request, in our words; nothing of the caller's is echoed. Pure."""

from __future__ import annotations

from typing import Literal

from proxy.errors import Fault, ProxyError


def head_too_large(
    limit: Literal["head_bytes_max", "header_fields_max"] = "head_bytes_max",
) -> ProxyError:
    """Return the error for a head beyond a limit."""
    return ProxyError(Fault.HEAD_TOO_LARGE, f"the head exceeds limits.{limit}", limit=limit)


def too_many_connections() -> ProxyError:
    """Return the error for a caller's connection beyond the limit."""
    return ProxyError(
        Fault.OVERLOADED,
        "limits.connections_max is reached, or what the descriptors of this process allow",
        retry_after_seconds=1,
        limit="connections_max",
    )


def head_too_slow() -> ProxyError:
    """Return the error for a head that does not come."""
    return ProxyError(
        Fault.BAD_REQUEST,
        "the head did not come within limits.head_seconds",
        status=408,
        limit="head_seconds",
    )


def body_too_large() -> ProxyError:
    """Return the error for a body beyond the limit."""
    return ProxyError(
        Fault.BODY_TOO_LARGE, "the body exceeds limits.body_bytes_max", limit="body_bytes_max"
    )


def broken_body(what: str) -> ProxyError:
    """Return the error for a body that cannot be read to its end."""
    return ProxyError(Fault.BAD_REQUEST, f"the request's body {what}")
