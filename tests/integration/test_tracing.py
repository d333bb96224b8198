"""Spans of the real process, sent to a collector on a real socket and decoded there."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from faults.token_server import TokenServer, configuration, eventually, refusal
from integration.otlp_receiver import CALLER, Collector, surroundings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.otlp_receiver import Span
    from integration.proxy_process import StartProxy
    from integration.recording_upstream import RecordingUpstream

CLOSED = "http://127.0.0.1:1"
CANARIES = ("s3cr3t-canary", "token-canary", "query-canary", "cookie-canary")
FIELDS = [b"TraceParent: " + CALLER.encode(), b"tracestate: a=1,b=%20x", b"tracestate: c=3"]
FIELDS += [b"Baggage: user=1;p=2 , x=%C3%A9", b"baggage: y=2"]


@pytest.fixture
async def token_server() -> AsyncIterator[TokenServer]:
    async with TokenServer() as server:
        server.answer = lambda asked: server.grant(asked, "token-canary")
        yield server


def settings(server: TokenServer, upstream: RecordingUpstream) -> dict[str, Any]:
    return configuration(server, upstream.url, admin={"listen": "127.0.0.1:0"})


async def ask(url: str, path: str, *fields: bytes) -> int:
    """Send one request byte for byte; return its status."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [b"GET %b HTTP/1.1" % path.encode(), b"Host: localhost", *fields, b"Connection: close"]
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
    status = int((await reader.readline()).split()[1])
    await reader.read()
    writer.close()
    return status


def named(collector: Collector, name: str) -> list[Span]:
    return [span for span in collector.spans if span.name == name]


@pytest.mark.parametrize("traced", [False, True], ids=["off", "on"])
async def test_trace_fields_pass_untouched_whether_or_not_we_trace(
    start_proxy: StartProxy, token_server: TokenServer, upstream: RecordingUpstream, *, traced: bool
) -> None:
    async with Collector() as collector:
        proxy = await start_proxy(
            settings(token_server, upstream),
            environment=collector.environment() if traced else None,
        )
        assert await ask(proxy.url, "/", *FIELDS) == 200
        assert await ask(proxy.url, "/") == 200
        assert await proxy.stop() == 0
        assert bool(collector.spans) is traced
    with_fields, without = upstream.requests
    got = [line for line in with_fields.head if b"trace" in line.lower() or b"agg" in line.lower()]
    assert got == FIELDS
    assert not [line for line in without.head if b"trace" in line.lower() or b"agg" in line.lower()]


async def test_a_span_tells_of_each_request_and_each_fetch_and_of_no_secret(
    start_proxy: StartProxy, token_server: TokenServer, upstream: RecordingUpstream
) -> None:
    async with Collector() as collector:
        proxy = await start_proxy(
            settings(token_server, upstream), environment=collector.environment()
        )
        cookie = b"Cookie: cookie-canary"
        assert await ask(proxy.url, "/a%20b?x=query-canary", FIELDS[0], cookie) == 200
        assert await ask(proxy.url, "/nobody", b"Sec-Fetch-Site: cross-site") == 403
        assert await proxy.stop() == 0
        (answered,), (refused,) = named(collector, "GET api"), named(collector, "GET")
        (fetch,) = named(collector, "token orders")
        sent = b"".join(request.body for request in collector.requests)
    assert f"00-{answered.trace_id}-{answered.parent_id}-01" == CALLER
    assert answered.attributes.pop("tokenproxy.upstream_seconds") >= 0
    assert answered.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/a%20b",
        "tokenproxy.upstream": "api",
        "tokenproxy.upstream_address": upstream.url.removeprefix("http://"),
        "tokenproxy.audience": "orders",
        "tokenproxy.origin": "upstream",
    }
    assert answered.resource["service.name"] == "token-proxy"
    now = time.time()  # noqa: TID251 - spans tell wall time
    assert now - 120 < answered.started_at <= answered.ended_at <= now
    assert refused.parent_id == ""
    assert refused.attributes["tokenproxy.code"] == "browser_refused"
    assert refused.attributes["tokenproxy.origin"] == "proxy"
    assert fetch.attributes["tokenproxy.result"] == "success"
    assert not [canary for canary in CANARIES if canary.encode() in sent]
    assert proxy.events("tracing")[0]["collector"] == collector.server.url


