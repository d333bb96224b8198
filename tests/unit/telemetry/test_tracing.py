from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults.token_server import eventually
from integration.otlp_receiver import CALLER, Collector, surroundings
from integration.recording_upstream import response

from proxy import __version__
from proxy.telemetry.facts import Telemetry
from proxy.telemetry.fetches import FetchOver
from proxy.telemetry.tracing import ExchangeOver, start_tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Clock, Lines  # type: ignore[import-not-found]

    from proxy.telemetry.log import Log
    from proxy.telemetry.spans import Spans

ROOT = Path(__file__).parents[3]
WALL_AT_START = 1_760_000_000.25
SERVER, CLIENT = 2, 3
CLOSED = "http://127.0.0.1:1"
OVER = ExchangeOver(
    upstream="orders",
    method="GET",
    path="/orders/1",
    status=200,
    origin="upstream",
    seconds=0.5,
    audience="orders",
    upstream_address="api.example.com:443",
    upstream_seconds=0.25,
    traceparent=[CALLER],
)
REFUSED = replace(
    OVER, status=503, origin="proxy", code="overloaded", detail="a limit", upstream_seconds=None
)


@pytest.fixture
def no_otel(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Take away what this machine has set for its own programs."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    return monkeypatch


@asynccontextmanager
async def tracing(
    telemetry: Telemetry, patch: pytest.MonkeyPatch, environment: dict[str, str]
) -> AsyncIterator[Spans]:
    """Trace for the block's length, configured as a process is: the SDK reads `os.environ`."""
    for name, value in environment.items():
        patch.setenv(name, value)
    start_tracing(telemetry, environment)()
    assert telemetry.tracing is not None
    yield telemetry.tracing
    if telemetry.tracing is not None:
        await telemetry.tracing.close()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_SERVICE_NAME": "orders", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        surroundings(CLOSED, OTEL_SDK_DISABLED="true"),
        surroundings(CLOSED, OTEL_TRACES_EXPORTER="none"),
        surroundings(CLOSED, OTEL_TRACES_EXPORTER="console"),
    ],
    ids=str,
)
def test_without_an_endpoint_there_are_no_spans_and_no_word_of_it(
    telemetry: Telemetry, lines: Lines, environment: dict[str, str]
) -> None:
    start_tracing(telemetry, environment)()
    assert telemetry.tracing is None
    telemetry.log.flush()
    assert lines.names() == []


