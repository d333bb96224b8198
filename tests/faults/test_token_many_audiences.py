"""A hundred audiences whose servers die and return, each at its own moment.

What is promised of one audience must hold of each of them meanwhile: no failure while its token
lives, the right error at once afterwards, recovery by itself, one token request in flight. Time is
stepped; chance and the outages come from a seed.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from faults.stepped_time import now, stepped
from faults.token_server import Asked, TokenServer, http_answer, refusal
from unit.tokens.cache_bench import bench

from proxy.errors import Fault, ProxyError
from proxy.model import AudienceName

if TYPE_CHECKING:
    from unit.tokens.cache_bench import Bench

AUDIENCES = 100
SEED = 1
LIFETIME_SECONDS = 40.0
USABLE_SECONDS = 38.0
"""Less the margin of a twentieth."""
STEP_SECONDS = 0.5
OUTAGES_UNTIL = 150.0
END = 240.0
TIMEOUT_SECONDS = 3.0

UNAVAILABLE = Fault.AUTHORIZATION_SERVER_UNAVAILABLE
KNOWN = {
    "resets": UNAVAILABLE,
    "hangs": UNAVAILABLE,
    "answers_503": UNAVAILABLE,
    "misspeaks": Fault.AUTHORIZATION_SERVER_MISSPOKE,
    "refuses": Fault.GRANT_REFUSED,
}
RECOVERY_SECONDS = {"refuses": 60.0}
"""Where it is not the 5 s of SPEC §3."""


ANSWERS = {
    "answers_503": http_answer(b"", status="503 Down"),
    "misspeaks": http_answer(b"<html>"),
    "refuses": refusal("invalid_scope"),
}


@dataclass(slots=True)
class Watched:
    """One audience: its server, its outages, what its callers were told, and what was wrong."""

    name: AudienceName
    server: TokenServer
    outages: list[tuple[float, float, str]]
    ill: str | None = None
    changes: list[tuple[float, str | None]] = field(default_factory=list)
    usable_until: float = 0.0
    served: int = 0
    refused: int = 0
    complaints: list[str] = field(default_factory=list)
    callers: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.server.answer = self._answer

    def _answer(self, asked: Asked) -> bytes:
        if self.ill in ANSWERS:
            return ANSWERS[self.ill]
        # A life counts from the question, and the answer may have hung for a while.
        self.usable_until = asked.at + USABLE_SECONDS
        return self.server.grant(asked)

    def befall(self, at: float) -> None:
        """Begin or end an outage that is due at `at`, counted from the test's start."""
        ill = next((how for start, end, how in self.outages if start <= at < end), None)
        if ill != self.ill:
            self.ill = ill
            self.changes.append((now(), ill))
            self.server.down = ill == "resets"
            if ill == "hangs":
                self.server.hold()
            else:
                self.server.release()

    @property
    def known(self) -> str | None:
        """What ailed the server when it was asked last."""
        attempts = [each.at for each in self.server.requests[-1:]] + self.server.refused_at[-1:]
        tried_at = max(attempts)
        return next((ill for since, ill in reversed(self.changes) if since <= tried_at), None)

    async def ask(self, the: Bench) -> None:
        asked_at, lives = now(), now() < self.usable_until
        try:
            token = await the.token(self.name)
        except ProxyError as error:
            self.refused += 1
            self._judge(error, asked_at, lives=lives)
            return
        self.served += 1
        if self.server.expiry[token] <= now() or not token.startswith(f"{self.name}-"):
            self.complaints.append(f"{now()}: lapsed or another audience's: {token}")

    def _judge(self, error: ProxyError, asked_at: float, *, lives: bool) -> None:
        known = self.known
        if lives:
            self.complaints.append(f"{now()}: {error} although a token lived")
        if known is None or error.fault is not KNOWN[known] or error.retry_after_seconds is None:
            self.complaints.append(f"{now()}: {error}, and the server {known}")
        patience = RECOVERY_SECONDS.get(known or "", 5.0)
        if self.ill is None and asked_at > self.changes[-1][0] + patience:
            self.complaints.append(f"{now()}: {error} though well since {self.changes[-1][0]}")
        if now() > asked_at + TIMEOUT_SECONDS + 0.1:
            self.complaints.append(f"{now()}: told only after {now() - asked_at} s")


def outages(chance: random.Random) -> list[tuple[float, float, str]]:
    """Draw what befalls one server: one to three outages, some longer than a token's life."""
    drawn = []
    at = chance.uniform(1, 40)
    while at < OUTAGES_UNTIL and len(drawn) < 3:
        end = min(at + chance.choice([2, 10, 30, 80]) * chance.uniform(0.5, 1.5), OUTAGES_UNTIL)
        drawn.append((at, end, chance.choice(list(KNOWN))))
        at = end + chance.uniform(5, 60)
    return drawn


@stepped
@pytest.mark.slow
async def test_a_hundred_audiences_whose_servers_die_and_return_keep_what_is_promised() -> None:
    """T-24, T-26, R-01, R-02, R-07."""
    chance = random.Random(SEED)
    async with AsyncExitStack() as stack:
        names = [f"a{number}" for number in range(AUDIENCES)]
        every = [
            Watched(
                AudienceName(name),
                await stack.enter_async_context(TokenServer(lifetime_seconds=LIFETIME_SECONDS)),
                outages(chance),
            )
            for name in names
        ]
        client = {"client_id": "x", "authentication": "none", "timeout_seconds": TIMEOUT_SECONDS}
        clients = {str(each.name): client | {"token_endpoint": each.server.url} for each in every}
        audiences = {name: {"client": name, "audience": name} for name in names}
        the = await stack.enter_async_context(bench(clients=clients, audiences=audiences))
        the.servers += [each.server for each in every]
        the.cache.keeper.chance = chance.random
        the.cache.start()
        await the.advance(0)
        began_at = now()
        while now() < began_at + END:
            for each in every:
                each.befall(now() - began_at)
                each.callers.add(asyncio.create_task(each.ask(the)))
            await the.advance(STEP_SECONDS)
            for each in every:
                for task in [task for task in each.callers if task.done()]:
                    each.callers.remove(task)
                    task.result()
        assert [each.complaints[:3] for each in every if each.complaints] == []
        # Everybody's server is well again by now, and so is everybody.
        assert {the.telemetry.audiences[name].state for name in names} == {"live"}
        assert {each.server.in_flight_max for each in every} == {1}
        assert all(not each.callers for each in every)
        # Not one of these would say anything if nobody had ever been refused, or all had.
        assert sum(each.refused > 0 for each in every) > AUDIENCES / 4
        assert all(each.served > END / STEP_SECONDS / 4 for each in every)
