"""A table of hostile metadata documents, played before the first token and again an hour later."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from faults.hostile_bench import bench
from faults.hostile_server import HostileServer
from faults.stepped_time import SteppedLoop
from faults.token_server import http_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from faults.hostile_bench import Group, Side
    from faults.hostile_documents import Document
    from faults.hostile_server import Answer
    from faults.token_server import Asked

RENEW_AT = 0.95
FIRST_LIFETIME_SECONDS = 4000
"""Renewed after 92.5 to 97.5 % of it: the document is more than an hour old by then."""
NEXT_LIFETIME_SECONDS = 200
RECOVERED_SECONDS = 30
ASLEEP_SECONDS = 3600
BEGINNING = 1000
TWO_RENEWALS_SECONDS = 480
"""Behind the sleep, to the end of the second renewal of all."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """`elsewhere`: how many connections came to the server that only the documents name.

    `names`: the host names that were looked up, by any row of the group.
    """

    group: Group
    elsewhere: dict[str, int]
    names: Sequence[str]


def granting(document: Callable[[Asked], Answer]) -> Callable[[Asked], Answer]:
    """Return an answer to both: tokens as ever, documents as told."""

    def answer(asked: Asked) -> Answer:
        if asked.method != "POST":
            return document(asked)
        first = asked.at < BEGINNING + RECOVERED_SECONDS
        seconds = FIRST_LIFETIME_SECONDS if first else NEXT_LIFETIME_SECONDS
        grant = {"access_token": "found-token", "token_type": "Bearer", "expires_in": seconds}
        return http_answer(grant)

    return answer


def nothing(_asked: Asked) -> bytes:
    """Answer as the server does that nobody should ask."""
    return http_answer(b"", status="404 Not Found")


def discover(cases: Sequence[Document]) -> Discovered:
    """Let each row's document stand in the way of a first token, and of one that is renewed."""
    looked_up: list[str] = []
    look_up = socket.getaddrinfo

    def noted(host: Any, *arguments: Any, **keywords: Any) -> Any:
        looked_up.append(str(host))
        return look_up(host, *arguments, **keywords)

    async def main() -> Discovered:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        async with (
            AsyncExitStack() as stack,
            bench(
                cases,
                usual=nothing,
                client=lambda side, case: case.client(side.server.origin),
                audience={"renew_at": RENEW_AT},
            ) as the,
        ):
            the.discovers = True
            elsewhere = {
                case.name: await stack.enter_async_context(HostileServer(nothing)) for case in cases
            }
            for case in cases:
                for side in the.rows[case.name].sides:
                    _prepare(case, side)
            held = [row.held for row in the.rows.values()]
            await the.through(the.call(side) for side in held)
            for case in cases:
                for side in the.rows[case.name].sides:
                    _turn(case, side, elsewhere[case.name].origin)
            await the.cold_calls(the.rows.values())
            await the.advance(RECOVERED_SECONDS)
            # A machine that sleeps for an hour: timer by timer that would take long.
            loop.now += ASLEEP_SECONDS
            await the.advance(TWO_RENEWALS_SECONDS)
            await the.through(the.call(side) for side in the.sides)
            connections = {name: server.connections for name, server in elsewhere.items()}
            return Discovered(await the.observed(), connections, looked_up)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", noted)
        with asyncio.Runner(loop_factory=SteppedLoop) as runner:
            return runner.run(main())


def _prepare(case: Document, side: Side) -> None:
    side.server.usual = granting(lambda asked: case.good(asked, side.server.origin))


def _turn(case: Document, side: Side, elsewhere: str) -> None:
    side.server.turn(granting(lambda asked: case.said(asked, side.server.origin, elsewhere)))
