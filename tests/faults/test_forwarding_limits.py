"""Callers that want too much: every bound holds, is told by its code, and is counted."""

from __future__ import annotations

import asyncio

import pytest
from conformance.bench import OK, bench, eventually, request

TOO_LARGE = {
    "one long line": request(b"X-A: " + b"a" * 5000),
    "a long target": request(line=b"GET /" + b"a" * 5000 + b" HTTP/1.1"),
    "a long name": request(b"X" * 5000 + b": 1"),
    "the sum of many": request(*(b"X-%d: " % n + b"a" * 400 for n in range(15))),
}


@pytest.mark.parametrize("case", TOO_LARGE)
@pytest.mark.parametrize("piece_bytes", [100_000, 500])
async def test_a_head_that_is_too_large_is_refused(case: str, piece_bytes: int) -> None:
    async with bench(top={"limits": {"head_bytes_max": 4096}}) as the:
        caller = await the.caller()
        sent = TOO_LARGE[case]
        for at in range(0, len(sent), piece_bytes):
            caller.send(sent[at : at + piece_bytes])
            await asyncio.sleep(0)
        answer = await caller.answer()
        assert answer.status == 431
        assert b"head_too_large" in answer.body
        await caller.ended()
        assert the.unrouted.errors["head_too_large"] == 1
        await the.nothing_went_up()


async def test_the_default_bound_holds_for_a_head_that_comes_at_once() -> None:
    async with bench() as the:
        sent = request(*(b"X-%d: " % n + b"a" * 30000 for n in range(3)))
        assert len(sent) > the.config.limits.head_bytes_max
        answer = await (await the.caller()).asks(sent)
        assert answer.status == 431
        await the.nothing_went_up()


