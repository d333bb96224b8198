"""Go's `httputil.ReverseProxy` with `golang.org/x/oauth2`: what one would write instead.

The program is `go_peer/main.go`. It is built by the distribution's Go with the distribution's
packages, without modules, so that nothing is fetched from the network.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from certificate import SERVER_NAME
from process import running
from surroundings import (
    Contestant,
    NotReadyError,
    Surroundings,
    found,
    printed_port,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).with_name("go_peer") / "main.go"
# Where Debian keeps the sources of its Go packages.
DEBIAN_PACKAGES = Path("/usr/share/gocode")
OAUTH2 = DEBIAN_PACKAGES / "src" / "golang.org" / "x" / "oauth2"


@contextmanager
def reverse_proxy(around: Surroundings) -> Iterator[Contestant]:
    """Start the Go program as the library has it: it makes a new buffer for each answer."""
    with _started(around) as (pid, port):
        yield Contestant("Go", pid, port)


@contextmanager
def with_buffer_pool(around: Surroundings) -> Iterator[Contestant]:
    """Start the Go program with `ReverseProxy.BufferPool`, which few set and which pays."""
    with _started(around, "-buffer-pool") as (pid, port):
        yield Contestant("Go, BufferPool", pid, port)


@contextmanager
def _started(around: Surroundings, *flags: str) -> Iterator[tuple[int, int]]:
    """Start it with one processor of its own scheduler; yield its pid and its port."""
    upstream = around.upstream
    command: list[str | Path] = [_built(around.folder), *flags, "-upstream", upstream.origin]
    command += ["-token-endpoint", f"http://127.0.0.1:{around.token_port}/token"]
    command += ["-secret", "benchmark"]
    if upstream.authority_file:
        command += ["-ca-file", upstream.authority_file, "-server-name", SERVER_NAME]
    with running(
        command, around.cpus, stdout=subprocess.PIPE, environment={"GOMAXPROCS": "1"}
    ) as process:
        yield process.pid, printed_port("the Go program", process)


@cache
def _built(folder: Path) -> Path:
    """Build the program into the folder; return where it is. Raises `NotReadyError`."""
    program = folder / "go-peer"
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOCACHE": str(folder / "go-cache"),
    }
    if DEBIAN_PACKAGES.exists():
        environment["GOPATH"] = str(DEBIAN_PACKAGES)
    built = subprocess.run(
        [found("go"), "build", "-o", program, SOURCE],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    if built.returncode:
        raise NotReadyError(f"the Go program can't be built: {built.stderr.strip()}")
    return program


def why_not(folder: Path) -> str | None:
    """Return why there is no such contestant on this machine, or None if there is one."""
    try:
        _built(folder)
    except NotReadyError as error:
        return str(error)
    return None
