"""A collector on loopback: takes OTLP over HTTP on a real socket and decodes what it is sent.

The messages are read with the protocol's own definitions (`opentelemetry-proto`), not with the
code that wrote them.
"""

from __future__ import annotations

import gzip
from typing import Any, Self

from integration.recording_upstream import RecordedRequest, RecordingUpstream
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""A caller's `traceparent`: its trace, its span, and that it is sampled."""


class Span:
    """One span as it was received; `attributes` and `resource` hold plain values."""

    def __init__(self, span: Any, resource: Any) -> None:
        self.name: str = span.name
        self.kind: int = span.kind
        self.trace_id: str = span.trace_id.hex()
        self.parent_id: str = span.parent_span_id.hex()
        self.trace_state: str = span.trace_state
        self.failed: bool = span.status.code == span.status.STATUS_CODE_ERROR
        self.message: str = span.status.message
        self.started_at: float = span.start_time_unix_nano / 1e9
        self.ended_at: float = span.end_time_unix_nano / 1e9
        self.attributes = _plain(span.attributes)
        self.resource = _plain(resource.attributes)


def _plain(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class Collector:
    """`async with Collector() as collector`; `answer` may be changed as an upstream's."""

    def __init__(self) -> None:
        self.server = RecordingUpstream()

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.server.__aexit__(*raised)

    @property
    def requests(self) -> list[RecordedRequest]:
        return self.server.requests

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables that send spans here, without keeping them for long."""
        return surroundings(self.server.url, **more)

    @property
    def spans(self) -> list[Span]:
        """What came so far, in the order in which it came."""
        return [
            Span(span, of_resource.resource)
            for request in self.requests
            for of_resource in message(request).resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]


def message(request: RecordedRequest) -> Any:
    body = request.body
    if request.values("Content-Encoding") == [b"gzip"]:
        body = gzip.decompress(body)
    return ExportTraceServiceRequest.FromString(body)


def surroundings(url: str, **more: str) -> dict[str, str]:
    """Return the variables that send spans to `url`."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "20"} | more
