"""What stands around the contestants: the names they share, how programs are found and awaited.

Every server of the benchmark is a single process with a single worker, on a loopback port that the
kernel chose. Each contestant sends the same credential; the upstream answers 401 to any other, so
that one which forwards without it can't look quick.

A contestant is started by a function from `Surroundings` to a context manager that yields a
`Contestant` (`contestants.CONTESTANTS` has them by name; each may be started several times). Which
upstream it forwards to, plain or TLS, is told by `Surroundings.upstream`:

    with nginx.upstream(folder, cpus, "tls") as upstream, authorization_server(cpus) as token_port:
        around = Surroundings(folder, contestant_cpus, upstream, token_port)
        with CONTESTANTS["envoy"](around) as envoy:
            wait_until_it_forwards(envoy)
            ...  # requests to 127.0.0.1, envoy.port
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from process import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "benchmark-" + "x" * 54  # of the length of a short opaque token
BODY = '{"id": 1, "state": "shipped"}'
PATH = "/orders/1"
HANDSHAKE_PATH = "/handshake"
"""The upstream says here which TLS version and cipher the connection to it has."""
READY_SECONDS = 30
Value = TypeVar("Value")


class NotReadyError(Exception):
    """A server did not start, or did not answer as it should; the message says which and how."""


@dataclass(frozen=True)
class Upstream:
    """Where the contestants forward to, on loopback."""

    port: int
    authority_file: Path | None = None
    """PEM: the only authority to believe, for `certificate.SERVER_NAME`. None: it speaks no TLS."""

    @property
    def origin(self) -> str:
        """Its scheme, address and port as a URL without a path."""
        return f"{'https' if self.authority_file else 'http'}://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Surroundings:
    """What every contestant is given."""

    folder: Path
    """Where it may write; it is removed at the end."""
    cpus: set[int]
    upstream: Upstream
    token_port: int


@dataclass(frozen=True)
class Contestant:
    """A server under measurement."""

    name: str
    """As in the tables; the same for either kind of upstream."""
    pid: int
    """Of the process whose CPU time and memory count."""
    port: int


def find(program: str) -> Path | None:
    """Return where a program is: beside this Python, on PATH, or where Debian keeps daemons."""
    beside = Path(sys.executable).parent
    path = shutil.which(program, path=f"{beside}:{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(path) if path else None


def found(program: str) -> Path:
    """Return where a program is, or raise."""
    path = find(program)
    if path is None:
        raise NotReadyError(f"{program} is not installed")
    return path


@contextmanager
def authorization_server(cpus: set[int]) -> Iterator[int]:
    """Start the authorization server; yield its port."""
    command: list[str | Path] = [
        sys.executable,
        Path(__file__).with_name("authorization_server.py"),
    ]
    command += ["--token", TOKEN]
    with running(command, cpus, stdout=subprocess.PIPE) as process:
        yield printed_port("the authorization server", process)


def printed_port(what: str, process: subprocess.Popen[bytes]) -> int:
    """Return the port that a server prints when it listens."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line.isdigit():
        raise NotReadyError(f"{what} did not start")
    return int(line)


def wait_for(
    what: str, look: Callable[[], Value | None], process: subprocess.Popen[bytes]
) -> Value:
    """Return what `look` finds, asked again until it is not None; raise when it is too late."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        value = look()
        if value is not None:
            return value
        if process.poll() is not None:
            raise NotReadyError(f"{what}: the process ended with status {process.returncode}")
        time.sleep(0.05)
    raise NotReadyError(f"{what}: nothing after {READY_SECONDS} s")


def wait_until_it_forwards(contestant: Contestant) -> None:
    """Return once the contestant has passed on one request with the credential."""
    deadline = time.monotonic() + READY_SECONDS
    status, body = get(contestant.port, PATH)
    while (status, body) != (200, BODY.encode()):
        if time.monotonic() > deadline:
            raise NotReadyError(f"{contestant.name} answers {status} {body[:300]!r}")
        time.sleep(0.1)
        status, body = get(contestant.port, PATH)


def handshake(contestant: Contestant) -> str:
    """Return TLS version and cipher suite between contestant and upstream, as in the tables."""
    status, body = get(contestant.port, HANDSHAKE_PATH)
    if status != 200:
        raise NotReadyError(f"{contestant.name} answers {status} to {HANDSHAKE_PATH}")
    return body.decode()


def get(port: int, path: str) -> tuple[int, bytes]:
    """Return status and body of one GET to loopback; status 0 when there was no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode()
    finally:
        connection.close()
