"""The proxy as its users run it: `python -m proxy run -c FILE`, a real process on real sockets.

`start` writes the configuration, starts the process in the repository's root, and returns when
the first log line has told which ports the kernel chose. Only keys that every test would repeat
are filled in (see `COMPLETION`); what the test's configuration says stands.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 30
POLL_SECONDS = 0.02

COMPLETION: dict[str, Any] = {
    "listen": "127.0.0.1:0",
    "admin": {"listen": "127.0.0.1:0"},
    "allow_inline_secrets": True,
    "shutdown": {"drain_seconds": 2},
}


@dataclass(slots=True)
class RunningProxy:
    """A proxy process that listens. `url` and `admin_url` have no slash at their end."""

    process: asyncio.subprocess.Process
    log_file: Path
    url: str
    admin_url: str | None

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return what was logged so far, line by line; of event `name` only, where given."""
        lines = self.log_file.read_text().splitlines(keepends=True)
        # The last line may still be on its way.
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in events if name in (None, event["event"])]

    async def get(self, path: str = "/") -> tuple[int, bytes]:
        """Return status and body of a GET, on a connection of its own."""
        return await get(f"{self.url}{path}")

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of all samples called `name` that carry these labels; 0 without any."""
        status, text = await get(f"{self.admin_url}/metrics")
        assert status == 200
        return sum(
            sample.value
            for family in text_string_to_metric_families(text.decode())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def stop(self) -> int:
        """End it with SIGTERM, return its exit status; fails when it does not end."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS_MAX):
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise AssertionError(f"no end after SIGTERM:\n{_tail(self.log_file)}") from None


StartProxy = Callable[..., Awaitable[RunningProxy]]
"""`await start_proxy(config, environment=None)`: the fixture's type."""


async def get(url: str) -> tuple[int, bytes]:
    """Return status and body of a GET, on a connection of its own."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.read()


async def start(
    config: dict[str, Any],
    folder: Path,
    *,
    environment: dict[str, str] | None = None,
    file: str | None = None,
) -> RunningProxy:
    """Start a proxy whose files lie in `folder` (made if missing); fails when it does not listen.

    `environment` is added to the test's own; `file` is a configuration that is there already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if file is None:
        file = str(folder / "token-proxy.yaml")
        Path(file).write_text(yaml.safe_dump(COMPLETION | config, allow_unicode=True))
    log_file = folder / "proxy.log"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "run", "-c", file),
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    running = RunningProxy(process, log_file, "", None)
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            while process.returncode is None and b"\n" not in log_file.read_bytes():
                await asyncio.sleep(POLL_SECONDS)
        first = running.events()[0]
        assert first["event"] == "listening"
    except (TimeoutError, ValueError, LookupError, AssertionError):
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise AssertionError(f"the proxy did not start:\n{_tail(log_file)}") from None
    running.url = f"http://{first['listen'][0]}"
    running.admin_url = first["admin"] and f"http://{first['admin']}"
    return running


def _tail(log_file: Path) -> str:
    return log_file.read_text(errors="replace")[-4000:]
