"""A proxy whose standard error is a pipe that nobody reads, or not to its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE_SECONDS = 60
POLL_SECONDS = 0.02
ROOT = Path(__file__).parents[2]
# A pipe holds 64 KiB or a multiple; each of these makes an access line of more than 500 bytes.
REQUESTS = 2500
REQUEST = b"GET /" + b"x" * 400 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def answers(address: Path) -> bool:
    """Say whether somebody listens on a socket file."""
    try:
        _, writer = await asyncio.open_unix_connection(address)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    writer.close()
    return True


@asynccontextmanager
async def unread(
    folder: Path, upstream: str = "http://127.0.0.1:9"
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path, int]]:
    """Run a proxy; yield it, its socket, and the end of the pipe that could be read."""
    address = folder / "proxy.sock"
    config = {
        "listen": f"unix:{address}",
        "admin": {"listen": None},
        "log": {"format": "json", "access": "all"},
        "upstreams": {"api": {"url": upstream, "audience": "none", "match": {"path": "/api"}}},
    }
    file = folder / "token-proxy.yaml"
    file.write_text(yaml.safe_dump(config))
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "run", "-c", str(file)), cwd=ROOT, stderr=writer
    )
    os.close(writer)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            # The file is there a moment before anybody listens on it.
            while not await answers(address):
                assert process.returncode is None
                await asyncio.sleep(POLL_SECONDS)
        yield process, address, reader
    finally:
        os.close(reader)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ask(address: Path, times: int) -> None:
    """Make requests for which there is no route, each answered with 404."""
    reader, writer = await asyncio.open_unix_connection(address)
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(times):
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 404 ")
            (length,) = (
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            )
            await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_log_that_nobody_reads_stops_neither_requests_nor_the_end(
    tmp_path: Path, signals: int
) -> None:
    async with unread(tmp_path) as (process, address, _):
        await ask(address, REQUESTS)
        for _ in range(signals):
            process.terminate()
        async with asyncio.timeout(PATIENCE_SECONDS):
            # Where two come close together, the second may find it gone.
            assert await process.wait() in {0, 128 + signal.SIGTERM if signals == 2 else 0}


async def test_a_log_that_is_read_late_has_every_line_up_to_the_last(tmp_path: Path) -> None:
    async with unread(tmp_path) as (process, address, reader):
        await ask(address, REQUESTS)
        process.terminate()
        with open(os.dup(reader), "rb") as log:  # noqa: PTH123 - it is no path
            lines = await asyncio.to_thread(log.readlines)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.wait() == 0
        events = [json.loads(line)["event"] for line in lines]
        assert events == ["listening", *["request"] * REQUESTS, "stopping", "draining", "stopped"]


async def test_the_line_that_tells_of_a_second_signal_is_written(tmp_path: Path) -> None:
    arrived, over = asyncio.Event(), asyncio.Event()

    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, unread(tmp_path, f"http://{host}:{port}") as (process, address, reader):
        _, caller = await asyncio.open_unix_connection(address)
        caller.write(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await arrived.wait()
        process.terminate()
        with open(os.dup(reader), "rb") as log:  # noqa: PTH123 - it is no path
            while b"draining" not in await asyncio.to_thread(log.readline):
                pass
            process.terminate()
            rest = await asyncio.to_thread(log.readlines)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.wait() == 128 + signal.SIGTERM
        assert json.loads(rest[-1])["event"] == "killed"
        over.set()
        caller.close()
