"""A process that may have 256 descriptors, and a thousand callers that want one each."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest
from conformance.bench import TokenEndpoint, request
from endurance.measured_proxy import eventually
from endurance.patient_upstream import PatientUpstream
from integration.proxy_process import get

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conformance.wire import Peer
    from endurance.measured_proxy import MeasuredProxy, StartMeasured

DESCRIPTORS_MAX = 256
CALLERS = 1_000
LOAD_MAX = 0.5
"""Of a core, while there is nothing to be done."""
LOG_LINES_MAX = 50
HOLD = request(line=b"GET /hold/x HTTP/1.1")
GET_NOW = request(line=b"GET /now/x HTTP/1.1")


def with_a_token(tokens: TokenEndpoint) -> dict[str, Any]:
    """Return the file's keys for an audience whose token is fetched when it is first wanted."""
    return {
        "clients": {
            "us": {
                "token_endpoint": f"http://127.0.0.1:{tokens.port}/token",
                "client_id": "us",
                "client_secret": "kept to ourselves",
            }
        },
        "audiences": {"orders": {"client": "us", "prefetch": False}},
    }


@pytest.fixture
async def tokens() -> AsyncIterator[TokenEndpoint]:
    endpoint = TokenEndpoint()
    await endpoint.start()
    yield endpoint
    await endpoint.stop()


async def crowd(proxy: MeasuredProxy, says: bytes, *, at_once: bool) -> list[Peer]:
    """Connect more callers than there are descriptors, each of which says something.

    `at_once`: the proxy finds them all in line.
    """
    if at_once:
        proxy.process.send_signal(signal.SIGSTOP)
    callers = [await proxy.caller() for _ in range(CALLERS)]
    for caller in callers:
        caller.send(says)
    if at_once:
        proxy.process.send_signal(signal.SIGCONT)
    return callers


async def is_served(proxy: MeasuredProxy) -> bool:
    """Say whether a caller that comes now is answered by the upstream."""
    caller = await proxy.caller()
    try:
        return (await caller.asks(GET_NOW)).status == 200
    except (ConnectionError, asyncio.IncompleteReadError):
        return False
    finally:
        caller.abort()


@pytest.mark.parametrize("crowd_is", ["idle", "idle and there at once", "working"])
async def test_a_process_out_of_descriptors_lives_on_and_recovers(
    start_measured: StartMeasured, tokens: TokenEndpoint, crowd_is: str
) -> None:
    """R-15, B-67: it does not end and does not spin, probes are answered, tokens are fetched."""
    says = HOLD if crowd_is == "working" else HOLD[:-2]
    async with PatientUpstream() as upstream:
        proxy = await start_measured(
            upstream.port,
            descriptors_max=DESCRIPTORS_MAX,
            audience="orders",
            timeouts={"connect_seconds": 0.5},
            top=with_a_token(tokens) | {"limits": {"head_seconds": 600}},
        )
        earlier = await proxy.caller()
        callers = await crowd(proxy, says, at_once=crowd_is == "idle and there at once")
        # It has seen all of them when it has nothing more to do.
        await eventually(lambda: at_rest(proxy), "an idle process")
        assert await proxy.load(1) < LOAD_MAX
        assert (await get(f"{proxy.admin_url}/livez"))[0] == 200
        assert (await earlier.asks(GET_NOW)).status in ({200, 503} if says == HOLD else {200})
        assert tokens.granted == 1
        assert await proxy.metric("tokenproxy_errors_total", code="overloaded") > 0
        for caller in callers:
            caller.abort()
        await eventually(lambda: is_served(proxy), "a caller is served")
        await proxy.quiet()
        served = await asyncio.gather(*(is_served(proxy) for _ in range(50)))
        assert all(served)
        lines = [event for event in proxy.events() if event["event"] != "request"]
        assert len(lines) <= LOG_LINES_MAX
        earlier.abort()


async def at_rest(proxy: MeasuredProxy) -> bool:
    """Say whether it used next to no CPU time for a moment."""
    return await proxy.load(0.3) < 0.1
