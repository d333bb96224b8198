"""Thousands of exchanges through an upstream that nothing can be relied on of."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from conformance.wire import Head, Peer
from endurance.exchanges import answer_body, chance, method, number_of, request
from endurance.fates import FATES, stalls
from endurance.measured_proxy import eventually
from endurance.sizes import sized
from endurance.unreliable_upstream import UnreliableUpstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from endurance.measured_proxy import MeasuredProxy, StartMeasured

EXCHANGES = sized(3000, 10_000)
POSTS = sized(500, 10_000)
CALLERS = 64
SECONDS = {"patient": 20, "impatient": 1}
"""The two timeouts of each of the proxy's ways to the upstream.

What stalls takes its timeout, so it goes the second way, and every fourth exchange with it. On a
busy machine anything may take a second; nothing takes twenty.
"""
MANNERS = {"kept": 6, "fresh": 2, "of version 1.0": 2, "pipelined": 2}


@dataclass(slots=True)
class Caller(Peer):
    """A caller's connection that keeps the head it read last."""

    last: Head | None = None

    async def head(self) -> Head:
        self.last = await Peer.head(self)
        return self.last


@dataclass(slots=True)
class Tally:
    """What became of the exchanges, and of which number what must never be."""

    outcomes: Counter[str] = field(default_factory=Counter)
    right: set[int] = field(default_factory=set)
    strangers: list[tuple[int, int | None]] = field(default_factory=list)
    false: list[int] = field(default_factory=list)

    async def read(self, caller: Caller, number: int) -> bool:
        """Read the answer to an exchange; say whether the connection goes on."""
        caller.last = None
        try:
            answer = await caller.answer()
            while answer.status < 200:
                answer = await caller.answer()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.outcomes["broken off"] += 1
            self._compare(number, caller.last)
            return False
        if answer.head.values("Proxy-Status"):
            self.outcomes[str(answer.status)] += 1
            return answer.head.values("Connection") != [b"close"]
        self._compare(number, answer.head)
        self.outcomes["right"] += 1
        self.right.add(number)
        if answer.body != answer_body(number):
            self.false.append(number)
        return answer.head.values("Connection") != [b"close"]

    def _compare(self, number: int, head: Head | None) -> None:
        if head is None or int(head.start.split()[1]) < 200 or head.values("Proxy-Status"):
            return
        if number_of(head) != number:
            self.strangers.append((number, number_of(head)))


def drawn_way(number: int) -> str:
    """Return the way that an exchange with the unreliable upstream goes."""
    return "impatient" if number % 4 == 0 or stalls(number) else "patient"


async def call(
    proxy: MeasuredProxy, numbers: Iterator[int], way: Callable[[int], str], tally: Tally
) -> None:
    """Have one exchange after another, each in the manner that is drawn for it."""
    caller: Caller | None = None
    for number in numbers:
        drawn = chance("manner", number)
        (manner,) = drawn.choices([*MANNERS], [*MANNERS.values()])
        group = [number]
        if manner == "pipelined":
            group += itertools.islice(numbers, drawn.randint(1, 3))
        minor = 0 if manner == "of version 1.0" else 1
        if caller is not None and manner in {"fresh", "of version 1.0"}:
            caller.abort()
            caller = None
        if caller is None:
            peer = await proxy.caller()
            caller = Caller(peer.reader, peer.writer)
        caller.send(
            b"".join(request(each, minor=minor, under=b"/" + way(each).encode()) for each in group)
        )
        goes_on = True
        for each in group:
            if goes_on:
                goes_on = await tally.read(caller, each)
            else:
                tally.outcomes["unanswered"] += 1
        if not goes_on or not minor:
            caller.abort()
            caller = None
    if caller is not None:
        caller.abort()


async def have(proxy: MeasuredProxy, numbers: range, way: Callable[[int], str]) -> Tally:
    """Have these exchanges, by `CALLERS` callers at once."""
    tally = Tally()
    left = iter(numbers)
    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(call(proxy, left, way, tally))
    return tally