def program(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        cwd=ROOT,
        env={"PATH": "", "PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


START = """
    import os, sys, time
    import proxy.app, proxy.commands.run
    from proxy.telemetry.facts import Telemetry
    from proxy.telemetry.log import Log
    from proxy.telemetry.tracing import start_tracing
    log = Log(format="text", level="debug", access="off", stream=sys.stdout, wall=time.time)
    telemetry = Telemetry(
        upstreams=[], audiences=[], log=log, wall=time.time, monotonic=time.monotonic
    )
    start_tracing(telemetry, os.environ)()
    log.flush()
    loaded = {name.partition(".")[0] for name in sys.modules}
    foreign = loaded & {"opentelemetry", "requests", "urllib3", "google"}
    print(telemetry.tracing is not None, sorted(foreign))
"""


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    off = program(START)
    assert (off.stdout, off.stderr) == ("False []\n", "")
    on = program(START, **surroundings(CLOSED))
    assert on.stdout.endswith("True ['google', 'opentelemetry', 'requests', 'urllib3']\n"), on


def test_an_endpoint_without_the_extra_is_one_warning_that_says_what_to_install() -> None:
    without = "import sys; sys.modules['opentelemetry'] = None\n" + textwrap.dedent(START)
    done = program(without, **surroundings(CLOSED))
    warning, result = done.stdout.splitlines()
    assert 'pip install "token-proxy[otel]"' in warning
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set" in warning
    assert "missing=opentelemetry" in warning
    assert result.startswith("False")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (
            surroundings(CLOSED, OTEL_EXPORTER_OTLP_PROTOCOL="grpc"),
            "OTEL_EXPORTER_OTLP_PROTOCOL asks",
        ),
        (
            surroundings(CLOSED, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/json"),
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL asks",
        ),
        (surroundings("collector:4318"), "OTEL_EXPORTER_OTLP_ENDPOINT should be a URL"),
        (surroundings("http://"), "OTEL_EXPORTER_OTLP_ENDPOINT should be a URL"),
        (surroundings("http://[::1"), "OTEL_EXPORTER_OTLP_ENDPOINT should be a URL"),
        (
            surroundings(CLOSED, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="collector"),
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT should be a URL",
        ),
        (surroundings(CLOSED, OTEL_BSP_MAX_QUEUE_SIZE="0"), "max_queue_size"),
        (
            surroundings(CLOSED, OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="many"),
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        ),
    ],
)
def test_what_is_wrong_with_the_variables_is_said_once_and_the_proxy_runs(
    telemetry: Telemetry,
    lines: Lines,
    no_otel: pytest.MonkeyPatch,
    environment: dict[str, str],
    words: str,
) -> None:
    for name, value in environment.items():
        no_otel.setenv(name, value)
    handlers = [*logging.getLogger("opentelemetry").handlers]
    start_tracing(telemetry, environment)()
    assert telemetry.tracing is None
    telemetry.log.flush()
    (event,) = lines.events()
    assert (event["event"], event["level"]) == ("tracing_off", "warning")
    assert words in event["message"]
    assert telemetry.fetches.observer is None
    # None more than a test before may have left behind, whose collector hung.
    assert {*logging.getLogger("opentelemetry").handlers} <= {*handlers}


async def test_the_start_names_the_collector_without_what_is_secret_in_its_url(
    telemetry: Telemetry, lines: Lines, no_otel: pytest.MonkeyPatch
) -> None:
    environment = surroundings("http://user:pass-canary@127.0.0.1:1/path-canary?key=canary")
    async with tracing(telemetry, no_otel, environment):
        pass
    telemetry.log.flush()
    (event,) = lines.events()
    assert (event["event"], event["collector"]) == ("tracing", "http://127.0.0.1:1")
    assert "canary" not in lines.getvalue()


async def test_a_request_becomes_a_span_below_its_callers(
    telemetry: Telemetry, clock: Clock, no_otel: pytest.MonkeyPatch
) -> None:
    async with Collector() as collector:
        async with tracing(telemetry, no_otel, collector.environment()) as spans:
            clock.advance(10)
            spans.exchange(replace(OVER, tracestate=["a=1", "b=2"]))
        (span,) = collector.spans
        assert collector.requests[0].target == b"/v1/traces"
    assert (span.name, span.kind) == ("GET orders", SERVER)
    assert f"00-{span.trace_id}-{span.parent_id}-01" == CALLER
    assert span.trace_state == "a=1,b=2"
    assert span.ended_at == pytest.approx(WALL_AT_START + 10, abs=1e-5)
    assert span.started_at == pytest.approx(WALL_AT_START + 9.5, abs=1e-5)
    assert (span.failed, span.message) == (False, "")
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/orders/1",
        "tokenproxy.upstream": "orders",
        "tokenproxy.upstream_address": "api.example.com:443",
        "tokenproxy.upstream_seconds": 0.25,
        "tokenproxy.audience": "orders",
        "tokenproxy.origin": "upstream",
    }


@pytest.mark.parametrize(
    ("over", "name", "error_type", "message"),
    [
        (REFUSED, "GET orders", "overloaded", "a limit"),
        (replace(OVER, status=502), "GET orders", "502", ""),
        (
            replace(OVER, code="upstream_misspoke", detail="cut"),
            "GET orders",
            "upstream_misspoke",
            "cut",
        ),
        (replace(OVER, status=404), "GET orders", None, ""),
        (replace(OVER, status=499, origin="proxy"), "GET orders", None, ""),
        (replace(REFUSED, status=404, code="no_route", upstream=""), "GET", None, ""),
        (replace(OVER, method="BREW"), "HTTP orders", None, ""),
    ],
)
async def test_a_span_failed_when_a_5xx_was_answered_or_an_answer_broke_off(
    telemetry: Telemetry,
    no_otel: pytest.MonkeyPatch,
    over: ExchangeOver,
    name: str,
    error_type: str | None,
    message: str,
) -> None:
    async with Collector() as collector:
        async with tracing(telemetry, no_otel, collector.environment()) as spans:
            spans.exchange(over)
        (span,) = collector.spans
    assert span.name == name
    assert span.failed is (error_type is not None)
    assert span.message == message
    assert span.attributes.get("error.type") == error_type
    assert span.attributes.get("tokenproxy.code") == over.code
    assert span.attributes["http.response.status_code"] == over.status
    assert span.attributes["http.request.method"] == ("_OTHER" if over.method == "BREW" else "GET")