async def test_a_second_head_on_a_connection_is_bounded_too() -> None:
    async with bench(top={"limits": {"head_bytes_max": 4096}}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(OK)
        assert (await caller.answer()).status == 200
        assert (await caller.asks(TOO_LARGE["the sum of many"])).status == 431
        await caller.ended()


async def test_a_large_head_within_the_bound_passes() -> None:
    async with bench() as the:
        value = b"a" * 60000
        head, _ = await the.pass_through(request(b"X-A: " + value))
        assert head.values("X-A") == [value]


async def test_too_many_fields_are_refused() -> None:
    async with bench(top={"limits": {"header_fields_max": 10}}) as the:
        head, _ = await the.pass_through(request(*(b"X-%d: 1" % n for n in range(9))))
        assert len(head.lines) == 11
        answer = await (await the.caller()).asks(request(*(b"X-%d: 1" % n for n in range(11))))
        assert answer.status == 431
        assert b"head_too_large" in answer.body


@pytest.mark.parametrize("part", [b"G", b"GET /a HTTP/1.1\r\n", request()[:-2]])
async def test_a_head_that_takes_too_long_is_refused(part: bytes) -> None:
    async with bench(top={"limits": {"head_seconds": 0.3}}) as the:
        caller = await the.caller()
        caller.send(part)
        answer = await caller.answer()
        assert answer.status == 408
        await caller.ended()
        assert the.unrouted.errors["bad_request"] == 1


async def test_a_head_that_dribbles_gets_no_more_time_for_it() -> None:
    async with bench(top={"limits": {"head_seconds": 0.5}}) as the:
        caller = await the.caller()

        async def dribble() -> None:
            for byte in request(b"X-A: " + b"a" * 1000):
                caller.send(bytes([byte]))
                await asyncio.sleep(0.02)

        dribbling = asyncio.create_task(dribble())
        answer = await caller.answer()
        assert answer.status == 408
        dribbling.cancel()
        await caller.ended()


async def test_an_idle_caller_is_let_go() -> None:
    async with bench(top={"limits": {"keepalive_seconds": 0.3}}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(OK)
        assert (await caller.answer()).status == 200
        assert await caller.rest() == b""


async def test_an_answer_that_takes_long_is_not_an_idle_caller() -> None:
    async with bench(top={"limits": {"keepalive_seconds": 0.2, "head_seconds": 0.2}}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        await asyncio.sleep(0.6)
        upstream.send(OK)
        assert (await caller.answer()).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        request(b"Content-Length: 1001", line=b"POST /a HTTP/1.1", body=b"x" * 1001),
        request(b"Content-Length: 999999999999", line=b"POST /a HTTP/1.1"),
    ],
)
async def test_a_body_whose_length_is_too_large_goes_nowhere(sent: bytes) -> None:
    async with bench(top={"limits": {"body_bytes_max": 1000}}) as the:
        caller = await the.caller()
        caller.send(sent)
        answer = await caller.answer()
        assert answer.status == 413
        assert b"body_too_large" in answer.body
        assert the.facts.errors["body_too_large"] == 1
        await the.nothing_went_up()


async def test_a_body_within_the_bound_passes() -> None:
    async with bench(top={"limits": {"body_bytes_max": 1000}}) as the:
        caller = await the.caller()
        caller.send(request(b"Content-Length: 1000", line=b"POST /a HTTP/1.1", body=b"x" * 1000))
        upstream = await the.upstream.accept()
        await upstream.head()
        await upstream.exactly(1000)
        upstream.send(OK)
        assert (await caller.answer()).status == 200


async def test_a_chunked_body_that_grows_too_large_is_broken_off() -> None:
    async with bench(top={"limits": {"body_bytes_max": 1000}}) as the:
        caller = await the.caller()
        caller.send(request(b"Transfer-Encoding: chunked", line=b"POST /a HTTP/1.1"))
        upstream = await the.upstream.accept()
        await upstream.head()
        for _ in range(11):
            caller.send(b"64\r\n" + b"x" * 100 + b"\r\n")
        caller.send(b"0\r\n\r\n")
        answer = await caller.answer()
        assert answer.status == 413
        came = bytearray()
        try:
            while data := await upstream.some():
                came += data
        except ConnectionResetError:
            pass
        assert not came.endswith(b"0\r\n\r\n")


async def test_a_refused_chunked_request_leaves_no_trailer_behind() -> None:
    async with bench(methods=["GET"]) as the:
        caller = await the.caller()
        answer = await caller.asks(
            request(b"Transfer-Encoding: chunked", line=b"POST /a HTTP/1.1")
            + b"2\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n"
        )
        assert answer.status == 403
        if answer.head.values("Connection") == [b"close"]:
            assert await caller.rest() == b""
        else:
            caller.send(request())
            upstream = await the.upstream.accept()
            assert (await upstream.head()).values("X-Trailer") == []
            upstream.send(OK)


async def test_a_caller_that_is_still_sending_reads_its_413() -> None:
    async with bench(top={"limits": {"body_bytes_max": 1000}}) as the:
        caller = await the.caller()
        caller.send(request(b"Content-Length: 4000000", line=b"POST /a HTTP/1.1"))
        caller.send(b"x" * 4_000_000)
        await caller.flush()
        assert (await caller.answer()).status == 413


async def test_one_caller_too_many_is_turned_away() -> None:
    async with bench(top={"limits": {"connections_max": 2}}) as the:
        first, second = await the.caller(), await the.caller()
        await eventually(lambda: the.app._gateway.server.connections_open == 2, "two callers")
        third = await the.caller()
        answer = await third.answer()
        assert answer.status == 503
        assert b"overloaded" in answer.body
        await third.ended()
        assert the.unrouted.errors["overloaded"] == 1
        first.abort()
        await eventually(lambda: the.app._gateway.server.connections_open == 1, "one caller")
        fourth = await the.caller()
        for caller in (second, fourth):
            caller.send(request(b"Connection: close"))
        for _ in range(2):
            upstream = await the.upstream.accept()
            await upstream.head()
            upstream.send(OK)
        for caller in (second, fourth):
            assert (await caller.answer()).status == 200


async def test_one_request_too_many_is_turned_away() -> None:
    async with bench(top={"limits": {"requests_in_flight_max": 1}}) as the:
        first = await the.caller()
        first.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        second = await the.caller()
        answer = await second.asks(request())
        assert answer.status == 503
        assert answer.head.values("Retry-After") == [b"1"]
        assert b"overloaded" in answer.body
        upstream.send(OK)
        assert (await first.answer()).status == 200
        head, _ = await the.pass_through_kept(upstream)
        assert head.target == b"/a"
        assert the.unrouted.errors["overloaded"] == 1


async def test_an_answers_head_is_bounded() -> None:
    async with bench(top={"limits": {"head_bytes_max": 4096, "header_fields_max": 10}}) as the:
        for fields in (
            [b"X-A: " + b"a" * 5000],
            [b"X-%d: 1" % n for n in range(11)],
            [b"X-%d: " % n + b"a" * 900 for n in range(6)],
        ):
            head = b"\r\n".join([b"HTTP/1.1 200 OK", *fields, b"Content-Length: 0", b"", b""])
            _, answer = await the.pass_through(request(), head)
            assert answer.status == 502
            assert b"upstream_misspoke" in answer.body


async def test_interim_answers_without_end_are_ended() -> None:
    async with bench(top={"limits": {"head_bytes_max": 4096}}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(b"HTTP/1.1 102 Processing\r\nX-A: aaaaaaaaaaaa\r\n\r\n" * 200)
        while (answer := await caller.answer()).status == 102:
            pass
        assert answer.status == 502
