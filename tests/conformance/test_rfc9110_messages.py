"""RFC 9110 (HTTP semantics): answers without body, interim answers, expectations, upgrades."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conformance.bench import OK, request

if TYPE_CHECKING:
    from conformance.bench import Bench


async def test_the_answer_to_head_keeps_its_fields_and_has_no_body(the: Bench) -> None:
    """§9.3.2, §8.6; and the next answer on either connection is read from its beginning."""
    caller = await the.caller()
    caller.send(request(line=b"HEAD /a HTTP/1.1"))
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: "x"\r\n\r\n')
    answer = await caller.answer(to_head=True)
    assert answer.head.lines == (b"Content-Length: 1000", b'ETag: "x"')
    caller.send(request())
    await upstream.head()
    upstream.send(OK)
    assert (await caller.answer()).body == b"ok"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
        b'HTTP/1.1 304 Not Modified\r\nX-A: 1\r\nETag: "x"\r\nContent-Length: 77\r\n\r\n',
        b"HTTP/1.1 304 Not Modified\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 205 Reset Content\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_answers_without_a_body_end_with_their_head(the: Bench, head: bytes) -> None:
    """§15.3.5, §15.4.5, §6.4.1: both connections go on behind them."""
    caller = await the.caller()
    caller.send(request())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(head)
    answer = await caller.answer()
    assert answer.head.start == head.split(b"\r\n")[0]
    assert answer.head.values("X-A") == [b"1"]
    caller.send(request(line=b"GET /next HTTP/1.1"))
    assert (await upstream.head()).target == b"/next"
    upstream.send(OK)
    assert (await caller.answer()).body == b"ok"


@pytest.mark.parametrize("line", [b"GET /a HTTP/1.1", b"HEAD /a HTTP/1.1"])
async def test_interim_answers_go_on_as_they_come(the: Bench, line: bytes) -> None:
    """§15.2: a proxy MUST forward 1xx; hop-by-hop fields go there too."""
    caller = await the.caller()
    caller.send(request(line=line))
    upstream = await the.upstream.accept()
    await upstream.head()
    for hint in (b"</a.css>", b"</b.css>"):
        upstream.send(
            b"HTTP/1.1 103 Early Hints\r\nLink: %b\r\nConnection: X-No\r\nX-No: 1\r\n\r\n" % hint
        )
        early = await caller.answer()
        assert early.head.start == b"HTTP/1.1 103 Early Hints"
        assert early.head.lines == (b"Link: " + hint,)
    upstream.send(OK)
    assert (await caller.answer(to_head=line.startswith(b"HEAD"))).status == 200


async def test_interim_answers_never_reach_a_caller_of_http_1_0(the: Bench) -> None:
    """§15.2: a server MUST NOT send 1xx to HTTP/1.0."""
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    _, came = await the.pass_through(request(line=b"GET /a HTTP/1.0"), answer)
    assert came.status == 200


async def test_an_expectation_goes_up_and_the_upstreams_100_comes_back(the: Bench) -> None:
    """§10.1.1: the 100 is the upstream's, and only then does the body come."""
    caller = await the.caller()
    caller.send(request(b"Expect: 100-continue", b"Content-Length: 4", line=b"POST /a HTTP/1.1"))
    upstream = await the.upstream.accept()
    head = await upstream.head()
    assert head.values("Expect") == [b"100-continue"]
    upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert (await caller.answer()).head.start == b"HTTP/1.1 100 Continue"
    caller.send(b"body")
    assert await upstream.exactly(4) == b"body"
    upstream.send(OK)
    assert (await caller.answer()).status == 200
    caller.send(request())
    await upstream.head()
    upstream.send(OK)
    assert (await caller.answer()).status == 200


async def test_a_refused_expectation_is_the_answer(the: Bench) -> None:
    """§10.1.1: a final answer instead of 100; what the caller sends then is no request."""
    caller = await the.caller()
    caller.send(request(b"Expect: 100-continue", b"Content-Length: 26", line=b"POST /a HTTP/1.1"))
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    answer = await caller.answer()
    assert answer.status == 413
    assert answer.head.values("Connection") == [b"close"]
    caller.send(b"GET /smuggled HTTP/1.1\r\n\r\n")
    assert await caller.rest() == b""
    await upstream.ended()