@pytest.mark.parametrize(
    ("traceparent", "kept"),
    [
        ([CALLER], True),
        ([CALLER.replace("-01", "-00")], None),
        ([], False),
        ([CALLER, CALLER], False),
        ([CALLER.upper()], False),
        (["00-" + "0" * 32 + "-b7ad6b7169203331-01"], False),
        (["x" * 60_000], False),
        (["\x80é"], False),
    ],
)
async def test_a_callers_trace_is_joined_only_if_it_says_which(
    telemetry: Telemetry,
    no_otel: pytest.MonkeyPatch,
    traceparent: list[str],
    kept: bool | None,  # noqa: FBT001 - None: it asked for no spans
) -> None:
    async with Collector() as collector:
        async with tracing(telemetry, no_otel, collector.environment()) as spans:
            spans.exchange(replace(OVER, traceparent=traceparent))
        found = [span.parent_id == "b7ad6b7169203331" for span in collector.spans]
    assert found == ([] if kept is None else [kept])


async def test_what_is_odd_in_a_tracestate_is_not_logged_and_costs_no_span(
    telemetry: Telemetry, lines: Lines, no_otel: pytest.MonkeyPatch
) -> None:
    odd = [["canary"], ["a=1,a=canary"], ["canary" * 10_000], ["canary=1", "\x00"]] * 50
    async with Collector() as collector:
        async with tracing(telemetry, no_otel, collector.environment()) as spans:
            for each in odd:
                spans.exchange(replace(OVER, tracestate=each))
        assert len(collector.spans) == len(odd)
    telemetry.log.flush()
    assert "canary" not in lines.getvalue()
    assert 1 <= lines.names().count("library") <= 3


async def test_a_token_fetch_becomes_a_span_of_its_own(
    telemetry: Telemetry, no_otel: pytest.MonkeyPatch
) -> None:
    async with Collector() as collector:
        async with tracing(telemetry, no_otel, collector.environment()):
            telemetry.fetches.over(FetchOver(1_760_000_100.0, "orders", "miss", "success", 2.0))
            telemetry.fetches.over(
                FetchOver(1_760_000_200.0, "orders", "renewal", "refused", 1.0, "grant_refused")
            )
        granted, refused = sorted(collector.spans, key=lambda span: span.started_at)
    assert (granted.name, granted.kind, granted.parent_id) == ("token orders", CLIENT, "")
    assert (granted.started_at, granted.ended_at) == (1_760_000_098.0, 1_760_000_100.0)
    assert granted.attributes == {
        "tokenproxy.audience": "orders",
        "tokenproxy.reason": "miss",
        "tokenproxy.result": "success",
    }
    assert (granted.failed, refused.failed) == (False, True)
    assert refused.attributes["tokenproxy.code"] == "grant_refused"
    assert refused.attributes["error.type"] == "grant_refused"
    assert granted.trace_id != refused.trace_id


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "token-proxy"),
        ({"OTEL_SERVICE_NAME": "billing"}, "billing"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=orders,service.version=7"}, "orders"),
    ],
)
async def test_the_service_has_our_name_unless_it_was_given_another(
    telemetry: Telemetry, no_otel: pytest.MonkeyPatch, environment: dict[str, str], name: str
) -> None:
    async with Collector() as collector:
        async with tracing(telemetry, no_otel, collector.environment(**environment)) as spans:
            spans.exchange(OVER)
        (span,) = collector.spans
    assert span.resource["service.name"] == name
    assert span.resource["service.version"] == ("7" if name == "orders" else __version__)


async def test_proxies_of_the_environment_are_not_asked(
    telemetry: Telemetry, no_otel: pytest.MonkeyPatch
) -> None:
    proxied = {"http_proxy": CLOSED, "HTTP_PROXY": CLOSED, "ALL_PROXY": CLOSED, "no_proxy": ""}
    async with Collector() as collector:
        async with tracing(telemetry, no_otel, collector.environment(**proxied)) as spans:
            spans.exchange(OVER)
        assert len(collector.spans) == 1


async def test_headers_and_compression_are_the_sdks_to_read(
    telemetry: Telemetry, no_otel: pytest.MonkeyPatch
) -> None:
    more = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=abc",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }
    async with Collector() as collector:
        async with tracing(telemetry, no_otel, collector.environment(**more)) as spans:
            spans.exchange(OVER)
        assert collector.requests[0].values("api-key") == [b"abc"]
        assert collector.requests[0].values("Content-Encoding") == [b"gzip"]
        assert len(collector.spans) == 1


