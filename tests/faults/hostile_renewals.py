"""A table of hostile answers, played cold and at a renewal."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING, Any, Protocol

from faults.hostile_bench import STEP_SECONDS, Case, bench
from faults.stepped_time import SteppedLoop, now
from faults.token_server import http_answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from faults.hostile_bench import Bench, Client, Group, Side
    from faults.hostile_server import HostileServer
    from faults.token_server import Asked

LIFETIME_SECONDS = 100
SOONEST_SECONDS = 44.5
LATEST_SECONDS = 55.5
"""Between them lies half of the lifetime, with the spread: every `held` token's renewal."""
OLD = "old-token"
"""What `held` holds, and what a server grants that has come to its senses."""


class Turning(Case, Protocol):
    """A row that knows how to turn a server. `flood`: one to be measured by itself."""

    @property
    def flood(self) -> bool: ...
    def turn(self, server: HostileServer) -> None: ...


def usual(_asked: Asked) -> bytes:
    grant = {"access_token": OLD, "token_type": "Bearer", "expires_in": LIFETIME_SECONDS}
    return http_answer(grant)


def at_the_token_endpoint(side: Side, _case: Turning) -> dict[str, Any]:
    return {"token_endpoint": side.server.url}


def observe(
    cases: Sequence[Turning],
    *,
    client: Client = at_the_token_endpoint,
    tls: ssl.SSLContext | None = None,
) -> Group:
    """Let every server turn once before a first token and once at a renewal; note what happens."""

    async def main() -> Group:
        async with bench(
            cases, usual=usual, client=client, tls=tls, audience={"renew_at": 0.5}
        ) as the:
            held_at = now()
            held = [row.held for row in the.rows.values()]
            await the.through(the.call(side) for side in held)
            for case in cases:
                for side in the.rows[case.name].sides:
                    case.turn(side.server)
            await _cold(the, cases)
            await the.advance(SOONEST_SECONDS - (now() - held_at))
            while now() < held_at + LATEST_SECONDS or any(map(the.asking, the.sides)):
                await the.advance(STEP_SECONDS)
                await the.through(the.call(side) for side in held if the.asking(side))
                await asyncio.gather(*(side.server.calm() for side in held if the.failing(side)))
            await the.through(the.call(side) for side in held)
            await the.through(the.call(row.cold) for row in the.rows.values())
            return await the.observed()

    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        return runner.run(main())


async def _cold(the: Bench, cases: Sequence[Turning]) -> None:
    for row in [the.rows[case.name] for case in cases if case.flood]:
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        await the.cold_calls([row])
        row.peak_bytes = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
    await the.cold_calls([the.rows[case.name] for case in cases if not case.flood])
