"""`Log.reconfigure`: another format, level or access log in a running process."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest

from proxy.telemetry.log import Access, Format, Level, Log

SETTINGS: dict[str, Any] = {"format": "json", "level": "info", "access": "errors"}


def a_log(stream: io.TextIOBase) -> Log:
    return Log(stream=stream, wall=lambda: 0.0, **SETTINGS)


def changed(log: Log, **changes: str) -> None:
    settings: dict[str, Any] = SETTINGS | changes
    log.reconfigure(**settings)


@pytest.mark.parametrize(
    ("format_", "beginning"), [("text", "00:00:00"), ("ecs", '{"@timestamp"'), ("json", '{"time"')]
)
def test_a_format_holds_from_the_next_line_on(format_: Format, beginning: str) -> None:
    stream = io.StringIO()
    log = a_log(stream)
    log.info("before", "m")
    changed(log, format=format_)
    log.info("after", "m")
    first, second = stream.getvalue().splitlines()
    assert first.startswith('{"time"')
    assert second.startswith(beginning)


def test_auto_asks_the_stream_again() -> None:
    stream = io.StringIO()
    log = a_log(stream)
    changed(log, format="text")
    changed(log, format="auto")
    log.info("e", "m")
    assert json.loads(stream.getvalue())["event"] == "e"


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_a_level_holds_from_the_next_event_on(level: Level) -> None:
    stream = io.StringIO()
    log = a_log(stream)
    changed(log, level=level)
    for each in ("debug", "info", "warning", "error"):
        getattr(log, each)("e", "m")
    order = ["debug", "info", "warning", "error"]
    written = [json.loads(line)["level"] for line in stream.getvalue().splitlines()]
    assert written == order[order.index(level) :]


@pytest.mark.parametrize(
    ("access", "wanted"), [("off", (False, False)), ("errors", (False, True)), ("all", (True,) * 2)]
)
def test_another_access_log_holds_from_the_next_request_on(
    access: Access, wanted: tuple[bool, bool]
) -> None:
    log = a_log(io.StringIO())
    changed(log, access=access)
    assert (log.wants_access(200, "upstream"), log.wants_access(502, "proxy")) == wanted


def test_what_was_folded_stays_folded() -> None:
    stream = io.StringIO()
    log = a_log(stream)
    log.error("internal_error", "it broke")
    changed(log, format="text")
    log.error("internal_error", "it broke")
    assert stream.getvalue().count("\n") == 1


def test_lines_stay_whole_and_in_order_while_it_changes() -> None:
    stream = io.StringIO()
    log = a_log(stream)
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            for format_ in ("text", "ecs", "json"):
                changed(log, format=format_)

    def write(name: str) -> None:
        for number in range(200):
            log.info("e", name, number=number)

    changing = threading.Thread(target=change)
    writing = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    changing.start()
    for thread in writing:
        thread.start()
    for thread in writing:
        thread.join()
    over.set()
    changing.join()
    told: dict[str, list[int]] = {"a": [], "b": []}
    for line in stream.getvalue().splitlines():
        if line.startswith("{"):
            event = json.loads(line)
            name = event["message"]
            number = event.get("number", event.get("tokenproxy.number"))
        else:
            words = line.split()
            name, number = words[3], int(words[4].removeprefix("number="))
        told[name].append(number)
    assert told == {"a": list(range(200)), "b": list(range(200))}
