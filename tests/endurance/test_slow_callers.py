"""Callers that send or read as slowly as they may, beside others that do not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from conformance.bench import request
from endurance.patient_upstream import PatientUpstream
from endurance.sizes import sized

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conformance.wire import Peer
    from endurance.measured_proxy import MeasuredProxy, StartMeasured

SLOW_CALLERS = sized(50, 500)
HEALTHY_CALLERS = 10
ROUNDS = sized(10, 300)
"""How often each slow caller moves."""
ROUND_SECONDS = 0.2
HEAD_SECONDS = 1
GET_NOW = request(line=b"GET /now/x HTTP/1.1")

HEAD = b"GET /now/x HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


async def send_heads(proxy: MeasuredProxy) -> int:
    """Send heads byte by byte, each until it is refused; return how many were."""
    refused = 0
    caller = await begin(proxy, HEAD)
    answer = asyncio.create_task(caller.answer())
    for _ in range(ROUNDS):
        await asyncio.sleep(ROUND_SECONDS)
        if not answer.done():
            caller.send(b"a")
            continue
        assert (await answer).status == 408
        assert await caller.rest() == b""
        refused += 1
        caller.abort()
        caller = await begin(proxy, HEAD)
        answer = asyncio.create_task(caller.answer())
    caller.abort()
    await asyncio.wait({answer})
    # Broken off by the line above, or told in the same moment.
    answer.exception()
    return refused


async def send_bodies(proxy: MeasuredProxy) -> int:
    """Send a body byte by byte; return 0."""
    caller = await begin(proxy, request(b"Content-Length: 1000000", line=b"POST /take/x HTTP/1.1"))
    for _ in range(ROUNDS):
        await asyncio.sleep(ROUND_SECONDS)
        caller.send(b"a")
        assert not caller.reader.at_eof()
    caller.abort()
    return 0


async def read_answers(proxy: MeasuredProxy) -> int:
    """Read an answer without end, a little at a time; return 0."""
    caller = await begin(proxy, request(line=b"GET /stream/x HTTP/1.1"))
    for _ in range(ROUNDS):
        await asyncio.sleep(ROUND_SECONDS)
        assert await caller.reader.read(1024)
    caller.abort()
    return 0


async def begin(proxy: MeasuredProxy, says: bytes) -> Peer:
    caller = await proxy.caller(buffer_bytes=1024)
    caller.send(says)
    return caller


async def be_healthy(proxy: MeasuredProxy, enough: asyncio.Event) -> int:
    """Call again and again, on kept and on new connections; fail if one call does."""
    answered = 0
    while not enough.is_set():
        caller = await proxy.caller()
        for _ in range(5):
            assert (await caller.asks(GET_NOW)).status == 200
            answered += 1
            await asyncio.sleep(0.02)
        caller.abort()
    return answered


@pytest.mark.parametrize("slowly", [send_heads, send_bodies, read_answers])
async def test_slow_callers_cost_the_others_nothing(
    start_measured: StartMeasured, slowly: Callable[[MeasuredProxy], Awaitable[int]]
) -> None:
    """R-16."""
    async with PatientUpstream() as upstream:
        proxy = await start_measured(
            upstream.port,
            # Slow bodies and reads hold a connection each.
            connections_max=2 * SLOW_CALLERS,
            top={"limits": {"head_seconds": HEAD_SECONDS}},
        )
        enough = asyncio.Event()
        healthy = asyncio.gather(*(be_healthy(proxy, enough) for _ in range(HEALTHY_CALLERS)))
        refused = await asyncio.gather(*(slowly(proxy) for _ in range(SLOW_CALLERS)))
        enough.set()
        assert min(await healthy) > 0
        assert (min(refused) > 0) == (slowly is send_heads)
        await proxy.quiet()
