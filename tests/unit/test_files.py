"""`proxy.files`: files that change are read again, and whatever cannot be used is said once."""

from __future__ import annotations

import asyncio
import io
import json
import os
from typing import TYPE_CHECKING

import pytest
from faults.stepped_time import advance, stepped

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
        self.gate = asyncio.Event()
        self.gate.set()
        stream = io.StringIO()
        log = Log(format="json", level="info", access="off", stream=stream, wall=lambda: 0.0)
        self._said = stream
        self.watch = FileWatch(FileFacts(log))
        self.watch.add("clients.x.client_secret_file", [str(file)], self)
        self.watch.start()

    async def __call__(self) -> bool:
        await self.gate.wait()
        text = self.file.read_text() if self.file.exists() else ""
        if not text:
            raise ProxyError(Fault.CREDENTIAL_UNREADABLE, "the secret file is empty")
        if text == self.read[-1]:
            return False
        self.read.append(text)
        return True

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
async def test_a_file_that_does_not_change_is_not_read(file: Path) -> None:
    reader = Reader(file)
    await advance(100)
    assert (reader.read, reader.said) == (["one"], [])
    reader.watch.close()


@stepped
async def test_a_directory_that_is_swapped_is_seen_within_a_second(file: Path) -> None:
    """T-49: Kubernetes renames a symlink of the directory over the old one."""
    reader = Reader(file)
    folder = file.parents[1]
    (folder / "v2").mkdir()
    (folder / "v2" / "secret").write_text("two")
    (folder / "..tmp").symlink_to("v2")
    os.replace(folder / "..tmp", folder / "..data")  # noqa: PTH105 - of a symlink itself
    await advance(1)
    assert (reader.read, reader.said) == (["one", "two"], ["file_read_again"])
    reader.watch.close()


@stepped
async def test_what_cannot_be_used_is_said_once_and_its_end_too(file: Path) -> None:
    reader = Reader(file)
    file.write_text("")
    await advance(10)
    assert reader.said == ["file_unusable"]
    file.unlink()
    await advance(10)
    assert reader.said == ["file_unusable"] * 2
    file.write_text("one")
    await advance(10)
    assert reader.said == [*["file_unusable"] * 2, "file_read_again"]
    file.write_text("one")
    os.utime(file, ns=(0, 0))
    await advance(10)
    assert len(reader.said) == 3
    assert reader.read == ["one"]
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
