"""The proxy as a process whose resources are measured: memory, descriptors, CPU time, tasks.

It runs as its users run it (see `integration.proxy_process`), without the coverage that the rest
of the tests is measured with, since that costs time and memory of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from conformance.wire import Peer, connect
from endurance.sizes import PATIENCE_SECONDS
from integration.proxy_process import COMPLETION, POLL_SECONDS, ROOT, RunningProxy

OBSERVED = Path(__file__).with_name("observed.py")
CALLERS_MAX = 20_000
KIB = 1 << 10
MIB = 1 << 20


@dataclass(slots=True)
class MeasuredProxy(RunningProxy):
    """A proxy process on this machine. `observer`: the socket file that tells what lives in it."""

    observer: Path
    callers: list[asyncio.StreamWriter] = field(default_factory=list)
    """The callers' connections, but for most of those that are closed."""

    async def caller(self, *, buffer_bytes: int = 65536) -> Peer:
        """Connect to it."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        peer = await connect(host, int(port), buffer_bytes=buffer_bytes)
        self.callers.append(peer.writer)
        if len(self.callers) > CALLERS_MAX:
            self.callers = [writer for writer in self.callers if not writer.is_closing()]
        return peer

    def resident_bytes(self) -> int:
        """Return how much memory it has."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def largest_resident_bytes(self) -> int:
        """Return the most memory it ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * KIB

    def descriptors(self) -> int:
        """Return how many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 - names are enough

    def cpu_seconds(self) -> float:
        """Return the CPU time it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def load(self, seconds: float) -> float:
        """Return how much of a core it uses in the time to come."""
        began, used = time.monotonic(), self.cpu_seconds()
        await asyncio.sleep(seconds)
        return (self.cpu_seconds() - used) / (time.monotonic() - began)

    async def living(self) -> Counter[str]:
        """Return how many objects of each type live in it, after a collection.

        `tasks` are those that are not done.
        """
        reader, writer = await asyncio.open_unix_connection(str(self.observer))
        async with asyncio.timeout(PATIENCE_SECONDS):
            counts = Counter[str](json.loads(await reader.read()))
        writer.close()
        return counts

    async def quiet(self) -> None:
        """Wait until no exchange is in flight and no upstream connection in use."""

        async def holds() -> bool:
            return not (
                await self.metric("tokenproxy_requests_in_flight")
                or await self.metric("tokenproxy_upstream_connections", state="active")
            )

        await eventually(holds, "nothing in flight")


StartMeasured = Callable[..., Awaitable[MeasuredProxy]]
"""`await start_measured(upstream_port, **options)`: the fixture's type; options as of `start`."""


async def eventually(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll until it holds."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await holds():
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"it never came to this: {what}") from None


async def start(
    upstream_port: int,
    folder: Path,
    *,
    descriptors_max: int | None = None,
    observed: bool = False,
    top: dict[str, Any] | None = None,
    **keys: Any,
) -> MeasuredProxy:
    """Start it with one upstream, `api`; `top`: keys of the file, `keys`: of the upstream.

    `descriptors_max` limits its descriptors for good; `observed` makes `living` possible.
    """
    folder.mkdir(parents=True, exist_ok=True)
    api = {"url": f"http://127.0.0.1:{upstream_port}", "audience": "none", **keys}
    file, log_file, observer = (folder / name for name in ("proxy.yaml", "proxy.log", "observer"))
    file.write_text(yaml.safe_dump(COMPLETION | {"upstreams": {"api": api}} | (top or {})))

    def limit() -> None:
        if descriptors_max is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors_max, descriptors_max))

    unmeasured = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    program = (str(OBSERVED), str(observer)) if observed else ("-m", "proxy")
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *program, "run", "-c", str(file)),
            cwd=ROOT,
            env=unmeasured | {"PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=limit,
        )
    running = MeasuredProxy(process, log_file, "", None, observer)

    async def listens() -> bool:
        assert process.returncode is None, f"it did not start:\n{log_file.read_text()}"
        return bool(running.events("listening"))

    await eventually(listens, "it listens")
    first = running.events("listening")[0]
    running.url = f"http://{first['listen'][0]}"
    running.admin_url = f"http://{first['admin']}"
    return running
