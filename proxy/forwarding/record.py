"""What is left of a request when it is over: a count, a line and a span where wanted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.telemetry.tracing import ExchangeOver

if TYPE_CHECKING:
    from proxy.errors import ProxyError
    from proxy.forwarding.caller_request import CallerRequest
    from proxy.forwarding.head import RequestHead
    from proxy.telemetry.facts import Telemetry
    from proxy.telemetry.upstream import Origin

_TRACEPARENT = re.compile(
    r"(?!ff)(?!00.{54})[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
"""W3C Trace Context §3.2: ids of zeros are none; later versions may have more behind."""


def note(
    telemetry: Telemetry,
    request: CallerRequest,
    *,
    own_status: int,
    error: ProxyError | None,
    seconds: float,
) -> None:
    """Count the request and, where wanted, write its line into the access log and make its span.

    `own_status` is what the request counts as if no answer of an upstream was begun.
    """
    exchange = request.exchange
    facts = request.facts
    origin: Origin = "proxy"
    status = own_status
    if exchange is not None and exchange.answer_begun:
        origin = "upstream"
        status = exchange.status
    head = request.head
    method = request.method
    facts.request_finished(method, status, origin, seconds)
    log = telemetry.log
    # An answer that was broken off is an error of ours, whatever its status said.
    if log.wants_access(status if error is None else error.status, origin):
        log.access(
            upstream=facts.name,
            method=method,
            # Not the target as it came: an absolute one may hold somebody's password.
            path=None if head is None else head.path.decode("ascii", "replace"),
            status=status,
            origin=origin,
            code=None if error is None else error.code,
            # Our own sentence: `overloaded` alone does not say which limit it was.
            detail=None if error is None else error.detail,
            audience=None if exchange is None else exchange.audience,
            trace_id=_trace_id(head),
            duration_seconds=round(seconds, 6),
            upstream_seconds=None if exchange is None else exchange.response_seconds,
            bytes_in=0 if exchange is None else exchange.request_bytes,
            bytes_out=0 if exchange is None else exchange.answer_bytes,
        )
    if telemetry.tracing is not None:
        telemetry.tracing.exchange(
            _over(request, status=status, origin=origin, error=error, seconds=seconds)
        )


def _over(
    request: CallerRequest,
    *,
    status: int,
    origin: Origin,
    error: ProxyError | None,
    seconds: float,
) -> ExchangeOver:
    head = request.head
    exchange = request.exchange
    url = None if exchange is None else exchange.lane.route.url
    return ExchangeOver(
        upstream=request.facts.name,
        method=request.method,
        path=None if head is None else head.path.decode("ascii", "replace"),
        status=status,
        origin=origin,
        seconds=seconds,
        code=None if error is None else error.code,
        detail=None if error is None else error.detail,
        audience=None if exchange is None else exchange.audience,
        upstream_address=None if url is None else f"{url.host}:{url.port}",
        upstream_seconds=None if exchange is None else exchange.response_seconds,
        traceparent=_values(head, b"traceparent"),
        tracestate=_values(head, b"tracestate"),
    )


def _trace_id(head: RequestHead | None) -> str | None:
    """Return the trace that a request belongs to, by its caller's word; None if it has none."""
    values = _values(head, b"traceparent")
    found = _TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    return None if found is None else found[1]


def _values(head: RequestHead | None, name: bytes) -> list[str]:
    if head is None or name not in head.names:
        return []
    return [
        line.partition(b":")[2].strip().decode("latin-1")
        for each, line in zip(head.names, head.lines, strict=True)
        if each == name
    ]
