"""`proxy.telemetry.log`."""

from __future__ import annotations

import io
import json
import logging
import threading

import pytest

from proxy.telemetry.log import Log, clean, places

AT = 1_760_000_000.2504


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def a_log(stream: io.TextIOBase, **changes: str) -> Log:
    keys = {"format": "json", "level": "info", "access": "errors"} | changes
    return Log(stream=stream, wall=lambda: AT, **keys)


def test_a_json_line_has_time_level_event_and_message_first_then_the_fields() -> None:
    stream = io.StringIO()
    a_log(stream).warning("token_rejected", "said no", audience="orders", times=3, ok=True)
    assert list(json.loads(stream.getvalue()).items()) == [
        ("time", "2025-10-09T08:53:20.250Z"),
        ("level", "warning"),
        ("event", "token_rejected"),
        ("message", "said no"),
        ("audience", "orders"),
        ("times", 3),
        ("ok", True),
    ]


def test_a_text_line_is_for_a_reader() -> None:
    stream = io.StringIO()
    journal = a_log(stream, format="text")
    journal.error("start", "no luck", path="a b", upstream="orders", tries=2, ok=False)
    assert stream.getvalue() == (
        '08:53:20.250 error   start: no luck path="a b" upstream=orders tries=2 ok=false\n'
    )


@pytest.mark.parametrize(("stream", "as_json"), [(io.StringIO(), True), (Terminal(), False)])
def test_auto_is_json_unless_the_stream_is_a_terminal(
    stream: io.StringIO, *, as_json: bool
) -> None:
    a_log(stream, format="auto").info("start", "hello")
    assert stream.getvalue().startswith("{") is as_json


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_what_lies_below_the_level_is_not_written(level: str) -> None:
    stream = io.StringIO()
    journal = a_log(stream, level=level)
    order = ["debug", "info", "warning", "error"]
    for name in order:
        getattr(journal, name)("e", "m")
    written = [json.loads(line)["level"] for line in stream.getvalue().splitlines()]
    assert written == order[order.index(level) :]


@pytest.mark.parametrize(
    "character", ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\ud800"]
)
@pytest.mark.parametrize("format_", ["json", "text"])
def test_no_value_can_forge_a_line_or_move_a_cursor(character: str, format_: str) -> None:
    stream = io.StringIO()
    a_log(stream, format=format_).info("e", f"one{character}two", path=f"/a{character}b")
    (line,) = stream.getvalue().split("\n")[:-1]
    assert character not in line
    assert line.count("\N{REPLACEMENT CHARACTER}") + line.count(r"\ufffd") == 2


def test_long_values_are_cut() -> None:
    assert len(clean("x" * 513)) == 512
    assert clean("x" * 512) == "x" * 512


def test_fields_without_a_value_are_left_out_and_floats_are_readable() -> None:
    stream = io.StringIO()
    a_log(stream).info("e", "m", upstream=None, a=1 / 3, b=float("nan"), c=float("inf"))
    event = json.loads(stream.getvalue(), parse_constant=pytest.fail)
    assert "upstream" not in event
    assert (event["a"], event["b"], event["c"]) == (0.333333, "nan", "inf")


@pytest.mark.parametrize(
    ("access", "status", "origin", "wanted"),
    [
        ("off", 502, "proxy", False),
        ("errors", 200, "upstream", False),
        ("errors", 404, "upstream", False),
        ("errors", 500, "upstream", True),
        ("errors", 404, "proxy", True),
        ("all", 200, "upstream", True),
    ],
)
def test_access_lines_are_wanted_as_configured(
    access: str, status: int, origin: str, *, wanted: bool
) -> None:
    assert a_log(io.StringIO(), access=access).wants_access(status, origin) is wanted


def test_an_access_line_is_written_whatever_the_level() -> None:
    stream = io.StringIO()
    journal = a_log(stream, level="error")
    journal.access(
        method="GET", path="/orders", status=502, origin="proxy", code="upstream_timeout"
    )
    event = json.loads(stream.getvalue())
    assert event["event"] == "request"
    assert event["message"] == "GET /orders 502"
    assert event["code"] == "upstream_timeout"


def test_a_closed_stream_fails_no_request() -> None:
    stream = io.StringIO()
    journal = a_log(stream)
    stream.close()
    journal.error("e", "m")


def test_what_the_stream_cannot_encode_is_written_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    a_log(stream, format="text").info("e", "Grüße")
    assert b"Gr\\xfc\\xdfe" in raw.getvalue()


def quoting(secret: str) -> None:
    raise ValueError(secret)


def test_an_exception_is_told_by_type_and_place_never_by_its_text() -> None:
    stream = io.StringIO()
    journal = a_log(stream)
    try:
        quoting("Bearer canary")
    except ValueError as error:
        journal.exception("bug", "something broke", error, upstream="orders")
    event = json.loads(stream.getvalue())
    assert event["error"] == "ValueError"
    assert event["places"].startswith("test_log.py:")
    assert " quoting, test_log.py:" in event["places"]
    assert "canary" not in stream.getvalue()


def test_an_error_that_was_never_raised_has_no_places() -> None:
    assert places(ValueError("x")) == ""


def test_what_a_library_logs_comes_out_as_an_event_without_what_it_quotes() -> None:
    stream = io.StringIO()
    logger = a_log(stream).library("aiohttp.server")
    logger.info("not interesting")
    logger.warning("odd header %r", b"Authorization: Bearer canary")
    try:
        quoting("Bearer canary")
    except ValueError:
        logger.exception("Error handling request from %s", "127.0.0.1")
    warning, error = map(json.loads, stream.getvalue().splitlines())
    assert (warning["level"], warning["library"]) == ("warning", "aiohttp.server")
    assert (error["level"], error["error"]) == ("error", "ValueError")
    assert "canary" not in stream.getvalue()


def test_the_loggers_of_the_process_are_left_alone() -> None:
    before = (list(logging.root.handlers), set(logging.root.manager.loggerDict))
    journal = a_log(io.StringIO())
    journal.info("e", "m")
    journal.library("aiohttp.private")
    assert (list(logging.root.handlers), set(logging.root.manager.loggerDict)) == before


def test_lines_from_several_threads_do_not_mix() -> None:
    stream = io.StringIO()
    journal = a_log(stream)

    def write(name: str) -> None:
        for number in range(50):
            journal.info("e", name * 40, number=number)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(events) == 200
    assert {event["message"] for event in events} == {name * 40 for name in "abcd"}


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_an_announcement_is_written_whatever_the_level(level: str) -> None:
    stream = io.StringIO()
    a_log(stream, level=level).announce("listening", "is listening", version="1")
    assert json.loads(stream.getvalue())["event"] == "listening"


def test_an_access_line_of_what_could_not_be_read_has_a_dash_for_it() -> None:
    stream = io.StringIO()
    a_log(stream).access(method="GET", path=None, status=400, origin="proxy")
    assert json.loads(stream.getvalue())["message"] == "GET - 400"
