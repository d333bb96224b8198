"""What a running proxy logs: a thread writes it, so it may come a moment after what it is about."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from integration.proxy_process import RunningProxy

PATIENCE_SECONDS = 30
POLL_SECONDS = 0.01


async def logged_once(proxy: RunningProxy, name: str) -> dict[str, Any]:
    """Return the one event of that name, as soon as it is there."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (events := proxy.events(name)):
            await asyncio.sleep(POLL_SECONDS)
    (event,) = events
    return event
