"""The framing tables, requests: what is ambiguous goes nowhere, what is not arrives to the byte.

All cases go through one proxy, each in one segment and in single bytes, which must make no
difference; the judges are what a recording upstream received, and what h11 reads on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from conformance.bench import eventually
from conformance.framing_bodies import BODIES
from conformance.framing_caller import CREDENTIAL, Framing, Listener, framing
from conformance.framing_forwarded import CODINGS, LENGTHS, SMUGGLED, Forwarded, chunked
from conformance.framing_forwarded_fields import FIELDS, PIPELINED, UNDERSCORES, UPGRADES
from conformance.framing_heads import HEADS
from conformance.framing_lines import LINES_AND_FIELDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conformance.framing_upstream import Recorded

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("split", [False, True], ids=["one segment", "single bytes"]),
]

REFUSED = HEADS | LINES_AND_FIELDS
FORWARDED = LENGTHS | CODINGS | UNDERSCORES | FIELDS | UPGRADES


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def the() -> AsyncIterator[Framing]:
    async with framing() as started:
        yield started


@pytest.mark.parametrize("case", REFUSED)
async def test_what_may_be_read_in_two_ways_is_refused_and_goes_nowhere(
    the: Framing, case: str, *, split: bool
) -> None:
    """Each case names its source; B-39: nothing behind it is executed, and the connection ends."""
    refused = REFUSED[case]
    since, bytes_before = len(the.upstream.requests), the.upstream.received_bytes
    caller = await the.ask(refused.sent + SMUGGLED, b"GET", split=split)
    await judge_refusal(caller, refused.statuses)
    assert the.upstream.received_bytes == bytes_before
    assert await the.settled(since) == []


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("begun", [False, True], ids=["at once", "behind a good chunk"])
async def test_a_broken_body_never_looks_whole(
    the: Framing, case: str, *, begun: bool, split: bool
) -> None:
    """Each case names its source; B-35, B-39: what went up already is broken off."""
    broken = BODIES[case]
    since = len(the.upstream.requests)
    body = b"2\r\nok\r\n" * begun + broken.body
    caller = await the.ask(chunked(body) + SMUGGLED, b"POST", split=split)
    await judge_refusal(caller, broken.statuses)
    went_up = await the.settled(since)
    assert len(went_up) <= 1
    assert not any(each.complete for each in went_up)
    assert all(each.target == b"/a" for each in went_up)
    # Only the kept connection that the last request came on is left.
    await eventually(
        lambda: sum(not each.ended for each in the.upstream.connections) == 1, "broken off"
    )


@pytest.mark.parametrize("case", FORWARDED)
async def test_what_is_odd_but_clear_arrives_to_the_byte(
    the: Framing, case: str, *, split: bool
) -> None:
    """Each case names its source; what follows on the connection is its own request."""
    odd = FORWARDED[case]
    since = len(the.upstream.requests)
    method = odd.start.partition(b" ")[0]
    caller = await the.ask(odd.sent, method, split=split)
    await caller.hear()
    if odd.may_be_refused and caller.answers[0].status != 200:
        await judge_refusal(caller, range(400, 502))
        assert not any(each.complete for each in await the.settled(since))
        return
    (answer,) = caller.answers
    assert (answer.status, answer.complete, caller.flaw) == (200, True, "")
    (arrived,) = the.upstream.requests[since:]
    judge_arrival(arrived, odd)
    if odd.keeps:
        await the.probe(caller)
    else:
        caller.say(SMUGGLED, split=split)
        await caller.hear(to_end=True)
        assert caller.surplus == b""
    assert b"/smuggled" not in [each.target for each in await the.settled(since)]
    await caller.leave()


@pytest.mark.parametrize("case", PIPELINED)
async def test_requests_in_one_stream_are_told_apart(
    the: Framing, case: str, *, split: bool
) -> None:
    """Each case names its source; B-39, B-40."""
    stream = PIPELINED[case]
    since = len(the.upstream.requests)
    caller = await the.ask(stream.sent, *(b"GET" for _ in stream.statuses), split=split)
    await caller.hear(to_end=True)
    assert [answer.status for answer in caller.answers] == [*stream.statuses]
    assert all(answer.complete for answer in caller.answers)
    assert (caller.surplus, caller.flaw) == (b"", "")
    # Who goes on behind a request that was to be the last may be cut off.
    assert caller.end == "fin" or stream.statuses[-1] == 200
    arrived = await the.settled(since)
    assert [each.target for each in arrived if each.complete] == [*stream.targets]
    assert b"/smuggled" not in [each.target for each in arrived]
    await caller.leave()


async def judge_refusal(caller: Listener, statuses: tuple[int, ...] | range) -> None:
    """One answer of our own, and then the end."""
    await caller.hear(to_end=True)
    assert len(caller.answers) == 1, caller
    (answer,) = caller.answers
    assert answer.status in statuses
    assert answer.complete
    assert (caller.surplus, caller.end, caller.flaw) == (b"", "fin", "")
    assert answer.values(b"connection") == [b"close"]
    assert answer.values(b"content-type") == [b"application/problem+json"]
    assert b"smuggled" not in answer.body
    await caller.leave()


def judge_arrival(arrived: Recorded, odd: Forwarded) -> None:
    """Exactly one request, as h11 reads it and as bytes."""
    assert arrived.complete
    start, *lines = arrived.head
    assert start == odd.start
    assert lines.pop() == CREDENTIAL
    assert lines.pop().startswith(b"Via: 1.1 token-proxy-")
    hosts = [line for line in lines if line.lower().startswith(b"host:")]
    assert len(hosts) == 1
    assert hosts[0].startswith(b"Host: 127.0.0.1:")
    came = [line for line in lines if line not in hosts]
    assert sorted(came, key=is_coding) == sorted(odd.lines, key=is_coding)
    assert arrived.body == odd.body
    assert arrived.trailers == odd.trailers


def is_coding(line: bytes) -> bool:
    """Say whether it is the field that each hop writes for itself."""
    return line.lower().startswith(b"transfer-encoding:")
