"""An event loop whose time stands still until a test moves it, with real sockets all the same.

    @stepped
    async def test_something() -> None:
        ...
        await advance(60, settled=lambda: nothing_is_in_flight)

`advance` goes from timer to timer and lets everything come to rest before it goes on, so that an
hour passes in milliseconds and no load on the machine changes what happens.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TURNS = 12
"""So many turns of the loop wake whoever waited for what has just happened."""
IDLE_TURNS = 4
"""As many are enough in which nothing was left to do, and no socket had news."""


class SteppedLoop(asyncio.SelectorEventLoop):
    """Its clock moves by `advance` alone."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._has_news = False
        super().__init__()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, *arguments: Any, **keywords: Any) -> asyncio.TimerHandle:
        timer = super().call_at(when, *arguments, **keywords)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def _process_events(self, event_list: list[Any]) -> None:
        self._has_news = bool(event_list)
        super()._process_events(event_list)

    async def advance(self, seconds: float, settled: Callable[[], bool] = lambda: True) -> None:
        """Let `seconds` pass; at each timer wait until `settled` before going on."""
        target = self.now + seconds
        await self._rest(settled)
        while self._timers and self._timers[0][0] <= target:
            instant, _, timer = heapq.heappop(self._timers)
            # Most timers are timeouts of what came in time: nothing happens then.
            if instant > self.now and not timer.cancelled():
                self.now = instant
                await self._rest(settled)
        if target > self.now:
            self.now = target
            await self._rest(settled)

    async def _rest(self, settled: Callable[[], bool]) -> None:
        # What is waited for are sockets of this machine: the loop has to look at them again.
        turns = 0
        while turns < TURNS:
            await asyncio.sleep(0)
            if not settled():
                turns = 0
            elif self._has_news or self._ready:
                turns += 1
            else:
                turns += TURNS // IDLE_TURNS


def now() -> float:
    """Return the present instant of the stepped loop."""
    return asyncio.get_running_loop().time()


async def advance(seconds: float, settled: Callable[[], bool] = lambda: True) -> None:
    """Let `seconds` pass on the stepped loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop), "the test is not marked @stepped"
    await loop.advance(seconds, settled)


def stepped(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an `async def` test on a loop of its own whose time is stepped."""

    @functools.wraps(test)
    def run(*arguments: Any, **keywords: Any) -> None:
        async def main() -> None:
            await test(*arguments, **keywords)

        with asyncio.Runner(loop_factory=SteppedLoop) as runner:
            runner.run(main())

    return run
