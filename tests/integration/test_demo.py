"""`python -m proxy demo` as a process: what it prints is what the README shows, figures aside."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECONDS_MAX = 90
LOG_LINE = re.compile(r"^\d\d:\d\d:\d\d\.\d{3} \w+ +(\w+): ")

Process = asyncio.subprocess.Process


@asynccontextmanager
async def demonstration(*arguments: str) -> AsyncIterator[Process]:
    """Run it; fail if it is still there after `SECONDS_MAX`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "demo", *arguments),
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def shown(command: str) -> tuple[list[str], set[str]]:
    """Return what the README shows for a command: its lines, and the events of its log lines."""
    block = README.partition(f"```console\n$ {command}\n")[2].partition("\n```")[0]
    lines = block.splitlines()
    return (
        [line for line in lines if not LOG_LINE.match(line)],
        {found[1] for line in lines if (found := LOG_LINE.match(line))},
    )


def masked(lines: list[str]) -> list[str]:
    """Return the lines without what differs each time; statuses stay."""
    text = re.sub(r"Bearer \S{6}…", "Bearer TOKEN", "\n".join(lines))
    text = re.sub(r"\d+\.\d+ (m?s)\b", r"# \1", text)
    text = re.sub(r"(127\.0\.0\.1):\d+", r"\1:#", text)
    return re.sub(
        r"\b(?!200|503)\d+ calls|(?<=Retry-After: )\d+|(?<=failed: )[1-9]\d*", "#", text
    ).split("\n")


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["--once"], "make demo ARGS=--once"),
        (["--once", "--outage"], 'make demo ARGS="--once --outage"'),
    ],
    ids=["once", "once-outage"],
)
@pytest.mark.slow
async def test_the_demonstration_shows_what_the_readme_says(
    arguments: list[str], command: str
) -> None:
    async with demonstration(*arguments) as process:
        output, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    lines, events = shown(command)
    assert len(lines) > 10
    assert masked(output.decode().strip("\n").split("\n")) == masked(lines)
    # The log is JSON here and text on the README's terminal; the events are the same.
    assert {json.loads(line)["event"] for line in log.decode().splitlines()} == events


async def read_until(process: Process, heading: str) -> str:
    """Return what was printed up to and with the first line that begins so."""
    assert process.stdout is not None
    text = ""
    async for line in process.stdout:
        text += line.decode()
        if line.decode().startswith(heading):
            return text
    raise AssertionError(f"it ended before it said {heading!r}:\n{text}")


async def test_it_stays_up_to_be_called_until_it_is_interrupted() -> None:
    async with demonstration() as process:
        printed = await read_until(process, "cached")
        url, metrics_url = re.findall(r"^    curl (?:-s )?(\S+)", printed, re.MULTILINE)
        async with aiohttp.ClientSession() as session:
            async with session.get(
                url, headers={"Authorization": "Bearer of-the-caller"}
            ) as answer:
                assert answer.status == 200
                seen = await answer.json()
            async with session.get(metrics_url) as answer:
                metrics = await answer.text()
        assert (seen["method"], seen["path"]) == ("GET", urlsplit(url).path)
        assert re.fullmatch(r"Bearer [\w-]{6}…", seen["headers"]["Authorization"])
        assert (
            'tokenproxy_token_fetches_total{audience="demo",reason="miss",result="success"} 1.0'
            in metrics
        )
        process.send_signal(signal.SIGINT)
        rest, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    assert rest.decode().strip() == "The demonstration has ended."
    assert not log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_ends_well_what_was_to_end_by_itself_too(number: int) -> None:
    async with demonstration("--once") as process:
        await read_until(process, "cached")
        process.send_signal(number)
        rest, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    assert rest.decode().strip() == "The demonstration has ended."


async def take(sock: socket.socket, port: int) -> None:
    """Listen on the port; who holds it for longer than other tests do will go on doing so."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = asyncio.get_running_loop().time() + SECONDS_MAX / 2
    while asyncio.get_running_loop().time() < deadline:
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen()
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return


async def test_it_finds_other_ports_where_the_usual_ones_are_taken() -> None:
    with socket.socket() as taken:
        await take(taken, 8080)
        async with demonstration() as process:
            printed = await read_until(process, "cached")
            process.send_signal(signal.SIGINT)
            await process.communicate()
    assert process.returncode == 0
    found = re.search(r"^proxy +http://127\.0\.0\.1:(\d+) ", printed, re.MULTILINE)
    assert found is not None
    assert int(found[1]) != 8080
