"""`proxy.files`: files that change are read again, and whatever cannot be used is said once."""

from __future__ import annotations

import asyncio
import io
import json
import os
from typing import TYPE_CHECKING

import pytest
from faults.stepped_time import advance, now, stepped

from proxy.errors import Fault, ProxyError
from proxy.files import FileWatch, state_of
from proxy.telemetry.files import FileFacts
from proxy.telemetry.log import Log

if TYPE_CHECKING:
    from pathlib import Path


class Reader:
    """Reads a file when told to; an empty one cannot be used."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.read: list[str] = [file.read_text()]
        self.calls = 0
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        stream = io.StringIO()
        log = Log(format="json", level="info", access="off", stream=stream, wall=lambda: 0.0)
        self._said = stream
        self.facts = FileFacts(log, monotonic=now)
        self.watch = FileWatch(self.facts)
        self.watch.add("clients.x.client_secret_file", [str(file)], self)
        self.watch.start()

    async def __call__(self) -> None:
        self.calls += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        text = self.file.read_text() if self.file.exists() else ""
        if not text:
            raise ProxyError(Fault.CREDENTIAL_UNREADABLE, "the secret file is empty")
        if text != self.read[-1]:
            self.read.append(text)
            self.facts.read_again("clients.x.client_secret_file")

    @property
    def log(self) -> str:
        return self._said.getvalue()

    @property
    def said(self) -> list[str]:
        events = [json.loads(line) for line in self._said.getvalue().splitlines()]
        assert all(event["key"] == "clients.x.client_secret_file" for event in events)
        return [event["event"] for event in events]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "secret").write_text("one")
    (tmp_path / "..data").symlink_to("v1")
    return tmp_path / "..data" / "secret"


@stepped
async def test_a_file_that_does_not_change_is_read_once_more_and_then_left_alone(
    file: Path,
) -> None:
    """Between its first reading and the first look it may have changed; hence the once."""
    reader = Reader(file)
    await advance(100)
    assert (reader.calls, reader.read, reader.said) == (1, ["one"], [])
    reader.watch.close()


@stepped
async def test_a_directory_that_is_swapped_is_seen_within_a_second(file: Path) -> None:
    """T-49: Kubernetes renames a symlink of the directory over the old one."""
    reader = Reader(file)
    await advance(10)
    folder = file.parents[1]
    (folder / "v2").mkdir()
    (folder / "v2" / "secret").write_text("two")
    (folder / "..tmp").symlink_to("v2")
    os.replace(folder / "..tmp", folder / "..data")  # noqa: PTH105 - of a symlink itself
    await advance(1)
    assert (reader.read, reader.said) == (["one", "two"], ["file_read_again"])
    reader.watch.close()


@stepped
async def test_what_was_written_with_the_old_time_and_size_is_seen(file: Path) -> None:
    reader = Reader(file)
    await advance(10)
    before = file.stat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    await advance(1)
    assert reader.read == ["one", "two"]
    reader.watch.close()


@stepped
async def test_what_cannot_be_used_is_said_once_and_its_end_too(file: Path) -> None:
    reader = Reader(file)
    file.write_text("")
    await advance(30)
    assert reader.said == ["file_unusable"]
    file.write_text("one")
    await advance(10)
    assert reader.said == ["file_unusable", "file_usable"]
    os.utime(file, ns=(0, 0))
    await advance(10)
    assert reader.said == ["file_unusable", "file_usable"]
    assert reader.read == ["one"]
    reader.watch.close()


@stepped
async def test_a_file_that_comes_and_goes_is_told_once_a_minute(file: Path) -> None:
    """SPEC §9: a repeated failure is logged when it begins, then once a minute."""
    reader = Reader(file)
    for number in range(120):
        file.write_text("" if number % 2 else f"text {number}")
        await advance(1)
    assert len(reader.read) == 61
    assert 2 <= reader.said.count("file_unusable") <= 3
    assert reader.said.count("file_read_again") <= 3
    reader.watch.close()


@stepped
@pytest.mark.parametrize("fault", [RuntimeError("can't start new thread: hunter2"), None])
async def test_what_failed_for_another_reason_is_tried_again_though_the_file_is_the_same(
    file: Path, fault: Exception | None
) -> None:
    reader = Reader(file)
    await advance(10)
    reader.fault = fault or ProxyError(Fault.CREDENTIAL_UNREADABLE, "too many open files")
    file.write_text("two")
    await advance(20)
    assert reader.said == ["file_unusable"]
    assert "hunter2" not in reader.log
    calls = reader.calls
    assert 2 <= calls <= 5
    reader.fault = None
    await advance(10)
    assert reader.read == ["one", "two"]
    await advance(100)
    assert reader.calls == calls + 1
    reader.watch.close()


@stepped
async def test_what_changes_while_it_is_read_is_read_once_more(file: Path) -> None:
    reader = Reader(file)
    reader.gate.clear()
    file.write_text("second")
    await advance(1)
    file.write_text("the third")
    await advance(5)
    assert reader.read == ["one"]
    reader.gate.set()
    await advance(1)
    assert reader.read == ["one", "the third"]
    reader.watch.close()


@stepped
async def test_after_the_end_nothing_is_read(file: Path) -> None:
    reader = Reader(file)
    reader.gate.clear()
    file.write_text("two")
    await advance(1)
    reader.watch.close()
    reader.gate.set()
    file.write_text("three")
    await advance(5)
    assert reader.read == ["one"]


def test_the_state_of_files_is_of_each_and_of_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    there, missing = state_of([str(tmp_path / "a"), str(tmp_path / "b")])
    assert there is not None
    assert missing is None
    (tmp_path / "a").chmod(0o600 if (tmp_path / "a").stat().st_mode & 0o044 else 0o644)
    assert state_of([str(tmp_path / "a")]) != (there,)


@stepped
async def test_what_is_known_is_not_read_at_first_and_what_is_removed_never_again(
    file: Path,
) -> None:
    looks: list[float] = []

    async def look() -> None:
        looks.append(now())

    reader = Reader(file)
    reader.watch.add("configuration", [str(file)], look, state=state_of([str(file)]))
    await advance(5)
    assert looks == [], "it is as it was when it was read"
    file.write_text("another")
    await advance(5)
    assert len(looks) == 1
    reader.watch.remove("configuration")
    file.write_text("a third")
    await advance(5)
    assert len(looks) == 1
    reader.watch.close()
