"""Two authorization servers, each a process, taken away and brought back as chance has it.

`AuthorizationServer` is one of them from the outside; `plan` draws what befalls it. To be killed is
to get SIGKILL; another is started later on the same port, which is kept from everybody else
meanwhile. What was granted, answered and asked is read from the servers' own record.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from endurance.exchanges import chance
from endurance.sizes import FULL, PATIENCE_SECONDS
from endurance.unreliable_authorization_server import GRANTS, MANNERS
from integration.proxy_process import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLED = "killed"
FAULTS = (KILLED, *MANNERS[1:])
CLIENT_ID = "soak"
SECRET = "s3cr3t-canary"
RETRY_AFTER_SECONDS = (1, 2, 3, 8) if FULL else (1, 2)


@dataclass(slots=True)
class Fault:
    """Something that befalls a server. `began_at` and `ended_at` are known once it has."""

    kind: str
    after_seconds: float
    """How long the server is well before it."""
    seconds: float
    retry_after: int = 0
    began_at: float = float("inf")
    ended_at: float = float("inf")

    @property
    def manner(self) -> str:
        """What the server is told to do."""
        return f"{self.kind} {self.retry_after}" if self.retry_after else self.kind


def plan(place: int, seconds: float) -> list[Fault]:
    """Draw what befalls the server in this place of the row, in so many seconds at most.

    It is killed every other time. The other kinds are dealt like cards: each has its turn.
    """
    drawn = chance("faults", place)
    faults: list[Fault] = []
    kinds: list[str] = []
    while True:
        kinds = kinds or drawn.sample(FAULTS[1:], len(FAULTS) - 1)
        kind = KILLED if (len(faults) + place) % 2 == 0 else kinds.pop()
        well, ill = _spans(drawn.random(), drawn.random(), turn=len(faults))
        if well + ill > seconds:
            return faults
        seconds -= well + ill
        retry_after = drawn.choice(RETRY_AFTER_SECONDS) if kind == "throttles" else 0
        faults.append(Fault(kind, well, ill, retry_after))


def _spans(first: float, second: float, *, turn: int) -> tuple[float, float]:
    """Return how long a server is well, then ill, from two chances in [0, 1)."""
    if not FULL:
        # Well until a hasty renewal would be seen; ill until all are due and some tokens end.
        return 2.2 + 0.4 * first, 3.4 + 0.4 * second
    if turn in {2, 5}:
        # Well beyond the first minute, when the log repeats itself.
        return 20 + 20 * first, 65 + 15 * second
    # Most of them shorter than what a token still lives, the others longer.
    return 3 + 32 * first, (1 + 12 * second) if turn % 3 else (15 + 20 * second)


@dataclass(slots=True)
class Record:
    """What the servers wrote down, read as it grows."""

    file: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    lapses_at: dict[str, float] = field(default_factory=dict)
    """When each token ends, by the server's own reckoning."""
    _read_bytes: int = 0

    def update(self, lifetime_seconds: float) -> None:
        """Read what was written since."""
        with self.file.open("rb") as source:
            source.seek(self._read_bytes)
            whole, end, _ = source.read().rpartition(b"\n")
        self._read_bytes += len(whole + end)
        for text in whole.splitlines():
            line = json.loads(text)
            self.lines.append(line)
            if line["event"] == "granted":
                self.lapses_at[line["token"]] = line["at"] + lifetime_seconds

    def of(self, event: str, audience: str) -> list[dict[str, Any]]:
        """Return the lines about one audience, in order."""
        return [x for x in self.lines if (x["event"], x["audience"]) == (event, audience)]


class AuthorizationServer:
    """`async with AuthorizationServer(…) as server`: it listens, and grants."""

    def __init__(self, name: str, folder: Path, lifetime_seconds: int) -> None:
        self.name = name
        self.record = Record(folder / f"{name}.record")
        self.faults: list[Fault] = []
        """Those that have begun."""
        self._lifetime_seconds = lifetime_seconds
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self.record.file.touch()
        # Bound, not listening: connections are refused, and nobody else gets the port.
        self._port_kept = socket.socket()
        self._port_kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port_kept.bind(("127.0.0.1", 0))
        self.port = self._port_kept.getsockname()[1]
        await self._start()
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await self._kill()
        self._port_kept.close()

    @property
    def client(self) -> dict[str, Any]:
        """The proxy's client at this server."""
        return {
            "token_endpoint": f"http://127.0.0.1:{self.port}/token",
            "client_id": CLIENT_ID,
            "client_secret": SECRET,
        }

    def knows(self, token: str, at: float) -> bool:
        """Say whether it has granted the token and that had not lapsed then."""
        if token not in self.record.lapses_at:
            self.record.update(self._lifetime_seconds)
        return at < self.record.lapses_at.get(token, 0)

    def update(self) -> None:
        """Read what it wrote down."""
        self.record.update(self._lifetime_seconds)

    async def suffer(self, faults: list[Fault]) -> None:
        """Let one fault after another befall it; it is well at the end."""
        for fault in faults:
            await asyncio.sleep(fault.after_seconds)
            fault.began_at = time.monotonic()
            self.faults.append(fault)
            if fault.kind == KILLED:
                await self._kill()
                await asyncio.sleep(fault.seconds)
                await self._start()
            else:
                await self._adopt(fault.manner)
                await asyncio.sleep(fault.seconds)
                await self._adopt(GRANTS)
            fault.ended_at = time.monotonic()

    def ill(self, began_at: float, ended_at: float) -> Iterator[Fault]:
        """Yield the faults that it had at some moment of that time."""
        return (x for x in self.faults if x.began_at <= ended_at and x.ended_at >= began_at)

    async def _start(self) -> None:
        program = "endurance.unreliable_authorization_server"
        unmeasured = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", program, str(self.port), str(self.record.file)),
            *(str(self._lifetime_seconds), CLIENT_ID, SECRET),
            env=unmeasured | {"PYTHONPATH": str(ROOT / "tests")},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._process = process
        assert await self._said() == "listens"

    async def _kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.communicate()

    async def _adopt(self, manner: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(manner.encode() + b"\n")
        assert await self._said() == manner

    async def _said(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            return (await self._process.stdout.readline()).decode().strip()
