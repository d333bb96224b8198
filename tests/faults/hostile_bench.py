"""The real proxy among servers that turn hostile, on stepped time, and what it did about each.

Every row of a table has two audiences with a server of their own each: `cold` has no token when
its server turns, `held` has one that is due to be renewed. All rows of a group share one proxy, so
that they are each other's bystanders too. Here things are noted; what is right the tests say.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from faults.hostile_answers import SECRET
from faults.hostile_server import HostileServer
from faults.stepped_time import IDLE_TURNS, advance, now
from faults.token_server import running
from integration.recording_upstream import RecordingUpstream

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence

    from faults.hostile_server import Answer
    from faults.token_server import Asked, Proxy

    Client = Callable[["Side", Any], Mapping[str, Any]]

CLIENT_ID = "billing"
TIMEOUT_SECONDS = 10
STEP_SECONDS = 0.5
TURNS_MAX = 300_000
_SERIES = re.compile(
    r"^tokenproxy_(token_fetches_total|errors_total|token_lifetime_seconds)\{(.*)\} (\S+)$",
    re.MULTILINE,
)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Case(Protocol):
    """What a row has to know: its name, and its audience's keys."""

    @property
    def name(self) -> str: ...
    @property
    def audience(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Said:
    """An answer to a caller."""

    status: int
    fields: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Side:
    """One audience, its server, and what was seen of it from beginning to end."""

    name: str
    server: HostileServer
    said: list[Said] = field(default_factory=list)
    fetches: dict[tuple[str, str], int] = field(default_factory=dict)
    """How often the token was asked for, by reason and result, as the metrics tell it."""
    errors: dict[str, int] = field(default_factory=dict)
    """The problems its callers got, by code, as the metrics tell it."""
    lifetime_seconds: float | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    """What the log says of it."""
    sent: list[str] = field(default_factory=list)
    """The credentials that its upstream got."""

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == name]

    @property
    def failures(self) -> dict[tuple[str, str], int]:
        return {key: count for key, count in self.fetches.items() if key[1] != "success"}

    @property
    def attempts(self) -> int:
        return sum(self.fetches.values())


@dataclass(slots=True)
class Observed:
    """What became of one row.

    `waited_seconds`: the cold caller, for its answer; `peak_bytes`: the memory that took, where
    it was measured.
    """

    cold: Side
    held: Side
    waited_seconds: float = 0
    peak_bytes: int = 0

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.cold, self.held


