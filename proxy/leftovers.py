"""What a configuration leaves over: kept for requests that began under it, and no longer.

A tunnel may last for days, and many configurations come and go meanwhile. So it keeps but what it
may want itself: its lane, the token of its own audience, and its upstream's series.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.forwarding.lane import Lane
    from proxy.telemetry.facts import Telemetry
    from proxy.tokens.cache import Retired, TokenCache


class Leftovers:
    """Lanes of before that are still in use, each with the tokens that it asks for."""

    def __init__(self, telemetry: Telemetry, retired: Retired) -> None:
        self._telemetry = telemetry
        self._retired = retired
        self._in_use: dict[Lane, TokenCache] = {}
        self._clearing: set[asyncio.Task[None]] = set()

    def add(self, lanes: Iterable[Lane], tokens: TokenCache) -> None:
        """Keep what requests on `lanes` may still want, of `tokens` too; end the rest soon."""
        for lane in lanes:
            if lane.in_flight:
                self._in_use[lane] = tokens
                lane.on_emptied = partial(self._emptied, lane)
        self._clear_away_soon()

    async def close(self) -> None:
        """End all of it now."""
        self._in_use.clear()
        self._clear_away_soon()
        await asyncio.wait(self._clearing)

    def _emptied(self, lane: Lane) -> None:
        self._in_use.pop(lane, None)
        self._clear_away_soon()

    def _clear_away_soon(self) -> None:
        # Not now: a request that is just over has still to be counted.
        task = asyncio.create_task(self._clear_away(), name="configuration-left")
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    async def _clear_away(self) -> None:
        self._telemetry.forget_upstreams(but={lane.facts.name for lane in self._in_use})
        wanted = {
            tokens.held(lane.route.audience)
            for lane, tokens in self._in_use.items()
            if lane.route.audience is not None
        }
        await self._retired.end(but=wanted)
