"""Callers that leave at every stage of a request, a hundred thousand of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from endurance.measured_proxy import MIB, eventually
from endurance.patient_upstream import PatientUpstream
from endurance.sizes import sized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.wire import Peer
    from endurance.measured_proxy import MeasuredProxy, StartMeasured

LEAVERS = sized(3_000, 100_000)
WARM_UP = sized(1_000, 20_000)
"""After so many, what grows is lost."""
AT_ONCE = 50
GROWTH_BYTES_MAX = sized(16, 5) * MIB
DESCRIPTORS_MORE_MAX = 2
OBJECTS_MORE_MAX = 10
"""Of each type of ours: far fewer than callers."""


async def before_the_head_is_complete(caller: Peer, _name: str, _upstream: PatientUpstream) -> None:
    caller.send(b"GET /hold/x HTTP/1.1\r\nHost: loc")
    await caller.flush()


async def while_waiting(caller: Peer, name: str, upstream: PatientUpstream) -> None:
    caller.send(b"GET /hold/%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % name.encode())
    await upstream.courses[name].came.wait()


async def before_a_late_answer(caller: Peer, name: str, upstream: PatientUpstream) -> None:
    caller.send(b"GET /late/%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % name.encode())
    await upstream.courses[name].came.wait()


async def in_the_upload(caller: Peer, name: str, upstream: PatientUpstream) -> None:
    caller.send(
        b"POST /take/%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n%b"
        % (name.encode(), bytes(20_000))
    )
    await upstream.courses[name].came.wait()


async def in_a_chunk_of_the_upload(caller: Peer, name: str, upstream: PatientUpstream) -> None:
    caller.send(
        b"PUT /take/%b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nabcde\r\nff\r\nhalf" % name.encode()
    )
    await upstream.courses[name].came.wait()


async def in_the_download(caller: Peer, name: str, upstream: PatientUpstream) -> None:
    caller.send(b"GET /stream/%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % name.encode())
    await caller.head()
    await caller.some()
    assert not upstream.courses[name].ended.is_set()


async def without_reading_the_download(caller: Peer, name: str, upstream: PatientUpstream) -> None:
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
    caller.send(b"GET /stream/%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % name.encode())
    await upstream.courses[name].came.wait()


async def between_two_requests(caller: Peer, name: str, upstream: PatientUpstream) -> None:
    answer = await caller.asks(b"GET /now/%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % name.encode())
    assert answer.status == 200
    await upstream.courses[name].ended.wait()


async def with_more_requests_in_line(caller: Peer, name: str, upstream: PatientUpstream) -> None:
    caller.send(
        b"GET /hold/%b HTTP/1.1\r\nHost: localhost\r\n\r\n"
        b"GET /hold/x HTTP/1.1\r\nHost: localhost\r\n\r\n"
        b"POST /hold/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf" % name.encode()
    )
    await upstream.courses[name].came.wait()


BY_A_RESET = (
    before_the_head_is_complete,
    while_waiting,
    before_a_late_answer,
    in_the_upload,
    in_a_chunk_of_the_upload,
    in_the_download,
    without_reading_the_download,
    between_two_requests,
    with_more_requests_in_line,
)
IN_ORDER = (
    # Who only waits cannot be told from one that has nothing more to say, and still listens.
    before_the_head_is_complete,
    before_a_late_answer,
    in_the_upload,
    in_a_chunk_of_the_upload,
    in_the_download,
    between_two_requests,
)
WAYS = [(stage, True) for stage in BY_A_RESET] + [(stage, False) for stage in IN_ORDER]


async def leave(proxy: MeasuredProxy, upstream: PatientUpstream, names: Iterator[int]) -> None:
    """Call and leave, one caller after another; each time the upstream's side must end too."""
    for number in names:
        name = str(number)
        stage, by_a_reset = WAYS[number % len(WAYS)]
        caller = await proxy.caller()
        await stage(caller, name, upstream)
        if by_a_reset:
            caller.abort()
        else:
            caller.finish()
        if name in upstream.courses:
            await upstream.courses.pop(name).ended.wait()


async def let_leave(proxy: MeasuredProxy, upstream: PatientUpstream, names: range) -> None:
    left = iter(names)
    async with asyncio.TaskGroup() as callers:
        for _ in range(AT_ONCE):
            callers.create_task(leave(proxy, upstream, left))
    await proxy.quiet()

    async def nothing_is_kept() -> bool:
        return not (await proxy.metric("tokenproxy_upstream_connections") or upstream.connections)

    await eventually(nothing_is_kept, "no connections")


@pytest.mark.slow
async def test_callers_that_leave_leave_nothing_behind(start_measured: StartMeasured) -> None:
    """R-17, R-20: connections, tasks and memory come back, whenever a caller goes."""
    async with PatientUpstream() as upstream:
        proxy = await start_measured(upstream.port, observed=True, connection_idle_seconds=1)
        descriptors, tasks = proxy.descriptors(), (await proxy.living())["tasks"]

        async def as_before() -> bool:
            # A caller that is not being read is looked after now and then only.
            return (
                proxy.descriptors() <= descriptors + DESCRIPTORS_MORE_MAX
                and (await proxy.living())["tasks"] <= tasks
            )

        await let_leave(proxy, upstream, range(WARM_UP))
        await eventually(as_before, f"{descriptors} descriptors, {tasks} tasks")
        # What comes and goes is not the same at any time, but its most is soon reached.
        largest, living = proxy.largest_resident_bytes(), await proxy.living()
        await let_leave(proxy, upstream, range(WARM_UP, WARM_UP + LEAVERS))
        await eventually(as_before, f"{descriptors} descriptors, {tasks} tasks")
        assert proxy.resident_bytes() <= largest + GROWTH_BYTES_MAX
        # Neither does anything of ours stay that is too small to be seen there.
        after = await proxy.living()
        assert not {
            name: count - living[name]
            for name, count in after.items()
            if name.startswith("proxy.") and count - living[name] > OBJECTS_MORE_MAX
        }
