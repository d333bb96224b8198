"""Token Proxy itself, with everything on that is on by default, and how long it takes to start.

It is started as a user would: `python -m proxy run -c FILE`. Its first log line says where it
listens; the time and the CPU time up to that line are its cost of starting. Byte code is kept in a
folder of the run, so that its very first start compiles it all and the others find it, whatever the
environment says about writing byte code.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from certificate import SERVER_NAME
from process import cpu_seconds, running
from surroundings import READY_SECONDS, Contestant, NotReadyError, Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Start:
    """What one start cost, from exec to the log line "listening"."""

    wall_seconds: float
    cpu_seconds: float

    @property
    def half_core_seconds(self) -> float:
        """The wall time to expect under a quota of half a core.

        Such a quota stops the process for as long as it has run, so that its CPU time counts twice;
        the rest of the wall time, waiting, stays what it was.
        """
        return self.wall_seconds + self.cpu_seconds


@contextmanager
def token_proxy(around: Surroundings) -> Iterator[Contestant]:
    """Start the proxy with one upstream."""
    with _started(around) as (contestant, _):
        yield contestant


def measure_start(around: Surroundings) -> Start:
    """Start the proxy once more, beside whatever runs, and stop it again."""
    with _started(around) as (_, start):
        return start


@contextmanager
def _started(around: Surroundings) -> Iterator[tuple[Contestant, Start]]:
    home = Path(tempfile.mkdtemp(prefix="token-proxy-", dir=around.folder))
    file = home / "token-proxy.yaml"
    file.write_text(_configuration(around, home))
    command: list[str | Path] = [sys.executable, "-m", "proxy", "run", "-c", file]
    began_at = time.monotonic()
    with running(
        command,
        around.cpus,
        stderr=subprocess.PIPE,
        # Empty counts as unset.
        environment={
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(around.folder / "byte-code"),
        },
        cwd=REPOSITORY,
    ) as process:
        assert process.stderr is not None
        too_late = threading.Timer(READY_SECONDS, process.kill)
        too_late.start()
        listening = _listening(process.stderr)
        too_late.cancel()
        start = Start(time.monotonic() - began_at, cpu_seconds(process.pid))
        # Nobody reads the rest of the log, but a full pipe would stop the proxy.
        threading.Thread(target=_drain, args=[process.stderr], daemon=True).start()
        port = _port(listening)
        yield Contestant("Token Proxy", process.pid, port), start


def _listening(log: IO[bytes]) -> dict[str, Any]:
    """Return the event that says where the proxy listens; raise if the log ends without it."""
    said = b""
    for line in log:
        said += line
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            continue  # a traceback, perhaps: it is shown below
        if event.get("event") == "listening":
            return event
    raise NotReadyError(f"the proxy did not start: {said.decode(errors='replace').strip()}")


def _port(listening: dict[str, Any]) -> int:
    """Return the port in the event's field `listen`, which names one address."""
    port = re.search(r":(\d+)", str(listening.get("listen")))
    if port is None:
        raise NotReadyError(f"the proxy does not say where it listens: {listening}")
    return int(port[1])


def _drain(log: IO[bytes]) -> None:
    while log.read(65536):
        pass


def _configuration(around: Surroundings, home: Path) -> str:
    secret = home / "secret"
    secret.write_text("benchmark\n")
    upstream: dict[str, Any] = {"url": around.upstream.origin, "audience": "orders"}
    if around.upstream.authority_file:
        authority_file = str(around.upstream.authority_file)
        upstream["tls"] = {"ca_file": authority_file, "server_name": SERVER_NAME}
    return f"""
listen: 127.0.0.1:0
admin: {{listen: "127.0.0.1:0"}}
clients:
  benchmark:
    token_endpoint: http://127.0.0.1:{around.token_port}/token
    client_id: benchmark
    client_secret_file: {secret}
audiences:
  orders: {{client: benchmark, audience: "https://orders.example.com", scope: "orders:read"}}
upstreams:
  orders: {json.dumps(upstream)}
"""
