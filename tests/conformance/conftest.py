"""The proxy between two bare sockets, on the event loop that users run it on."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from conformance.bench import Bench, StartBench, bench

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def start_bench() -> AsyncIterator[StartBench]:
    """Start the proxy with the given keys of its upstream; see `conformance.bench`."""
    async with AsyncExitStack() as stack:

        async def start(**keys: Any) -> Bench:
            return await stack.enter_async_context(bench(**keys))

        yield start


@pytest.fixture
async def the(start_bench: StartBench) -> Bench:
    """Give a proxy whose configuration is of no matter."""
    return await start_bench()
