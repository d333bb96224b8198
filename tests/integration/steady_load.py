"""Callers that come at a steady pace, whatever became of those before them."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp


async def steady_load(url: str, *, per_second: float, enough: asyncio.Event) -> Counter[int]:
    """Send GETs to `url` until `enough` is set; return how often each status came back.

    A request without any answer raises, as everything does that a caller would notice.
    """
    statuses: Counter[int] = Counter()
    loop = asyncio.get_running_loop()

    async def call(session: aiohttp.ClientSession) -> None:
        async with session.get(url) as answer:
            await answer.read()
            statuses[answer.status] += 1

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as callers:
        due = loop.time()
        while not enough.is_set():
            callers.create_task(call(session))
            due += 1 / per_second
            await asyncio.sleep(max(0, due - loop.time()))
    return statuses
