"""A span per request and per token fetch, made when it is over, by the OpenTelemetry SDK.

Imported only if tracing is on. Rules. A span is made after the fact, with both its times, so that
nothing is carried along a request's way. Names and words are those of log and metrics; a span
holds no header, no query, no token, no URL of an authorization server. Nothing here raises into a
request or waits: a span that finds the queue full is dropped before it is made.

A request's span is of kind SERVER: it is the caller's request as it was answered here, a refusal
has no upstream at all, and a 4xx is no failure of ours. The caller's `traceparent` passes to the
upstream untouched, so the upstream's own span is a sibling of ours.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import Status, StatusCode

from proxy import __version__
from proxy.telemetry.log import clean
from proxy.telemetry.repeats import Occurrences
from proxy.telemetry.span_export import Export, LibraryLogs, in_time
from proxy.telemetry.upstream import METHODS, OTHER

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.util.types import AttributeValue

    from proxy.telemetry.facts import Telemetry
    from proxy.telemetry.fetches import FetchOver
    from proxy.telemetry.tracing import ExchangeOver

FLUSH_SECONDS_MAX = 2.0
"""What is still to be sent at the end gets so long; the process ends then."""
_TRACESTATE_MAX = 512
_NO_PARENT = Context()


class Spans:
    """Makes spans and has them sent. Raises what the SDK raises at unusable `OTEL_` variables."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._wall = telemetry.wall
        self._log = telemetry.log
        self._logs = LibraryLogs(telemetry.log)
        try:
            self._export = Export(telemetry.log)
            # Not the SDK's own end at exit, which may take half a minute.
            self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(self._export))
            self._tracer = self._provider.get_tracer("token-proxy", __version__)
        except BaseException:
            self._logs.close()
            raise
        self._propagator = TraceContextTextMapPropagator()
        self._dropped = Occurrences()
        telemetry.fetches.observer = self.fetch

    def exchange(self, over: ExchangeOver) -> None:
        """Make the span of a request that ended just now."""
        if not self._has_room():
            return
        try:
            self._make(
                f"{'HTTP' if over.method not in METHODS else over.method} {over.upstream}".rstrip(),
                SpanKind.SERVER,
                parent=self._parent(over) if len(over.traceparent) == 1 else _NO_PARENT,
                ended_at=self._wall(),
                seconds=over.seconds,
                attributes=partial(_attributes, over),
                failed=_failed(over),
                detail=over.detail,
            )
        except Exception as error:  # noqa: BLE001 - a fault of tracing costs a span, no request
            self._note_fault(error)

    def fetch(self, over: FetchOver) -> None:
        """Make the span of a token fetch that ended just now; nobody's child: all callers wait."""
        if not self._has_room():
            return
        try:
            self._make(
                f"token {over.audience}",
                SpanKind.CLIENT,
                parent=_NO_PARENT,
                ended_at=over.ended_at,
                seconds=over.seconds,
                attributes=partial(_attributes_of_fetch, over),
                failed=over.code is not None,
                detail=None,
            )
        except Exception as error:  # noqa: BLE001 - nor does it cost a token
            self._note_fault(error)

    async def close(self, flush_seconds_max: float = FLUSH_SECONDS_MAX) -> None:
        """Send what is left, for so long at most, and make no more spans."""
        self._telemetry.tracing = None
        self._telemetry.fetches.observer = None
        if await in_time(self._shut_down, flush_seconds_max):
            self._logs.close()
        else:
            # The thread goes on until the process ends; what it says is no longer of interest.
            self._export.give_up()
            self._logs.mute()
            self._log.warning(
                "tracing_incomplete",
                "the collector did not take the last spans in time",
                spans=self._export.outstanding,
            )

    def _shut_down(self) -> None:
        try:
            self._provider.shutdown()
        except Exception as error:  # noqa: BLE001 - the process ends, whatever it is
            self._note_fault(error)

    def _make(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: Context,
        ended_at: float,
        seconds: float,
        attributes: Callable[[], dict[str, AttributeValue]],
        failed: bool,
        detail: str | None,
    ) -> None:
        end_time = int(ended_at * 1e9)
        span = self._tracer.start_span(
            name,
            context=parent,
            kind=kind,
            start_time=end_time - int(seconds * 1e9),
        )
        # Only now, as most spans may be none: the samplers that the environment can name go by the
        # trace alone.
        if not span.is_recording():
            return
        span.set_attributes(attributes())
        if failed:
            span.set_status(Status(StatusCode.ERROR, None if detail is None else clean(detail)))
        if span.get_span_context().trace_flags.sampled:
            self._export.coming(1)
        span.end(end_time)

    def _parent(self, over: ExchangeOver) -> Context:
        carrier = {"traceparent": list(over.traceparent)}
        # What is longer need not be kept (Trace Context §3.3.1.5), and takes long to read.
        if over.tracestate and sum(map(len, over.tracestate)) <= _TRACESTATE_MAX:
            carrier["tracestate"] = list(over.tracestate)
        return self._propagator.extract(carrier, context=_NO_PARENT)

    def _has_room(self) -> bool:
        if self._export.has_room():
            return True
        times = self._dropped.happened(time.monotonic())
        if times:
            self._log.warning(
                "tracing_spans_dropped",
                "spans come faster than the collector takes them, some are dropped",
                times=times,
            )
        return False

    def _note_fault(self, error: Exception) -> None:
        self._log.exception("internal_error", "a fault of tracing cost a span", error)


def _resource() -> Resource:
    """Return what the environment says of this process; where it is silent, what we know."""
    told = Resource.create()
    ours = Resource({SERVICE_VERSION: __version__})
    # The SDK's own default names the interpreter.
    if str(told.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        return ours.merge(told).merge(Resource({SERVICE_NAME: "token-proxy"}))
    return ours.merge(told)


def _failed(over: ExchangeOver) -> bool:
    """Say whether it failed: a 5xx, or an upstream's answer that broke off."""
    return over.status >= 500 or (over.code is not None and over.origin == "upstream")


def _attributes(over: ExchangeOver) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "http.request.method": over.method if over.method in METHODS else OTHER,
        "http.response.status_code": over.status,
        "url.scheme": "http",
        "tokenproxy.origin": over.origin,
    }
    optional: dict[str, AttributeValue | None] = {
        # Cut, as whole paths of 64 KiB would fill the memory while a collector hangs.
        "url.path": None if over.path is None else clean(over.path),
        "tokenproxy.upstream": over.upstream or None,
        "tokenproxy.upstream_address": over.upstream_address,
        "tokenproxy.upstream_seconds": over.upstream_seconds,
        "tokenproxy.audience": over.audience,
        "tokenproxy.code": over.code,
        "error.type": (over.code or str(over.status)) if _failed(over) else None,
    }
    attributes |= {name: value for name, value in optional.items() if value is not None}
    return attributes


def _attributes_of_fetch(over: FetchOver) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "tokenproxy.audience": over.audience,
        "tokenproxy.reason": over.reason,
        "tokenproxy.result": over.result,
    }
    if over.code is not None:
        attributes |= {"tokenproxy.code": over.code, "error.type": over.code}
    return attributes