async def test_a_refused_grant_is_one_story_in_both_spans(
    start_proxy: StartProxy, token_server: TokenServer, upstream: RecordingUpstream
) -> None:
    token_server.answer = lambda _asked: refusal("invalid_client", error_description="canary")
    async with Collector() as collector:
        proxy = await start_proxy(
            settings(token_server, upstream), environment=collector.environment()
        )
        assert await ask(proxy.url, "/") == 502
        assert await proxy.stop() == 0
        (request,), fetches = named(collector, "GET api"), named(collector, "token orders")
        sent = b"".join(each.body for each in collector.requests)
    assert upstream.requests == []
    for span in (request, fetches[0]):
        assert span.failed
        assert span.attributes["tokenproxy.code"] == "grant_refused"
        assert span.attributes["error.type"] == "grant_refused"
        assert span.attributes["tokenproxy.audience"] == "orders"
    assert "tokenproxy.upstream_seconds" not in request.attributes
    assert b"canary" not in sent


async def test_a_callers_wish_not_to_be_traced_is_heeded(
    start_proxy: StartProxy, token_server: TokenServer, upstream: RecordingUpstream
) -> None:
    async with Collector() as collector:
        proxy = await start_proxy(
            settings(token_server, upstream), environment=collector.environment()
        )
        unsampled = CALLER.removesuffix("01") + "00"
        assert await ask(proxy.url, "/", b"traceparent: " + unsampled.encode()) == 200
        assert await proxy.stop() == 0
        assert [span.name for span in collector.spans] == ["token orders"]


async def test_a_collector_that_is_down_costs_no_request_and_two_lines(
    start_proxy: StartProxy, token_server: TokenServer, upstream: RecordingUpstream
) -> None:
    # A short timeout: only then does the exporter say that it has failed.
    environment = surroundings(CLOSED, OTEL_EXPORTER_OTLP_TIMEOUT="0.2")
    proxy = await start_proxy(settings(token_server, upstream), environment=environment)
    assert await many(proxy.url, 300) == {200}
    await eventually(lambda: bool(proxy.events("tracing_export_failed")))
    assert await proxy.stop() == 0
    (failed,) = proxy.events("tracing_export_failed")
    assert failed["detail"] == "Connection refused"
    assert not proxy.events("library")
    assert {event["event"] for event in proxy.events()} >= {"stopped"}


async def test_a_collector_that_hangs_costs_no_request_and_does_not_hold_up_the_end(
    start_proxy: StartProxy, token_server: TokenServer, upstream: RecordingUpstream
) -> None:
    held = asyncio.Event()

    async def hang(_request: object, _writer: object) -> None:
        await held.wait()

    async with Collector() as collector:
        collector.server.answer = hang
        # By itself the exporter would wait for ten minutes.
        more = {"OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "32"}
        environment = collector.environment(OTEL_EXPORTER_OTLP_TIMEOUT="600", **more)
        proxy = await start_proxy(settings(token_server, upstream), environment=environment)
        await eventually(lambda: bool(collector.requests))
        assert await many(proxy.url, 300) == {200}
        assert await proxy.stop() == 0
        held.set()
    assert len(proxy.events("tracing_spans_dropped")) == 1
    assert proxy.events("tracing_incomplete")[0]["spans"] == 64
    assert proxy.events()[-1]["event"] == "stopped"


async def test_grpc_is_declined_with_one_warning_and_requests_go_on(
    start_proxy: StartProxy, token_server: TokenServer, upstream: RecordingUpstream
) -> None:
    environment = surroundings(CLOSED, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    proxy = await start_proxy(settings(token_server, upstream), environment=environment)
    assert await many(proxy.url, 3) == {200}
    assert await proxy.stop() == 0
    (event,) = proxy.events("tracing_off")
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" in event["message"]
    assert not proxy.events("tracing")


async def many(url: str, count: int) -> set[int]:
    """Send so many requests, one after another; return the statuses seen."""
    statuses: set[int] = set()
    arguments: dict[str, Any] = {"headers": {"traceparent": CALLER}}
    async with aiohttp.ClientSession() as session:
        for _ in range(count):
            async with session.get(url, **arguments) as answer:
                statuses.add(answer.status)
                await answer.read()
    return statuses
