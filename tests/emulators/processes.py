"""Starting an emulator as a process, and asking it things byte by byte.

`http.client` on purpose: it sends exactly the fields it is given, wrong ones and double ones too.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = Path(__file__).parent
FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")


def form(fields: dict[str, str]) -> bytes:
    """Return the fields as a form."""
    return urlencode(fields).encode()


def basic(client_id: str, client_secret: str) -> tuple[str, str]:
    """Return `Authorization: Basic` of both as they are."""
    pair = f"{client_id}:{client_secret}".encode()
    return ("Authorization", f"Basic {base64.b64encode(pair).decode()}")


@dataclass(frozen=True, slots=True)
class Answer:
    """An emulator's answer; `body` is its JSON."""

    status: int
    headers: http.client.HTTPMessage
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunningEmulator:
    """An emulator that is listening on 127.0.0.1."""

    port: int
    api_port: int

    @property
    def origin(self) -> str:
        """Where the authorization server is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_origin(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.api_port}"

    def counts(self) -> dict[str, Any]:
        """Return what happened so far; see `strict_server.Counts`."""
        return send(self.port, "GET", "/.control/counts").body


def send(
    port: int,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Answer:
    """Send exactly these fields (with `Host` and `Content-Length`) and return the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.headers, json.loads(response.read()))


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send to an emulator; a test's table changes the right one in one respect."""

    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str = "POST"

    def send(self, port: int) -> Answer:
        """Send it, and return the answer."""
        return send(port, self.method, self.target, self.headers, self.body)


@contextlib.contextmanager
def running(name: str, *flags: str) -> Iterator[RunningEmulator]:
    """Run the emulator of this name; it is asked to stop, and must, at the end."""
    command = [sys.executable, str(HERE / f"{name}.py"), "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield RunningEmulator(**json.loads(process.stdout.readline()))
        finally:
            process.terminate()
            status = process.wait(timeout=30)
    assert status == 0
