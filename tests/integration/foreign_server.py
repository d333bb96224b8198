"""Run a server that we did not write, as a process of its own, and end it with the tests.

A server is a program in `servers/` that reads its settings as one line of JSON from standard
input, says `{"port": N}` on standard output once it listens, and ends when standard input does.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 10


def require(found: object, reason: str) -> None:
    """Skip the test with `reason` when `found` is falsy; under CI that is a failure."""
    if found:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class ForeignServer:
    """A server process on a port of the kernel's choice; started again, it keeps that port."""

    def __init__(self, command: list[str], settings: dict[str, Any]) -> None:
        self._command = command
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return once the server listens; it blocks, so an event loop calls it in a thread."""
        # The servers' own lines are nobody's coverage, and measuring them slows them down.
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("COV")
        }
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                self._command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
            )
            self._process = process
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(self._settings | {"port": self.port}).encode() + b"\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], START_SECONDS_MAX)
            line = process.stdout.readline() if ready else b""
            if not line:
                self.stop()
                said.seek(0)
                pytest.fail(f"{self._command[-1]} did not start: {said.read().decode()[-2000:]}")
        self.port = json.loads(line)["port"]

    def stop(self) -> None:
        """End the server; connections to its port are refused from then on."""
        if not (process := self._process):
            return
        self._process = None
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


StartServer = Callable[[dict[str, Any]], ForeignServer]
"""Takes a server's settings, returns when it listens."""


@contextlib.contextmanager
def starting(*command: str, folder: Callable[[], Path] | None = None) -> Iterator[StartServer]:
    """Give what starts servers of one kind; all of them are stopped at the end of the block.

    `folder` makes a new folder for each, which its settings then name.
    """
    started: list[ForeignServer] = []

    def start(settings: dict[str, Any]) -> ForeignServer:
        own = {} if folder is None else {"folder": str(folder())}
        server = ForeignServer([*command], settings | own)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()