@pytest.mark.slow
async def test_no_answer_is_anothers_and_no_part_passes_for_the_whole(
    start_measured: StartMeasured,
) -> None:
    """R-10, R-11, B-42, B-60."""
    async with UnreliableUpstream() as upstream:
        ways = {
            name: {
                "url": f"http://127.0.0.1:{upstream.port}",
                "match": {"path": f"/{name}"},
                "audience": "none",
                "timeouts": {"response_seconds": seconds, "idle_seconds": seconds},
            }
            for name, seconds in SECONDS.items()
        }
        proxy = await start_measured(upstream.port, top={"upstreams": ways})
        tally = await have(proxy, range(EXCHANGES), drawn_way)
        assert tally.strangers == []
        assert tally.false == []
        assert [number for number in tally.right if not upstream.whole(number)] == []
        asked = upstream.asked
        assert [n for n in asked if asked[n] > (1 if method(n) == b"POST" else 2)] == []
        assert upstream.mangled == []
        outcomes = tally.outcomes
        assert outcomes.total() == EXCHANGES
        assert {*outcomes} <= {"right", "502", "504", "broken off", "unanswered"}, outcomes
        # Chance has dealt every fate, and what was answered right has mostly arrived.
        assert {*FATES} == {fate for each in upstream.fates.values() for fate in each}
        whole = sum(upstream.whole(number) for number in range(EXCHANGES))
        assert 0.8 * whole <= outcomes["right"] <= whole < EXCHANGES, (outcomes, whole)
        await proxy.quiet()
        await afterwards_all_is_as_it_should_be(proxy, upstream)


async def afterwards_all_is_as_it_should_be(
    proxy: MeasuredProxy, upstream: UnreliableUpstream
) -> None:
    """Check that the pools hold what is alive and owe nothing."""

    async def at_rest() -> bool:
        idle = await proxy.metric("tokenproxy_upstream_connections", state="idle")
        return not upstream.busy and idle == upstream.connections

    await eventually(at_rest, "the pools and the upstream know the same connections")
    upstream.honest = True
    after = await have(proxy, range(EXCHANGES, EXCHANGES + 500), lambda _: "patient")
    assert after.outcomes == {"right": 500}
    assert (after.strangers, after.false) == ([], [])
    after = await have(proxy, range(EXCHANGES + 500, EXCHANGES + 700), lambda _: "impatient")
    # An upstream that was kept from its CPU for a second is late; nobody else's answer comes.
    assert {*after.outcomes} <= {"right", "504", "unanswered"}, after.outcomes
    assert (after.strangers, after.false) == ([], [])


class IdleUpstream(UnreliableUpstream):
    """Answers right, and closes connections that were idle for a time between two bounds.

    A new one may wait for its first request, so that each is good for one right answer at least.
    """

    def __init__(self, idle_seconds: tuple[float, float]) -> None:
        super().__init__()
        self.honest = True
        self.closed = 0
        self._idle_seconds = idle_seconds
        self._used: set[asyncio.StreamWriter] = set()

    async def next_head(self, peer: Peer) -> Head:
        if peer.writer not in self._used:
            self._used.add(peer.writer)
            return await peer.head()
        patience = chance("idle", self.asked.total()).uniform(*self._idle_seconds)
        try:
            async with asyncio.timeout(patience):
                return await peer.head()
        except TimeoutError:
            self.closed += 1
            raise ConnectionResetError from None


async def post_now_and_then(
    proxy: MeasuredProxy, numbers: Iterator[int], pause_seconds: tuple[float, float], tally: Tally
) -> None:
    """Have one POST after another, a pause before each."""
    caller: Caller | None = None
    for number in numbers:
        await asyncio.sleep(chance("pause", number).uniform(*pause_seconds))
        if caller is None:
            peer = await proxy.caller()
            caller = Caller(peer.reader, peer.writer)
        caller.send(request(number))
        if not await tally.read(caller, number):
            caller.abort()
            caller = None
    if caller is not None:
        caller.abort()


async def knows_no_connection(proxy: MeasuredProxy) -> bool:
    return not await proxy.metric("tokenproxy_upstream_connections")


@pytest.mark.parametrize("pool_is", ["more patient", "less patient"])
async def test_a_post_meets_an_upstream_that_closes_what_is_idle(
    start_measured: StartMeasured, pool_is: str
) -> None:
    """R-11: never executed twice; and none is lost where the pool lets go before the upstream."""
    patience, kept, pause = (
        ((0.02, 0.03), 2, (0.0, 0.05))
        if pool_is == "more patient"
        else ((20.0, 20.0), 0.05, (0.0, 0.1))
    )
    posts = [number for number in range(4 * POSTS) if method(number) == b"POST"][:POSTS]
    async with IdleUpstream(patience) as upstream:
        proxy = await start_measured(upstream.port, connection_idle_seconds=kept)
        tally, left = Tally(), iter(posts)
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(post_now_and_then(proxy, left, pause, tally))
        assert (tally.strangers, tally.false, upstream.mangled) == ([], [], [])
        assert max(upstream.asked.values()) == 1
        assert tally.outcomes.total() == POSTS
        assert {*tally.outcomes} <= {"right", "502"}
        if pool_is == "more patient":
            # Who sends in the very moment of the closing is lost, and told so.
            assert upstream.closed
            assert tally.outcomes["right"] >= POSTS / 2
        else:
            assert (tally.outcomes["right"], upstream.closed) == (POSTS, 0)
        await proxy.quiet()
        await eventually(lambda: knows_no_connection(proxy), "the pool has let go")