async def test_an_unknown_expectation_is_refused(the: Bench) -> None:
    """§10.1.1: 417."""
    answer = await the.refusal(request(b"Expect: the-unexpected"))
    assert answer.status == 417
    await the.nothing_went_up()


async def test_an_expectation_of_http_1_0_is_ignored(the: Bench) -> None:
    """§10.1.1: a server MUST ignore it; the upstream hears nothing of it."""
    caller = await the.caller()
    caller.send(
        request(
            b"Expect: 100-continue",
            b"Content-Length: 4",
            line=b"POST /a HTTP/1.0",
            body=b"body",
        )
    )
    upstream = await the.upstream.accept()
    assert (await upstream.head()).values("Expect") == []
    assert await upstream.exactly(4) == b"body"
    upstream.send(OK)
    assert (await caller.answer()).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\nfoo foo",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: close\r\n\r\n",
    ],
)
async def test_a_switch_that_nobody_asked_for_is_a_bad_gateway(the: Bench, answer: bytes) -> None:
    """§15.2.2: only what the request's `Upgrade` names may be switched to."""
    _, came = await the.pass_through(request(), answer)
    assert came.status == 502
    assert b"upstream_misspoke" in came.body


@pytest.mark.parametrize("protocol", [b"h2c", b"TLS/1.0", b"foo/2"])
async def test_an_upgrade_to_what_is_not_forwarded_goes_on_as_plain_http(
    the: Bench, protocol: bytes
) -> None:
    """§7.8: a server MAY ignore `Upgrade`; the body stays the request's body."""
    caller = await the.caller()
    caller.send(
        request(
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: " + protocol,
            b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
            b"Content-Length: 4",
            line=b"POST /a HTTP/1.1",
            body=b"body",
        )
    )
    upstream = await the.upstream.accept()
    head = await upstream.head()
    assert head.names == [b"Host", b"Content-Length", b"Via"]
    assert await upstream.exactly(4) == b"body"
    upstream.send(OK)
    assert (await caller.answer()).status == 200


async def test_a_compressed_body_stays_compressed(the: Bench) -> None:
    """§7.7, §8.4: what is said of a body's coding is true of the body behind it."""
    packed = bytes(range(256)) * 4
    fields = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(packed)
    caller = await the.caller()
    caller.send(b"POST /a HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n" + packed)
    upstream = await the.upstream.accept()
    head = await upstream.head()
    assert head.values("Content-Encoding") == [b"gzip"]
    assert head.values("Accept-Encoding") == []
    assert await upstream.exactly(len(packed)) == packed
    upstream.send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n" + packed)
    answer = await caller.answer()
    assert answer.head.values("Content-Encoding") == [b"gzip"]
    assert answer.body == packed


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"599 Odd", b"600 Odder"])
async def test_any_status_passes_with_its_reason(the: Bench, status: bytes) -> None:
    """§15: unknown codes are their class's, and none of a proxy's business."""
    _, came = await the.pass_through(
        request(), b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"
    )
    assert came.head.start == b"HTTP/1.1 " + status


async def test_trailers_that_would_be_read_as_something_else_are_dropped(the: Bench) -> None:
    """§6.5.1: framing, routing and authentication mean nothing behind a body."""
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Private\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Sum: 1\r\nHost: evil\r\nSet-Cookie: a=1\r\nX-Private: 1\r\n"
        b"TE: trailers\r\nAuthorization: x\r\nx-sum: 2\r\n\r\n"
    )
    _, came = await the.pass_through(request(), answer)
    assert came.body == b"ok"
    assert came.trailers == (b"X-Sum: 1", b"x-sum: 2")


async def test_the_announcement_of_trailers_goes_with_them(the: Bench) -> None:
    """§6.6.2, §7.6.1: `Trailer` is not among the fields of one hop, and trailers are passed on."""
    answer = (
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\nX-Sum: 1\r\n\r\n"
    )
    _, came = await the.pass_through(request(), answer)
    assert came.head.values("Trailer") == [b"X-Sum"]
    assert came.trailers == (b"X-Sum: 1",)


async def test_an_answer_204_goes_on_without_a_length(the: Bench) -> None:
    """§8.6: a server MUST NOT send Content-Length with 204."""
    _, answer = await the.pass_through(
        request(), b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nX-A: 1\r\n\r\n"
    )
    assert answer.head.lines == (b"X-A: 1",)
