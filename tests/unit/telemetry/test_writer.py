"""`proxy.telemetry.writer`, by way of the log: no reader of it can hold us up, none is cheated."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from proxy.telemetry.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 30
PLENTY = 20_000


def a_log(stream: TextIO, **changes: Any) -> Log:
    keys = {"format": "json", "level": "info", "access": "all", "lines_max": 8192} | changes
    return Log(stream=stream, wall=lambda: 1_760_000_000.0, **keys)


class Pipe:
    """A pipe with the log at one end; `read` begins to read the other, and keeps what came."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.stream = open(writer, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - see `close`
        self._got = bytearray()
        self._thread: threading.Thread | None = None

    def fill(self) -> None:
        """Put blank lines into it until it holds no more."""
        number = self.stream.fileno()
        os.set_blocking(number, False)
        for size in (4096, 1):
            with contextlib.suppress(BlockingIOError):  # it is full, as it is meant to be
                while True:
                    os.write(number, b"\n" * size)
        os.set_blocking(number, True)

    def read(self) -> None:
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self.reader, 1 << 16):
            self._got += data

    def events(self) -> list[dict[str, Any]]:
        """End the log's side; return all that came."""
        self.stream.close()
        assert self._thread is not None
        self._thread.join(PATIENCE_SECONDS)
        return [json.loads(line) for line in self._got.splitlines() if line]

    def close(self) -> None:
        if self._thread is None:
            os.close(self.reader)
            self.stream.close()
        else:
            self.stream.close()
            self._thread.join(PATIENCE_SECONDS)
            os.close(self.reader)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with contextlib.closing(Pipe()) as one:
        yield one


