"""`proxy.telemetry.ecs`: lines in the names, units and types of the Elastic Common Schema."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from proxy.telemetry import ecs
from proxy.telemetry.log import Log

AT = 1_760_000_000.2504
KEYWORD, LONG = str, int
# As the field reference has them; wildcard, text and match_only_text are text in JSON too.
ECS_TYPES: dict[str, type] = {
    "error.code": KEYWORD,
    "error.message": KEYWORD,
    "error.stack_trace": KEYWORD,
    "error.type": KEYWORD,
    "event.action": KEYWORD,
    "event.duration": LONG,
    "trace.id": KEYWORD,
    "http.request.body.bytes": LONG,
    "http.request.method": KEYWORD,
    "http.response.body.bytes": LONG,
    "http.response.status_code": LONG,
    "log.logger": KEYWORD,
    "service.version": KEYWORD,
    "url.path": KEYWORD,
}


def a_log(stream: io.StringIO) -> Log:
    return Log(format="ecs", level="debug", access="all", stream=stream, wall=lambda: AT)


def the_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    found: dict[str, Any] = json.loads(line, parse_constant=pytest.fail)
    return found


def test_time_level_and_message_come_first_then_whose_line_it_is() -> None:
    stream = io.StringIO()
    a_log(stream).warning("token_rejected", "said no", audience="orders", times=3)
    assert list(the_line(stream).items()) == [
        ("@timestamp", "2025-10-09T08:53:20.250Z"),
        ("log.level", "warning"),
        ("message", "said no"),
        ("ecs.version", ecs.VERSION),
        ("service.name", "token-proxy"),
        ("event.action", "token_rejected"),
        ("tokenproxy.audience", "orders"),
        ("tokenproxy.times", 3),
    ]


def test_an_access_line_goes_by_the_names_that_ecs_has() -> None:
    stream = io.StringIO()
    a_log(stream).access(
        upstream="orders",
        method="GET",
        path="/orders",
        status=504,
        origin="proxy",
        code="upstream_timeout",
        detail="no answer came",
        audience=None,
        duration_seconds=1.000000002,
        upstream_seconds=2,
        bytes_in=0,
        bytes_out=17,
    )
    line = the_line(stream)
    assert dict(list(line.items())[3:]) == {
        "ecs.version": ecs.VERSION,
        "service.name": "token-proxy",
        "event.action": "request",
        "tokenproxy.upstream": "orders",
        "http.request.method": "GET",
        "url.path": "/orders",
        "http.response.status_code": 504,
        "tokenproxy.origin": "proxy",
        "error.code": "upstream_timeout",
        "error.message": "no answer came",
        "event.duration": 1_000_000_000,
        "tokenproxy.upstream_seconds": 2.0,
        "http.request.body.bytes": 0,
        "http.response.body.bytes": 17,
    }
    for name, value in line.items():
        assert type(value) is ECS_TYPES.get(name, type(value)), name


@pytest.mark.parametrize("seconds", [0, 0.25, 3, 1e-6, 0.1 + 0.2])
def test_a_duration_is_a_whole_number_of_nanoseconds(seconds: float) -> None:
    stream = io.StringIO()
    a_log(stream).info("e", "m", duration_seconds=seconds)
    nanoseconds = the_line(stream)["event.duration"]
    assert type(nanoseconds) is int
    assert nanoseconds == round(round(seconds, 6) * 1e9)


def test_seconds_are_of_one_type_whatever_their_value() -> None:
    """An index whose first document had a whole number would cut all others."""
    stream = io.StringIO()
    a_log(stream).info("e", "m", retry_in_seconds=10, lifetime_seconds=float("nan"))
    assert '"tokenproxy.retry_in_seconds": 10.0' in stream.getvalue()
    assert "lifetime_seconds" not in stream.getvalue()


def test_every_name_of_the_table_is_one_that_ecs_has() -> None:
    assert set(ecs.NAMES.values()) <= set(ECS_TYPES)


def quoting(secret: str) -> None:
    raise ValueError(secret)


def test_an_exception_is_an_error_with_type_and_stack() -> None:
    stream = io.StringIO()
    try:
        quoting("Bearer canary")
    except ValueError as error:
        a_log(stream).exception("internal_error", "it broke", error)
    line = the_line(stream)
    assert line["error.type"] == "ValueError"
    assert line["error.stack_trace"].startswith("test_log_ecs.py:")
    assert "canary" not in stream.getvalue()


def test_what_a_library_logs_has_the_librarys_name() -> None:
    stream = io.StringIO()
    a_log(stream).library("aiohttp.admin").warning("odd %r", "canary")
    line = the_line(stream)
    assert line["log.logger"] == "aiohttp.admin"
    assert "canary" not in stream.getvalue()


@pytest.mark.parametrize("character", ["\n", "\x1b", "\u202e"])
def test_no_value_can_forge_a_line(character: str) -> None:
    stream = io.StringIO()
    a_log(stream).info("e", f"one{character}two", path=f"/a{character}b")
    line = the_line(stream)
    assert line["url.path"] == "/a\N{REPLACEMENT CHARACTER}b"
    assert line["message"] == "one\N{REPLACEMENT CHARACTER}two"
