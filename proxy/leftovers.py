"""What a configuration leaves over: closed when the last request that began under it is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.forwarding.lane import Lane
    from proxy.tokens.cache import Retired


class Leftovers:
    """Lanes that are still in use, and the tokens and connections that only they may want."""

    def __init__(self) -> None:
        self._lanes: set[Lane] = set()
        self._tasks: dict[asyncio.Task[None], Retired] = {}

    def add(
        self, lanes: Iterable[Lane], retired: Retired, cleared_away: Callable[[], None]
    ) -> None:
        """Close `retired` when nobody is on a lane any more, then call `cleared_away`."""
        self._lanes.update(lane for lane in lanes if lane.in_flight)
        task = asyncio.create_task(
            self._clear_away(retired, cleared_away), name="configuration-left"
        )
        self._tasks[task] = retired
        task.add_done_callback(self._tasks.pop)

    async def close(self) -> None:
        """Close all of it now."""
        for task, retired in list(self._tasks.items()):
            task.cancel()
            await retired.close()

    async def _clear_away(self, retired: Retired, cleared_away: Callable[[], None]) -> None:
        # Lanes that were left earlier too: they may use what is left over only now.
        for lane in list(self._lanes):
            await lane.emptied()
            self._lanes.discard(lane)
        await retired.close()
        cleared_away()