async def test_a_collector_that_refuses_is_told_of_once_with_its_status_and_so_is_its_return(
    telemetry: Telemetry, lines: Lines, no_otel: pytest.MonkeyPatch
) -> None:
    async with Collector() as collector:

        async def redirect(_request: object, writer: asyncio.StreamWriter) -> None:
            writer.write(response(status="302 Found", fields=("Location: /canary",)))

        async def refuse(_request: object, writer: asyncio.StreamWriter) -> None:
            writer.write(response(b"canary" * 100_000, status="404 Not Found"))

        answered = collector.server.answer
        async with tracing(telemetry, no_otel, collector.environment()) as spans:
            for count, answer in enumerate([redirect, refuse, refuse, answered], start=1):
                collector.server.answer = answer
                spans.exchange(OVER)
                await eventually(lambda count=count: len(collector.requests) == count)
                if count == 4:
                    await eventually(lambda: "tracing_export_recovered" in lines.names())
    telemetry.log.flush()
    _, failed, recovered = lines.events()
    assert (failed["event"], failed["level"]) == ("tracing_export_failed", "warning")
    assert failed["status"] == 302
    assert (recovered["failures"], recovered["spans_lost"]) == (3, 3)
    assert "canary" not in lines.getvalue()


async def test_a_collector_that_is_not_there_is_told_of_in_the_systems_words(
    telemetry: Telemetry, lines: Lines, no_otel: pytest.MonkeyPatch
) -> None:
    environment = surroundings(f"{CLOSED}/canary", OTEL_EXPORTER_OTLP_TIMEOUT="0.5")
    async with tracing(telemetry, no_otel, environment) as spans:
        spans.exchange(OVER)
        await eventually(lambda: "tracing_export_failed" in lines.names())
    telemetry.log.flush()
    _, failed = lines.events()
    assert (failed["error"], failed["detail"]) == ("ConnectionError", "Connection refused")
    assert "canary" not in lines.getvalue()


async def test_while_a_collector_hangs_no_more_wait_than_the_queue_holds_and_the_end_is_bounded(
    telemetry: Telemetry, lines: Lines, no_otel: pytest.MonkeyPatch
) -> None:
    hangs = asyncio.Event()

    async def hang(_request: object, writer: asyncio.StreamWriter) -> None:
        await hangs.wait()
        writer.write(response(status="404 Not Found"))

    async with Collector() as collector:
        collector.server.answer = hang
        few = {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10"}
        async with tracing(telemetry, no_otel, collector.environment(**few)) as spans:
            for _ in range(10):
                spans.exchange(OVER)
            await eventually(lambda: len(collector.requests) == 1)
            for _ in range(1000):
                spans.exchange(OVER)
            telemetry.fetches.over(FetchOver(1.0, "orders", "miss", "success", 1.0))
            await spans.close(0.1)
        hangs.set()
        await eventually(lambda: "tracing-end" not in [each.name for each in threading.enumerate()])
    telemetry.log.flush()
    names = lines.names()
    assert names == ["tracing", "tracing_spans_dropped", "tracing_incomplete"]
    assert lines.events()[2]["spans"] == 10


async def test_a_path_is_cut_before_it_is_kept(
    telemetry: Telemetry, no_otel: pytest.MonkeyPatch
) -> None:
    async with Collector() as collector:
        async with tracing(telemetry, no_otel, collector.environment()) as spans:
            spans.exchange(replace(OVER, path="/" + "a" * 60_000))
        (span,) = collector.spans
    assert len(span.attributes["url.path"]) == 512


async def test_a_fault_of_tracing_is_logged_once_and_costs_no_request(
    log: Log, lines: Lines, clock: Clock, no_otel: pytest.MonkeyPatch
) -> None:
    telemetry = Telemetry(
        upstreams=[],
        audiences=[],
        log=log,
        wall=lambda: float("nan"),
        monotonic=clock.monotonic,
    )
    async with Collector() as collector:
        async with tracing(telemetry, no_otel, collector.environment()) as spans:
            for _ in range(5):
                spans.exchange(OVER)
        assert collector.spans == []
    telemetry.log.flush()
    assert lines.names() == ["tracing", "internal_error"]


async def test_afterwards_the_librarys_loggers_are_as_they_were(
    telemetry: Telemetry, no_otel: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    before_root = list(root.handlers)
    loggers = [logging.getLogger(name) for name in ("opentelemetry", "urllib3")]
    before = [(list(logger.handlers), logger.propagate) for logger in loggers]
    async with Collector() as collector:
        async with tracing(telemetry, no_otel, collector.environment()):
            during = [(list(logger.handlers), logger.propagate) for logger in loggers]
            assert root.handlers == before_root
        assert during != before
    assert [(list(logger.handlers), logger.propagate) for logger in loggers] == before
    assert (telemetry.tracing, telemetry.fetches.observer) == (None, None)
