"""A thousand of each trouble at once leave a few lines in the log, and another one a minute."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from proxy.telemetry.log import KINDS_MAX, Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from unit.telemetry.conftest import Clock, Lines

    from proxy.telemetry.facts import Telemetry

TIMES = 1000
LINES_MAX = 2
"""The trouble itself, and what it comes to."""


def fetch_failed(telemetry: Telemetry, _number: int, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "reason": "renewal",
        "result": "unavailable",
        "seconds": 0.1,
        "code": "authorization_server_unavailable",
        "detail": "refused",
        "retry_in_seconds": 1.0,
        "live_for_seconds": None,
    }
    telemetry.audiences["orders"].fetch_failed(**fields | changes)


def refused(telemetry: Telemetry, number: int) -> None:
    if not number:
        fetch_failed(telemetry, 0, live_for_seconds=1.0)
    telemetry.audiences["orders"].caller_refused("authorization_server_unavailable")


def quoting(number: int) -> None:
    raise ValueError(f"canary {number}")


def broken(telemetry: Telemetry, number: int) -> None:
    try:
        quoting(number)
    except ValueError as error:
        telemetry.log.exception("internal_error", "a fault of this proxy", error)


def connecting_comes_and_goes(telemetry: Telemetry, number: int) -> None:
    telemetry.upstreams["orders"].connected("success" if number % 2 else "refused")


def file_comes_and_goes(telemetry: Telemetry, number: int) -> None:
    if number % 2:
        telemetry.files.usable("clients.billing.tls")
    else:
        telemetry.files.unusable("clients.billing.tls", "it is no certificate")


TROUBLE: dict[str, Callable[[Telemetry, int], Any]] = {
    "token_fetch_failed": fetch_failed,
    "token_fetch_failed while a token lives": lambda telemetry, number: fetch_failed(
        telemetry, number, live_for_seconds=60.0
    ),
    "token_lapsed": refused,
    "token_rejected": lambda telemetry, _: telemetry.audiences["orders"].token_rejected(),
    "expires_in": lambda telemetry, _: telemetry.audiences["orders"].warn("expires_in", "odd"),
    "upstream_connect_failed": lambda telemetry, number: telemetry.upstreams["orders"].connected(
        ("name", "refused", "timeout", "tls", "other")[number % 5], f"trouble {number}"
    ),
    "upstream_connect_failed, now and then": connecting_comes_and_goes,
    "upstream_unauthorized": lambda telemetry, _: telemetry.upstreams["orders"].unauthorized(
        "passed"
    ),
    "file_unusable": lambda telemetry, _: telemetry.files.unusable("clients.billing.tls", "odd"),
    "file_unusable, now and then": file_comes_and_goes,
    "file_read_again": lambda telemetry, _: telemetry.files.read_again("clients.billing.tls"),
    "internal_error": broken,
    "internal_error without an exception": lambda telemetry, _: telemetry.log.error(
        "internal_error", "Task was destroyed but it is pending"
    ),
    "library": lambda telemetry, number: telemetry.log.library("aiohttp.admin").warning(
        "odd header %r", number
    ),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_a_thousand_at_once_are_a_line_or_two(
    name: str, telemetry: Telemetry, lines: Lines
) -> None:
    for number in range(TIMES):
        TROUBLE[name](telemetry, number)
    names = lines.names()
    assert name.partition(",")[0].split(" ")[0] in names
    assert len(names) <= LINES_MAX


@pytest.mark.parametrize("name", ["internal_error", "library"])
def test_what_is_folded_here_is_told_once_a_minute_with_how_often(
    name: str, lines: Lines, clock: Clock
) -> None:
    log = Log(
        format="json",
        level="info",
        access="off",
        stream=lines,
        wall=clock.wall,
        monotonic=clock.monotonic,
    )
    for _ in range(120):
        log.error(name, "it broke")
        clock.advance(1)
    assert [event["times"] for event in lines.events()] == [1, 61]
    clock.advance(60)
    log.error(name, "it broke")
    assert lines.events()[-1]["times"] == 1


def test_faults_that_differ_are_told_each_by_itself(lines: Lines, log: Log) -> None:
    for message in ("one", "two", "one"):
        log.error("internal_error", message)
    for library in ("a", "b", "a"):
        log.library(library).warning("odd")
    assert [event["message"] for event in lines.events()] == ["one", "two", "odd", "odd"]


def test_faults_without_number_are_few_lines_too() -> None:
    stream = io.StringIO()
    log = Log(format="json", level="info", access="off", stream=stream, wall=lambda: 0.0)
    for number in range(TIMES):
        log.error("internal_error", f"fault {number}")
        log.library("aiohttp.admin").warning(f"odd {number}")
    # The last ones are those kinds that stand for all others of their event.
    assert len(stream.getvalue().splitlines()) == KINDS_MAX + 2


def test_what_was_folded_already_is_written_as_it_is(lines: Lines, log: Log) -> None:
    for times in (1, 7):
        log.warning("library", "odd", library="elsewhere", times=times)
    assert [event["times"] for event in lines.events()] == [1, 7]


def test_what_lies_below_the_level_is_not_counted_as_told(lines: Lines, clock: Clock) -> None:
    log = Log(format="json", level="error", access="off", stream=lines, wall=clock.wall)
    log.library("aiohttp.admin").warning("odd")
    log.reconfigure(format="json", level="info", access="off")
    log.library("aiohttp.admin").warning("odd")
    assert [event["times"] for event in lines.events()] == [1]


def test_an_access_line_is_never_folded(lines: Lines, log: Log) -> None:
    for _ in range(TIMES):
        log.access(method="GET", path="/", status=503, origin="proxy", code="overloaded")
    assert len(lines.events()) == TIMES
    assert {json.dumps(event) for event in lines.events()} == {json.dumps(lines.events()[0])}
