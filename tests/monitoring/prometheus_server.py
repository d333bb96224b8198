"""A real Prometheus, as the distribution packages it, that scrapes one target each second.

It takes some seconds from being ready to its first scrape, so it is started before what it is to
scrape: the target is a door that stands there from the start and leads nowhere until it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from typing import TYPE_CHECKING, Any

import aiohttp
from integration.foreign_server import require

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from urllib.parse import SplitResult

JOB = "token-proxy"
START_SECONDS_MAX = 60
POLL_SECONDS = 0.1
CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - {{job_name: {job}, static_configs: [{{targets: ["{target}"]}}]}}
"""


class Door:
    """A port that stays the same; connections to it go on to `leads_to`, once that is known."""

    def __init__(self) -> None:
        self.leads_to: SplitResult | None = None
        self.address = ""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Door]:
        """Listen on a port that the kernel chooses."""
        async with await asyncio.start_server(self._let_through, "127.0.0.1", 0) as server:
            self.address = "{}:{}".format(*server.sockets[0].getsockname())
            yield self

    async def _let_through(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.closing(writer):
            if self.leads_to is None:
                return
            try:
                inner, outer = await asyncio.open_connection(
                    self.leads_to.hostname, self.leads_to.port
                )
            except OSError:
                return  # as good as a refused connection: the target is gone
            with contextlib.closing(outer):
                ways = [_copy(reader, outer), _copy(inner, writer)]
                tasks = [asyncio.create_task(way) for way in ways]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
                # A connection that breaks is a scrape that fails: that is Prometheus's to tell.
                await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


class Prometheus:
    """Its HTTP API, as far as it is asked here."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def range(self, query: str, start: float, end: float) -> list[dict[str, Any]]:
        """Return the series of a query, evaluated each second of the time given."""
        parameters = {"query": query, "start": str(start), "end": str(end), "step": "1"}
        result: list[dict[str, Any]] = (await self._ask("query_range", parameters))["result"]
        return result

    async def values(self, label: str, selector: str) -> list[str]:
        """Return what `label_values(SELECTOR, LABEL)` gives in Grafana."""
        found: list[str] = await self._ask(f"label/{label}/values", {"match[]": selector})
        return found

    async def scraped(self) -> bool:
        """Tell whether it has come to its target, whatever it found there."""
        return bool((await self._ask("query", {"query": "up"}))["result"])

    async def _ask(self, what: str, parameters: dict[str, str]) -> Any:
        url = f"{self._url}/api/v1/{what}"
        async with self._session.get(url, params=parameters) as answer:
            body = await answer.json()
        assert body["status"] == "success", f"{parameters}: {body}"
        return body["data"]


@contextlib.asynccontextmanager
async def scraping(target: str, folder: Path) -> AsyncIterator[Prometheus]:
    """Run one that has begun to scrape; what it writes lies in `folder`."""
    program = shutil.which("prometheus")
    require(program, "prometheus is missing: install Debian's package prometheus")
    file, log_file = folder / "prometheus.yml", folder / "prometheus.log"
    file.write_text(CONFIGURATION.format(job=JOB, target=target))
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(str(program), f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"),
            "--web.listen-address=127.0.0.1:0",
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(START_SECONDS_MAX), aiohttp.ClientSession() as session:
            prometheus = Prometheus(await _url(log_file), session)
            while not await prometheus.scraped():
                await asyncio.sleep(POLL_SECONDS)
        async with aiohttp.ClientSession() as session:
            yield Prometheus(await _url(log_file), session)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _url(log_file: Path) -> str:
    """Return where it listens, once it has said that it is ready."""
    while b"Server is ready" not in (said := log_file.read_bytes()):
        await asyncio.sleep(POLL_SECONDS)
    found = re.search(rb'"Listening on" address=(\S+)', said)
    assert found
    return f"http://{found[1].decode()}"
