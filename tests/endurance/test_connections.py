"""Ten thousand callers' connections at once, up to the limit and beyond it."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING

from conformance.bench import request
from endurance.measured_proxy import KIB, eventually
from endurance.patient_upstream import PatientUpstream
from endurance.sizes import sized
from integration.foreign_server import require

if TYPE_CHECKING:
    from conformance.wire import Peer
    from endurance.measured_proxy import MeasuredProxy, StartMeasured

CONNECTIONS_MAX = sized(1_000, 10_000)
WORKING = 50
TOO_MANY = 25
PAUSE_SECONDS = 0.1
"""Between two requests of one that works: many calls are not what is tested."""
CONNECTION_BYTES_MAX = 16 * KIB
"""Resident, for one that idles: its buffers are the kernel's."""
GET_NOW = request(line=b"GET /now/x HTTP/1.1")


async def work(callers: list[Peer], enough: asyncio.Event) -> int:
    """Let each of them call again and again; return how many were answered 200, the rest fail."""

    async def call(caller: Peer) -> int:
        answered = 0
        while not enough.is_set():
            assert (await caller.asks(GET_NOW)).status == 200
            answered += 1
            await asyncio.sleep(PAUSE_SECONDS)
        return answered

    return sum(await asyncio.gather(*map(call, callers)))


async def connect_idle(proxy: MeasuredProxy, count: int) -> list[Peer]:
    """Connect callers that idle; every other one has called before."""
    callers = []
    for number in range(count):
        callers.append(caller := await proxy.caller(buffer_bytes=KIB))
        if number % 2:
            assert (await caller.asks(GET_NOW)).status == 200
    return callers


async def test_connections_up_to_the_limit_are_served_and_more_are_told(
    start_measured: StartMeasured,
) -> None:
    """SPEC §6: `connections_max`; its answer, its metric, and the way back."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    require(
        allowed >= CONNECTIONS_MAX * 3 // 2 + 500,
        f"{allowed} descriptors are too few for {CONNECTIONS_MAX} connections",
    )
    async with PatientUpstream() as upstream:
        limits = {"connections_max": CONNECTIONS_MAX, "keepalive_seconds": 3600}
        proxy = await start_measured(upstream.port, top={"limits": limits})
        working = await connect_idle(proxy, WORKING)
        enough = asyncio.Event()
        at_work = asyncio.create_task(work(working, enough))
        before = proxy.resident_bytes()
        idle = await connect_idle(proxy, CONNECTIONS_MAX - WORKING)
        assert proxy.resident_bytes() - before <= len(idle) * CONNECTION_BYTES_MAX
        for _ in range(TOO_MANY):
            refused = await proxy.caller()
            answer = await refused.answer()
            assert (answer.status, b"overloaded" in answer.body) == (503, True)
            assert answer.head.values("Retry-After")
            assert await refused.rest() == b""
            refused.abort()
        assert await proxy.metric("tokenproxy_errors_total", code="overloaded") == TOO_MANY
        # Whoever was there is there still.
        for caller in idle[:: len(idle) // 100]:
            assert (await caller.asks(GET_NOW)).status == 200
        enough.set()
        assert await at_work > WORKING
        for caller in idle:
            caller.abort()
        await eventually(lambda: is_served(proxy), "there is room again")
        # Where thousands were, as many can be again.
        for caller in await connect_idle(proxy, 200):
            caller.abort()
        for caller in working:
            assert (await caller.asks(GET_NOW)).status == 200
            caller.abort()


async def is_served(proxy: MeasuredProxy) -> bool:
    caller = await proxy.caller()
    caller.send(GET_NOW)
    status = (await caller.answer()).status
    caller.abort()
    return status == 200
