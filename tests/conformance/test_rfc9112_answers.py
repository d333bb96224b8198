"""RFC 9112 (HTTP/1.1), towards upstreams: how an answer's end is found, and what follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conformance.bench import request

if TYPE_CHECKING:
    from conformance.bench import Bench

CHUNKS = b"\r\n2\r\nok\r\n0\r\n\r\n"
BROKEN = {
    "length and coding": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n" + CHUNKS,
    "coding and length": b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n" + CHUNKS,
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "the same length twice": b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "a list of lengths": b"Content-Length: 2, 2\r\n\r\nok",
    "a length with a sign": b"Content-Length: +2\r\n\r\nok",
    "an empty length": b"Content-Length:\r\n\r\nok",
    "another coding": b"Transfer-Encoding: gzip\r\n\r\nok",
    "another coding before": b"Transfer-Encoding: gzip, chunked\r\n" + CHUNKS,
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n" + CHUNKS,
    "codings on two lines": (
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + CHUNKS
    ),
    "a bad first chunk": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "NUL in a value": b"X-A: 1\x002\r\nContent-Length: 2\r\n\r\nok",
    "a bare CR in a value": b"X-A: 1\rX-B: 2\r\nContent-Length: 2\r\n\r\nok",
    "a bare LF behind a field": b"X-A: 1\nContent-Length: 2\r\n\r\nok",
    "a field without colon": b"X-A\r\nContent-Length: 2\r\n\r\nok",
    "a space in a name": b"X A: 1\r\nContent-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("case", BROKEN)
async def test_an_ambiguous_answer_is_a_bad_gateway(the: Bench, case: str) -> None:
    """§6.3, RFC 9110 §5.5: 502, the upstream's connection closed, none of it passed on."""
    caller = await the.caller()
    caller.send(request())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\n" + BROKEN[case])
    answer = await caller.answer()
    assert answer.status == 502
    assert b"upstream_misspoke" in answer.body
    await upstream.ended()


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"ICY 200 OK",
        b"<html>",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 OK",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 O\rK",
    ],
)
async def test_what_is_no_status_line_is_a_bad_gateway(the: Bench, start: bytes) -> None:
    """§4."""
    _, answer = await the.pass_through(request(), start + b"\r\nContent-Length: 0\r\n\r\n")
    assert answer.status == 502


async def test_a_folded_field_never_goes_on_as_it_came(the: Bench) -> None:
    """§5.2: replaced by spaces, or 502."""
    _, answer = await the.pass_through(
        request(), b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok"
    )
    if answer.status != 502:
        assert b" ".join(answer.head.values("X-A")[0].split()) == b"1 2"


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 200 A b  c"]
)
async def test_odd_but_valid_status_lines_pass(the: Bench, start: bytes) -> None:
    """§4: the reason may be empty; the version is ours."""
    _, answer = await the.pass_through(request(), start + b"\r\nContent-Length: 2\r\n\r\nok")
    assert answer.status == 200
    assert answer.body == b"ok"
    assert answer.head.start.startswith(b"HTTP/1.1 200 ")


async def test_a_length_framed_answer_stays_so(the: Bench) -> None:
    """§6.2; and the number is written anew."""
    _, answer = await the.pass_through(
        request(), b"HTTP/1.1 200 OK\r\ncontent-length: 002\r\nX-A: 1\r\n\r\nok"
    )
    assert answer.head.lines == (b"content-length: 2", b"X-A: 1")
    assert answer.body == b"ok"


async def test_a_chunked_answer_stays_chunked_and_keeps_its_trailers(the: Bench) -> None:
    """§7.1: chunk extensions are of one hop."""
    caller = await the.caller()
    caller.send(request())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nX-A: 1\r\n\r\n"
        b"0005;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\nx-sum: caf\xe9\r\n\r\n"
    )
    answer = await caller.answer()
    assert answer.head.lines == (b"X-A: 1", b"Transfer-Encoding: chunked")
    assert answer.body == b"hello world"
    assert answer.trailers == (b"X-Sum: 1", b"x-sum: caf\xe9")
    await the.pass_through_kept(upstream)


async def test_an_answer_that_ends_with_the_connection_does_so_here_too(the: Bench) -> None:
    """§6.3: neither length nor coding is made up."""
    _, answer = await the.pass_through(
        request(), b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nwhatever", last=True
    )
    assert answer.head.lines == (b"X-A: 1", b"Connection: close")
    assert answer.body == b"whatever"


async def test_pieces_of_a_slow_answer_arrive_as_they_are_sent(the: Bench) -> None:
    """§7.1: an event must not wait for the next one."""
    caller = await the.caller()
    caller.send(request())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await caller.head()
    for piece in (b"data: 1", b"data: 2", b"data: 3"):
        upstream.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert await caller.exactly(len(piece) + 5) == b"7\r\n" + piece + b"\r\n"
    upstream.send(b"0\r\n\r\n")
    assert await caller.exactly(5) == b"0\r\n\r\n"


async def test_a_head_comes_through_before_its_body(the: Bench) -> None:
    """§2.1: and a byte at a time is still an answer."""
    caller = await the.caller()
    caller.send(request())
    upstream = await the.upstream.accept()
    await upstream.head()
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n":
        upstream.send(bytes([byte]))
        await upstream.flush()
    assert (await caller.head()).start == b"HTTP/1.1 200 OK"
    upstream.send(b"o")
    assert await caller.exactly(1) == b"o"
    upstream.send(b"k")
    assert await caller.exactly(1) == b"k"
