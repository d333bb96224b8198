"""RFC 9110 (HTTP semantics), as far as it binds an intermediary."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from conformance.bench import OK, request

if TYPE_CHECKING:
    from conformance.bench import Bench, StartBench

VIA = re.compile(rb"1\.1 token-proxy-[0-9a-f]{8}")


async def test_a_request_goes_on_as_it_came_but_for_host_and_via(the: Bench) -> None:
    """§7.7: what is not ours to change stays, byte for byte."""
    fields = (
        b"x-LOWER-Upper: 1",
        b"Accept: */*",
        b"x-lower-upper: 2",
        b"Cookie: a=1; b=2",
        b"X-Bytes: caf\xe9 \xf0\x9f\x92\xa9 \xff",
        b"X-Empty: ",
        b"X-Tab: a\tb",
        b'X-Quoted: "a, b\\"",  c',
    )
    head, _ = await the.pass_through(request(*fields))
    assert head.start == b"GET /a HTTP/1.1"
    host, *middle, via = head.lines
    assert host == b"Host: 127.0.0.1:%d" % the.upstream.port
    assert [line.rstrip(b" ") for line in middle] == [line.rstrip(b" ") for line in fields]
    name, _, value = via.partition(b": ")
    assert name == b"Via"
    assert VIA.fullmatch(value)


async def test_an_answer_goes_on_as_it_came(the: Bench) -> None:
    """§7.7; no `Via`, `Server`, `Date` or `Content-Type` of our making."""
    fields = (
        b'ETag: W/"x"',
        b"set-cookie: a=1",
        b"Set-Cookie: b=2, c",
        b"X-Bytes: caf\xe9 \xff",
        b"X-Twice: 1",
        b"x-twice: 2",
        b"Proxy-Status: theirs; error=dns_error",
        b"Content-Length: 3",
        b"Location: http://127.0.0.1:1/elsewhere",
    )
    answer = b"\r\n".join([b"HTTP/1.1 302 Look Th\xe9re", *fields, b"", b"abc"])
    _, came = await the.pass_through(request(), answer)
    assert came.head.start == b"HTTP/1.1 302 Look Th\xe9re"
    assert came.head.lines == fields
    assert came.body == b"abc"


HOP_BY_HOP = (
    b"Connection: keep-alive",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"TE: trailers",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    b"Proxy-Authorization: Basic c2VjcmV0",
)


async def test_hop_by_hop_fields_of_a_request_go_no_further(the: Bench) -> None:
    """§7.6.1."""
    head, _ = await the.pass_through(request(*HOP_BY_HOP, b"X-Stays: 1"))
    assert head.names == [b"Host", b"X-Stays", b"Via"]


async def test_hop_by_hop_fields_of_an_answer_go_no_further(the: Bench) -> None:
    """§7.6.1."""
    fields = (
        b"Connection: close, X-Private",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: close",
        b"Proxy-Authenticate: Basic",
        b"TE: trailers",
        b"Upgrade: h2c",
        b"X-Private: 1",
        b"X-Stays: 1",
        b"Content-Length: 0",
    )
    answer = b"\r\n".join([b"HTTP/1.1 200 OK", *fields, b"", b""])
    _, came = await the.pass_through(request(), answer, last=True)
    assert came.head.lines == (b"X-Stays: 1", b"Content-Length: 0")


@pytest.mark.parametrize(
    "options",
    [
        [b"X-Named"],
        [b"x-nAMED"],
        [b"", b"X-Named"],
        [b"keep-alive,X-Named"],
        [b" ,, \t X-Named\t,"],
        [b"close", b"x-other", b"X-Named"],
    ],
)
async def test_what_connection_names_goes_no_further(the: Bench, options: list[bytes]) -> None:
    """§7.6.1: every `Connection` line counts, an empty first one too (CVE-2021-33197)."""
    lines = [b"Connection: " + option for option in options]
    head, _ = await the.pass_through(request(b"X-Named: 1", *lines, b"X-NAMED: 2", b"X-Stays: 1"))
    assert head.names == [b"Host", b"X-Stays", b"Via"]


async def test_connection_cannot_name_away_what_the_proxy_adds(start_bench: StartBench) -> None:
    """§7.6.1; the credential, Host, Via and framing are added after the cleaning."""
    the = await start_bench(audience={}, set_headers={"X-Set": "ours"})
    caller = await the.caller()
    caller.send(
        request(
            b"Connection: Authorization, Host, Content-Length, Via, X-Set, Transfer-Encoding",
            b"Authorization: Bearer mine",
            b"Content-Length: 4",
            b"Via: 1.0 before",
            line=b"POST /a HTTP/1.1",
            body=b"body",
        )
    )
    upstream = await the.upstream.accept()
    head = await upstream.head()
    assert await upstream.exactly(4) == b"body"
    assert head.values("Authorization") == [b"Bearer token-1"]
    assert head.values("Host") == [b"127.0.0.1:%d" % the.upstream.port]
    assert head.values("Content-Length") == [b"4"]
    assert head.values("X-Set") == [b"ours"]
    before, ours = head.values("Via")
    assert before == b"1.0 before"
    assert VIA.fullmatch(ours)
    upstream.send(OK)
    assert (await caller.answer()).status == 200


async def test_connection_cannot_name_away_an_answers_length(the: Bench) -> None:
    """§7.6.1; without its length an answer would end elsewhere."""
    answer = b"HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nok"
    _, came = await the.pass_through(request(), answer)
    assert came.head.lines == (b"Content-Length: 2",)


async def test_a_request_that_comes_back_is_refused_as_a_loop(the: Bench) -> None:
    """§7.6.3: our own pseudonym in `Via` means that the request has been here."""
    head, _ = await the.pass_through(request())
    (via,) = head.values("Via")
    caller = await the.caller()
    answer = await caller.asks(request(b"Via: 1.1 other", b"Via: 1.0 first, " + via))
    assert answer.status == 508


async def test_another_proxy_of_the_same_make_is_no_loop(the: Bench) -> None:
    """§7.6.3: the pseudonym is this instance's own."""
    head, _ = await the.pass_through(request(b"Via: 1.1 token-proxy-00000000"))
    assert len(head.values("Via")) == 2


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT"])
async def test_trace_and_connect_are_refused_with_allow(the: Bench, method: bytes) -> None:
    """§9.3.6, §9.3.8, §15.5.6: TRACE would echo the credential, CONNECT is for open proxies."""
    target = b"127.0.0.1:%d" % the.upstream.port if method == b"CONNECT" else b"/"
    sent = request(line=b"%b %b HTTP/1.1" % (method, target), host=b"localhost")
    answer = await the.refusal(sent + b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.status == 405
    allowed = answer.head.values("Allow")[0].split(b", ")
    assert b"GET" in allowed
    assert method not in allowed
    await the.nothing_went_up()


@pytest.mark.parametrize("method", [b"PROPFIND", b"QUERY", b"PATCH", b"DELETE", b"OPTIONS"])
async def test_other_methods_pass(the: Bench, method: bytes) -> None:
    """§9.1: a proxy forwards methods it has no opinion on."""
    head, _ = await the.pass_through(request(line=method + b" /a HTTP/1.1"))
    assert head.start == method + b" /a HTTP/1.1"


async def test_max_forwards_is_counted_down(the: Bench) -> None:
    """§7.6.2: an intermediary MUST update Max-Forwards of OPTIONS."""
    head, _ = await the.pass_through(request(b"Max-Forwards: 3", line=b"OPTIONS /a HTTP/1.1"))
    assert head.values("Max-Forwards") == [b"2"]


async def test_max_forwards_of_zero_goes_no_further(the: Bench) -> None:
    """§7.6.2: at zero an intermediary MUST NOT forward, and answers as the final recipient."""
    caller = await the.caller()
    answer = await caller.asks(request(b"Max-Forwards: 0", line=b"OPTIONS /a HTTP/1.1"))
    assert answer.status in {200, 204}
    await the.nothing_went_up()


async def test_max_forwards_of_other_methods_is_no_matter(the: Bench) -> None:
    """§7.6.2: it MAY be ignored for them; here nothing is changed."""
    head, _ = await the.pass_through(request(b"Max-Forwards: 0"))
    assert head.values("Max-Forwards") == [b"0"]


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
