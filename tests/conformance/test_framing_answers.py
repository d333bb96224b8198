"""The framing tables, answers: passed on faithfully, or a bad gateway, or visibly broken off.

All cases go through one proxy, each in one segment and in single bytes. After each of them a
request on the same connection and one on another must get answers of their own: what an upstream
said too much is nobody's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from conformance.bench import eventually, request
from conformance.framing_answers import BEHIND, FAITHFUL, OK, POISON, POST, TWO
from conformance.framing_answers_broken import AMBIGUOUS, CUT
from conformance.framing_caller import Framing, Listener, framing
from conformance.framing_upstream import Script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conformance.framing_answers import Answered
    from conformance.framing_upstream import RecordedConnection

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("split", [False, True], ids=["one segment", "single bytes"]),
]

ANSWERED = FAITHFUL | BEHIND
CASE = request(line=b"GET /case HTTP/1.1")
OF_ONE_HOP = {b"connection", b"transfer-encoding"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def the() -> AsyncIterator[Framing]:
    async with framing() as started:
        yield started


@pytest.mark.parametrize("case", ANSWERED)
async def test_an_answer_is_passed_on_and_what_is_behind_it_is_nobodys(
    the: Framing, case: str, *, split: bool
) -> None:
    """Each case names its source."""
    answered = ANSWERED[case]
    script = Script(answered.said, end=answered.end, split=split)
    caller, upstream = await ask_case(the, answered.request, script)
    await caller.hear()
    (answer,) = caller.answers
    judge_answer(caller, answered)
    closes = answer.values(b"connection") == [b"close"] or b"HTTP/1.0" in answered.request
    if answered.kept is False:
        # Nothing that comes later on that connection is anybody's answer.
        await eventually(lambda: upstream.ended, "the upstream's connection is ended")
    await eventually(lambda: upstream.silent, "all is said")
    if closes:
        await caller.hear(to_end=True)
        assert (caller.surplus, caller.end) == (b"", "fin")
    await judge_others(the, caller, closes=closes)
    assert answered.kept is None or upstream.ended is not answered.kept


@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_what_is_no_clear_answer_is_a_bad_gateway(
    the: Framing, case: str, *, split: bool
) -> None:
    """Each case names its source; none of it goes on, and its connection is ended."""
    ambiguous = AMBIGUOUS[case]
    script = Script(ambiguous.said, end=ambiguous.end, split=split)
    caller, upstream = await ask_case(the, CASE, script)
    await caller.hear()
    (answer,) = caller.answers
    assert (answer.status, answer.complete, caller.flaw, caller.surplus) == (502, True, "", b"")
    assert b"upstream_misspoke" in answer.body
    await eventually(lambda: upstream.ended, "the upstream's connection is ended")
    await judge_others(the, caller, closes=answer.values(b"connection") == [b"close"])


@pytest.mark.parametrize("case", CUT)
async def test_a_part_never_looks_whole(the: Framing, case: str, *, split: bool) -> None:
    """Each case names its source; either a bad gateway, or an answer that is seen to be cut."""
    part = CUT[case]
    script = Script(part.said, end=part.end, split=split)
    caller, upstream = await ask_case(the, part.request, script)
    await caller.hear()
    if caller.answers and caller.answers[0].status == 502:
        assert b"upstream_misspoke" in caller.answers[0].body
    else:
        assert not any(answer.complete for answer in caller.answers)
        assert caller.end == "reset" or caller.flaw
        assert not caller.answers or caller.answers[0].body in {b"", b"ok", b"okok"}
    await eventually(lambda: upstream.ended, "the upstream's connection is ended")
    await judge_others(the, caller, closes=True)


async def test_an_answer_that_nobody_waits_for_is_nobodys(the: Framing, *, split: bool) -> None:
    """B-42: said on an idle connection, before any request."""
    await the.probe()
    (idle,) = [each for each in the.upstream.connections if not each.ended]
    idle.say(Script(POISON, split=split))
    await eventually(lambda: idle.ended, "the connection is ended")
    await the.probe()
    await the.probe()


async def test_an_answer_before_the_request_is_complete_is_the_last_there(
    the: Framing, *, split: bool
) -> None:
    """RFC 9112 §9.3, B-40, B-42: the rest of the body is never the next request, up or down."""
    script = Script(OK + TWO + b"\r\nok", early=True, split=split)
    whole = len(POST) - len(b"hello")
    caller, upstream = await ask_case(the, POST[:whole], script)
    await caller.hear()
    (answer,) = caller.answers
    assert (answer.status, answer.body, answer.complete) == (200, b"ok", True)
    assert answer.values(b"connection") == [b"close"]
    caller.say(b"hello" + request(line=b"GET /smuggled HTTP/1.1"), split=split)
    await caller.hear(to_end=True)
    assert (caller.surplus, caller.end) == (b"", "fin")
    await eventually(lambda: upstream.ended, "the upstream's connection is ended")
    await judge_others(the, caller, closes=True)
    assert b"/smuggled" not in [each.target for each in the.upstream.requests]


async def ask_case(
    the: Framing, asked: bytes, script: Script
) -> tuple[Listener, RecordedConnection]:
    """Ask for `/case`; return the caller and the upstream's side of it."""
    since = len(the.upstream.requests)
    the.upstream.script = script
    caller = await the.ask(asked, asked.partition(b" ")[0])
    await eventually(lambda: len(the.upstream.requests) > since, "the request is there")
    assert the.upstream.requests[since].target == b"/case"
    return caller, the.upstream.requests[since].connection


def judge_answer(caller: Listener, answered: Answered) -> None:
    """Exactly one answer, as h11 reads it."""
    (answer,) = caller.answers
    assert (answer.complete, caller.flaw, caller.surplus) == (True, "", b"")
    assert (answer.status, answer.reason) == (answered.status, answered.reason)
    fields = [each for each in answer.fields if each[0].lower() not in OF_ONE_HOP]
    assert [b": ".join(each) for each in fields] == [*answered.lines]
    assert answer.body == answered.body
    assert answer.trailers == answered.trailers
    assert tuple(status for status, _ in answer.interim) == answered.interim


async def judge_others(the: Framing, caller: Listener, *, closes: bool) -> None:
    """Whatever was said: who asks next gets an answer of its own, here and elsewhere."""
    if not closes:
        await the.probe(caller)
    await the.probe()
    if not closes:
        await the.probe(caller)
    await the.probe()
    await caller.leave()