@dataclass(slots=True)
class Group:
    """All that was observed of some rows, and what was said beside it.

    `said_elsewhere`: what went to the standard library's loggers, which are not ours.
    """

    rows: Mapping[str, Observed]
    log: str
    exposition: str
    said_elsewhere: Sequence[str]


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@dataclass(slots=True)
class Bench:
    """A proxy between callers, an upstream and every row's two servers."""

    proxy: Proxy
    upstream: RecordingUpstream
    rows: dict[str, Observed]
    heard: _Heard
    discovers: bool = False
    calling: int = 0

    @property
    def sides(self) -> list[Side]:
        return [side for row in self.rows.values() for side in row.sides]

    async def call(self, side: Side) -> Said:
        self.calling += 1
        try:
            said = Said(*await self.proxy.call(f"/{side.name}"))
        finally:
            self.calling -= 1
        side.said.append(said)
        return said

    async def observed(self) -> Group:
        """Return what metrics, log and upstream have seen of every side."""
        sides = {side.name: side for side in self.sides}
        exposition = await self.proxy.metrics()
        for name, labels, value in _SERIES.findall(exposition):
            label = dict(_LABEL.findall(labels))
            count = int(float(value))
            if name == "token_lifetime_seconds":
                sides[label["audience"]].lifetime_seconds = float(value)
            elif name == "token_fetches_total" and count:
                sides[label["audience"]].fetches[label["reason"], label["result"]] = count
            elif count:
                sides[label["upstream"]].errors[label["code"]] = count
        for line in map(json.loads, self.proxy.log.splitlines()):
            if line.get("audience") in sides:
                sides[line["audience"]].lines.append(line)
        for request in self.upstream.requests:
            side = sides[request.target.decode().removeprefix("/")]
            for name in ("Authorization", "X-Api-Key"):
                side.sent += [value.decode() for value in request.values(name)]
        return Group(self.rows, self.proxy.log, exposition, self.heard.lines)

    def failing(self, side: Side) -> bool:
        """Say whether the last attempt for `side` brought no token."""
        return bool(self.proxy.facts(side.name).consecutive_failures)

    def asking(self, side: Side) -> int:
        """Return how many token requests of `side` are under way."""
        return int(self.proxy.facts(side.name).fetches_in_flight)

    async def advance(self, seconds: float) -> None:
        """Let time pass: where a server waits, and never for want of a turn of this machine's."""
        facts = [self.proxy.facts(side.name) for side in self.sides]
        servers = [side.server for side in self.sides]
        turns = looks = 0

        def settled() -> bool:
            nonlocal turns, looks
            looks += 1
            under_way = sum([each.fetches_in_flight for each in facts])
            if self.discovers and not under_way and looks % IDLE_TURNS == 0:
                # A document may be asked for with no token request behind it. A look at all tasks
                # takes long: one in as many turns as a rest has at least.
                under_way = sum([task.get_name() == "metadata" for task in asyncio.all_tasks()])
            at_rest = under_way == self.calling == 0 or (
                under_way <= sum([server.held for server in servers])
                and self.calling <= sum([each.waiters for each in facts])
            )
            turns = 0 if at_rest else turns + 1
            # In turns of the loop, as load takes none of them away.
            assert turns < TURNS_MAX, "an attempt hangs that no server holds up"
            return at_rest

        await advance(seconds, settled)

    async def through(self, calls: Iterable[Coroutine[Any, Any, Any]]) -> None:
        """Let time pass until these calls are answered."""
        given_up_at = now() + 3 * TIMEOUT_SECONDS
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
            await self.advance(0)
            while not all(task.done() for task in tasks):
                assert now() < given_up_at, "a caller is left without an answer"
                await self.advance(STEP_SECONDS)

    async def cold_calls(self, rows: Iterable[Observed]) -> None:
        """Call twice for tokens that are not there."""

        async def calls(row: Observed) -> None:
            began_at = now()
            await self.call(row.cold)
            row.waited_seconds = now() - began_at
            await row.cold.server.calm()
            await self.call(row.cold)

        await self.through(map(calls, rows))


def configuration(
    cases: Mapping[str, Case],
    rows: Mapping[str, Observed],
    upstream_url: str,
    client: Client,
    audience: Mapping[str, Any],
) -> dict[str, Any]:
    sides = {side.name: (side, cases[name]) for name, row in rows.items() for side in row.sides}
    common = {
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "timeout_seconds": TIMEOUT_SECONDS,
    }
    return {
        "listen": "127.0.0.1:0",
        "admin": {"listen": "127.0.0.1:0"},
        "allow_inline_secrets": True,
        "shutdown": {"drain_seconds": 1},
        "clients": {name: common | client(side, case) for name, (side, case) in sides.items()},
        "audiences": {
            name: {"client": name, "prefetch": False, **audience, **case.audience}
            for name, (_, case) in sides.items()
        },
        "upstreams": {
            name: {"url": f"{upstream_url}/{name}", "audience": name, "match": {"path": f"/{name}"}}
            for name in sides
        },
    }


@asynccontextmanager
async def bench(
    cases: Iterable[Case],
    *,
    usual: Callable[[Asked], Answer],
    client: Client,
    audience: Mapping[str, Any],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Bench]:
    """Run a proxy with two audiences for each of `cases`; `client` says what is special to one."""
    named = {case.name: case for case in cases}
    async with AsyncExitStack() as stack:

        async def side(name: str) -> Side:
            return Side(name, await stack.enter_async_context(HostileServer(usual, tls)))

        rows = {
            name: Observed(await side(f"cold-{number}"), await side(f"held-{number}"))
            for number, name in enumerate(named)
        }
        upstream = await stack.enter_async_context(RecordingUpstream())
        config = configuration(named, rows, upstream.url, client, audience)
        proxy = await stack.enter_async_context(running(config, Path()))
        heard = _Heard()
        logging.getLogger().addHandler(heard)
        stack.callback(logging.getLogger().removeHandler, heard)
        yield Bench(proxy, upstream, rows, heard)
