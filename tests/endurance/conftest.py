"""The endurance tests' peers run on the event loop that the proxy runs on; it is the faster one."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING

import pytest
import uvloop
from endurance import measured_proxy
from endurance.sizes import TEST_SECONDS_MAX

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from endurance.measured_proxy import MeasuredProxy, StartMeasured


DESCRIPTORS_WANTED = 65_536


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "endurance" in item.path.parts:
            item.add_marker(pytest.mark.timeout(TEST_SECONDS_MAX))
            if sys.platform != "linux":
                item.add_marker(pytest.mark.skip(reason="processes are measured in /proc"))


@pytest.fixture(autouse=True)
def many_descriptors() -> Iterator[None]:
    """Allow this process, and the proxies it starts, all the descriptors that may be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def start_measured(tmp_path: Path) -> AsyncIterator[StartMeasured]:
    """Start proxies as `measured_proxy` does; each must end in order, and log no fault of ours."""
    started: list[MeasuredProxy] = []

    async def start(upstream_port: int, **options: object) -> MeasuredProxy:
        folder = tmp_path / f"proxy-{len(started)}"
        running = await measured_proxy.start(upstream_port, folder, **options)  # type: ignore[arg-type]
        started.append(running)
        return running

    yield start
    for each in started:
        # A test that failed has left them as they were, and the loop would not close.
        for writer in each.callers:
            writer.transport.abort()
    statuses = [await one.stop() for one in started]
    assert not any(statuses), statuses
    assert [event for one in started for event in one.events("internal_error")] == []
