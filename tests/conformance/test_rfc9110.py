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
    assert answer.status == 200
    assert the.unrouted.requests["OPTIONS", 200, "proxy"] == 1
    await the.nothing_went_up()


async def test_max_forwards_of_other_methods_is_no_matter(the: Bench) -> None:
    """§7.6.2: it MAY be ignored for them; here nothing is changed."""
    head, _ = await the.pass_through(request(b"Max-Forwards: 0"))
    assert head.values("Max-Forwards") == [b"0"]
