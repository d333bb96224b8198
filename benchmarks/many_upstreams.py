"""Token Proxy with a generated configuration: many upstreams, each with an audience of its own."""

from __future__ import annotations

import json
import re
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import nginx
from process import running
from surroundings import BODY, PATH, Contestant, NotReadyError, get, wait_for
from token_proxy import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# An nginx of the benchmark takes 1024 connections, and each upstream keeps one at least. No more of
# them than needed: the more processes answer, the fewer answers the proxy finds at a time.
UPSTREAMS_PER_SERVER = 500


@contextmanager
def upstreams(folder: Path, cpus: set[int], count: int) -> Iterator[list[str]]:
    """Start as many nginx as so many upstreams need; yield their origins."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(nginx.upstream(folder, cpus)).origin
            for _ in range(0, count, UPSTREAMS_PER_SERVER)
        ]


@contextmanager
def proxy_with(
    count: int, origins: Sequence[str], token_port: int, *, home: Path, cpus: set[int]
) -> Iterator[Contestant]:
    """Start a proxy with so many upstreams, spread over the origins."""
    file, log = home / "token-proxy.yaml", home / "log"
    # Every JSON document is a YAML document.
    file.write_text(json.dumps(_configuration(home, count, origins, token_port)))
    command: list[str | Path] = [sys.executable, "-m", "proxy", "run", "-c", file]
    with (
        log.open("wb") as stderr,
        running(command, cpus, stderr=stderr, cwd=REPOSITORY) as process,
    ):
        port = wait_for(f"the proxy with {count} upstreams", lambda: _port_in(log), process)
        yield Contestant(f"Token Proxy with {count} upstreams", process.pid, port)


def path_of(number: int) -> str:
    """Return a path that goes to one of the upstreams, from 1."""
    return f"/u{number:04}{PATH}"


def ask_each(proxy: Contestant, count: int) -> None:
    """Send each upstream a request, by which it gets its token and a connection."""
    for number in range(1, count + 1):
        status, body = get(proxy.port, path_of(number))
        if (status, body) != (200, BODY.encode()):
            raise NotReadyError(f"{path_of(number)} of {proxy.name}: {status} {body[:300]!r}")


def _configuration(
    home: Path, count: int, origins: Sequence[str], token_port: int
) -> dict[str, Any]:
    secret = home / "secret"
    secret.write_text("benchmark\n")
    client = {
        "token_endpoint": f"http://127.0.0.1:{token_port}/token",
        "client_id": "benchmark",
        "client_secret_file": str(secret),
    }
    names = [f"u{number:04}" for number in range(1, count + 1)]
    return {
        "listen": "127.0.0.1:0",
        "admin": {"listen": "127.0.0.1:0"},
        "clients": {"benchmark": client},
        "audiences": {
            name: {"client": "benchmark", "audience": f"https://{name}.example.com"}
            for name in names
        },
        "upstreams": {
            name: {
                "url": origins[number % len(origins)],
                "audience": name,
                "match": {"path": f"/{name}"},
            }
            for number, name in enumerate(names)
        },
    }


def _port_in(log: Path) -> int | None:
    """Return the port of the event "listening", once it is in the log."""
    match = re.search(r'"event": "listening".*"listen": \["127\.0\.0\.1:(\d+)"', log.read_text())
    return int(match[1]) if match else None