def in_time(action: Callable[[], object]) -> None:
    """Do it in another thread, so that a test that would wait for ever fails instead."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive(), "it waits for the reader of the log"


def test_a_pipe_that_nobody_reads_holds_nobody_up_and_what_is_lost_is_told(pipe: Pipe) -> None:
    pipe.fill()
    log = a_log(pipe.stream, lines_max=100)
    in_time(lambda: [log.info("e", "m", number=number) for number in range(PLENTY)])
    assert log.flush(0.01) is False
    pipe.read()
    assert log.flush(PATIENCE_SECONDS) is True
    log.info("e", "m", number=PLENTY)
    log.info("e", "m", number=PLENTY + 1)
    assert log.flush(PATIENCE_SECONDS) is True
    events = pipe.events()
    numbers = [each["number"] for each in events]
    assert numbers == sorted(numbers)
    assert numbers[-2:] == [PLENTY, PLENTY + 1]
    assert 0 < len(events) < PLENTY
    assert events[-2]["dropped"] == PLENTY + 2 - len(events)
    assert "dropped" not in events[-1]


def test_every_line_comes_in_order_when_somebody_reads(pipe: Pipe) -> None:
    pipe.read()
    log = a_log(pipe.stream, lines_max=PLENTY)
    for number in range(PLENTY):
        log.info("e", "long " * (number % 90), number=number)
    assert log.flush(PATIENCE_SECONDS) is True
    assert [each["number"] for each in pipe.events()] == list(range(PLENTY))


def test_lines_from_several_threads_come_whole_and_each_in_its_threads_order(pipe: Pipe) -> None:
    pipe.read()
    log = a_log(pipe.stream)

    def write(name: str) -> None:
        for number in range(300):
            log.info("e", name * 40, number=number)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.flush(PATIENCE_SECONDS) is True
    events = pipe.events()
    for name in "abcd":
        mine = [each["number"] for each in events if each["message"] == name * 40]
        assert mine == list(range(300))


def test_a_line_longer_than_one_write_comes_whole(pipe: Pipe) -> None:
    pipe.read()
    log = a_log(pipe.stream)
    names = [f"name{number}" for number in range(20_000)]
    log.info("e", "m", names=names)
    log.info("e", "after")
    assert log.flush(PATIENCE_SECONDS) is True
    long, after = pipe.events()
    assert long["names"] == names
    assert after["message"] == "after"


def test_a_descriptor_that_somebody_made_non_blocking_loses_nothing(pipe: Pipe) -> None:
    pipe.fill()
    os.set_blocking(pipe.stream.fileno(), False)
    log = a_log(pipe.stream)
    for number in range(5000):
        log.info("e", "m", number=number)
    assert log.flush(0.01) is False
    pipe.read()
    assert log.flush(PATIENCE_SECONDS) is True
    assert not os.get_blocking(pipe.stream.fileno())
    assert [each["number"] for each in pipe.events()] == list(range(5000))


def test_the_descriptor_stays_blocking_for_whoever_shares_it(pipe: Pipe) -> None:
    pipe.read()
    log = a_log(pipe.stream)
    log.info("e", "m")
    assert log.flush(PATIENCE_SECONDS) is True
    assert os.get_blocking(pipe.stream.fileno())


def test_a_broken_pipe_fails_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream:  # noqa: PTH123 - it is no path
        log = a_log(stream)
        log.error("e", "m")
        assert log.flush(PATIENCE_SECONDS) is True
        log.error("e", "again")
        assert log.flush(PATIENCE_SECONDS) is True


def test_a_stream_that_was_closed_is_not_written_to_by_its_old_number(pipe: Pipe) -> None:
    log = a_log(pipe.stream)
    number = pipe.stream.fileno()
    reader, writer = os.pipe()
    pipe.stream.close()
    os.dup2(writer, number)
    os.close(writer)
    try:
        log.info("e", "m")
        assert log.flush(PATIENCE_SECONDS) is True
    finally:
        os.close(number)
    with open(reader, "rb") as came:  # noqa: PTH123 - it is no path
        assert came.read() == b""


def test_the_thread_starts_with_the_first_line(pipe: Pipe) -> None:
    pipe.read()
    before = set(threading.enumerate())
    log = a_log(pipe.stream, level="warning")
    log.info("e", "below the level")
    assert log.flush(PATIENCE_SECONDS) is True
    assert set(threading.enumerate()) == before
    log.warning("e", "m")
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon


def test_a_stream_in_memory_is_written_to_at_once_and_without_a_thread() -> None:
    before = set(threading.enumerate())
    stream = io.StringIO()
    log = a_log(stream)
    log.info("e", "m")
    assert stream.getvalue().endswith("}\n")
    assert log.flush(0) is True
    assert set(threading.enumerate()) == before


UNREAD = """
import sys, time
from proxy.telemetry.log import Log
log = Log(format="json", level="info", access="all", stream=sys.stderr, wall=time.time)
for number in range(20_000):
    log.info("e", "m", number=number)
sys.exit(7 if log.flush(0.1) else 0)
"""


def test_a_process_whose_log_nobody_reads_can_end() -> None:
    with subprocess.Popen([sys.executable, "-c", UNREAD], stderr=subprocess.PIPE) as process:
        try:
            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            process.kill()


FULL_DISK = """
import resource, sys, time
from proxy.telemetry.log import Log
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
with open(sys.argv[1], "w") as stream:
    log = Log(format="json", level="info", access="all", stream=stream, wall=lambda: 0.0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250, hard))
    for number in range(5):
        log.info("e", "m", number=number)
        log.flush(20)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    log.info("e", "m", number=5)
    log.flush(20)
"""


def test_what_a_full_disk_cost_is_told_on_a_line_of_its_own(tmp_path: Any) -> None:
    file = tmp_path / "log"
    subprocess.run([sys.executable, "-c", FULL_DISK, file], check=True, timeout=PATIENCE_SECONDS)
    first, second, torn, last = file.read_text().splitlines()
    assert [json.loads(line)["number"] for line in (first, second)] == [0, 1]
    assert torn == first[: len(torn)]
    assert (json.loads(last)["number"], json.loads(last)["dropped"]) == (5, 3)
