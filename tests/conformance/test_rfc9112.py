"""RFC 9112 (HTTP/1.1), towards callers: request lines, heads, framing, connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conformance.bench import OK, request

if TYPE_CHECKING:
    from conformance.bench import Bench

POST = b"POST /a HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"

REFUSED = {
    # §6.1, §6.3: what two parsers might frame differently
    "length and coding": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "coding and length": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length with a sign": POST + b"Content-Length: +5\r\n\r\nhello",
    "a negative length": POST + b"Content-Length: -5\r\n\r\nhello",
    "a hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "a length with an underscore": POST + b"Content-Length: 1_0\r\n\r\nhello",
    "an empty length": POST + b"Content-Length:\r\n\r\nhello",
    "a length beyond 64 bits": POST + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    "a coding before chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding behind chunked": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked on two lines": POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "codings on two lines": POST + b"Transfer-Encoding: gzip\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "an empty coding": POST + b"Transfer-Encoding:\r\n\r\n",
    "an empty coding and a length": POST + b"Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello",
    "a quoted coding": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a coding with a parameter": POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
    "a coding with a control byte": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a coding in HTTP/1.0": POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n0\r\n\r\n",
    # §2.2, §5: lines and fields
    "a bare LF in the request line": b"GET /a HTTP/1.1\nHost: localhost\r\n\r\n",
    "a bare LF behind a field": b"GET /a HTTP/1.1\r\nHost: localhost\nX-A: 1\r\n\r\n",
    "bare LFs throughout": b"GET /a HTTP/1.1\nHost: localhost\n\n",
    "a bare LF at the head's end": b"GET /a HTTP/1.1\r\nHost: localhost\r\n\n",
    "a bare CR in a value": request(b"X-A: 1\r2"),
    "a bare CR between fields": b"GET /a HTTP/1.1\r\nHost: localhost\rX-A: 1\r\n\r\n",
    "NUL in a value": request(b"X-A: 1\x002"),
    "NUL in a name": request(b"X\x00A: 1"),
    "NUL in the target": request(line=b"GET /a\x00b HTTP/1.1"),
    "a control byte in a value": request(b"X-A: \x01"),
    "a space before the colon": request(b"X-A : 1"),
    "a tab before the colon": request(b"Content-Length\t: 5"),
    "a space in a name": request(b"X A: 1"),
    "a field without colon": request(b"X-A"),
    "a field without name": request(b": 1"),
    "a folded line": request(b"X-A: 1\r\n 2"),
    "a folded first line": b"GET /a HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "a byte beyond ASCII in a name": request(b"X-\xc3\xa9: 1"),
    # §3: request line
    "no version": b"GET /a\r\nHost: localhost\r\n\r\n",
    "version 0.9": request(line=b"GET /a HTTP/0.9"),
    "version 1.2": request(line=b"GET /a HTTP/1.2"),
    "version 2.0": request(line=b"GET /a HTTP/2.0"),
    "version 3.0": request(line=b"GET /a HTTP/3.0"),
    "version 1.10": request(line=b"GET /a HTTP/1.10"),
    "version 1": request(line=b"GET /a HTTP/1"),
    "a lower-case version": request(line=b"GET /a http/1.1"),
    "another protocol": request(line=b"OPTIONS /a RTSP/1.0"),
    "yet another protocol": request(line=b"SOURCE /a ICE/1.0"),
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method that is no token": request(line=b"G@T /a HTTP/1.1"),
    "a space in the target": request(line=b"GET /a b HTTP/1.1"),
    "no target": request(line=b"GET  HTTP/1.1"),
    "a relative target": request(line=b"GET a HTTP/1.1"),
    "authority-form without CONNECT": request(line=b"GET localhost:80 HTTP/1.1"),
    "asterisk-form without OPTIONS": request(line=b"GET * HTTP/1.1"),
    "a target of another scheme": request(line=b"GET ftp://localhost/a HTTP/1.1"),
    "a target with userinfo": request(line=b"GET http://me@localhost/a HTTP/1.1"),
    "a target without authority": request(line=b"GET http:///a HTTP/1.1"),
    "a fragment": request(line=b"GET /a#b HTTP/1.1"),
    "a fragment in the query": request(line=b"GET /a?b#c HTTP/1.1"),
    # §3.2: Host
    "no Host": b"GET /a HTTP/1.1\r\n\r\n",
    "two Hosts": request(b"Host: localhost"),
    "two Hosts in HTTP/1.0": request(b"Host: localhost", line=b"GET /a HTTP/1.0"),
    "an empty Host": request(host=b""),
    "a list of Hosts": request(host=b"localhost, localhost"),
    "a Host with userinfo": request(host=b"me@localhost"),
    "a Host with a path": request(host=b"localhost/a"),
    "a Host with a space": request(host=b"local host"),
    "a Host with a scheme": request(host=b"http://localhost"),
    "a Host with an odd port": request(host=b"localhost:8o"),
    "a Host with an unclosed bracket": request(host=b"[::1"),
    "a Host beyond ASCII": request(host=b"localh\xc3\xb6st"),
    "no Host, though the target names one": b"GET http://localhost/a HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_malformed_or_ambiguous_is_refused_and_goes_nowhere(
    the: Bench, case: str
) -> None:
    """§2.2, §3, §5, §6: a 4xx or 5xx of our own, the connection closed, the upstream untouched."""
    answer = await the.refusal(REFUSED[case] + b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.status in {400, 405, 417, 501, 505}
    assert answer.head.start.startswith(b"HTTP/1.1 ")
    assert answer.head.values("Content-Type") == [b"application/problem+json"]
    assert answer.head.values("Connection") == [b"close"]
    assert b"bad_request" in answer.body
    assert b"smuggled" not in answer.body
    await the.nothing_went_up()
    assert the.unrouted.errors["bad_request"] == 1


@pytest.mark.parametrize("version", [b"0.9", b"2.0"])
async def test_other_versions_are_told_so(the: Bench, version: bytes) -> None:
    """RFC 9110 §15.6.6: 505."""
    answer = await the.refusal(request(line=b"GET /a HTTP/" + version))
    assert answer.status == 505


BAD_CHUNKS = {
    "no number": b"zz\r\n",
    "a sign": b"+2\r\nok\r\n",
    "a prefix": b"0x2\r\nok\r\n",
    "a space": b" 2\r\nok\r\n",
    "too large a number": b"fffffffffffffffff\r\n",
    "a bare LF behind the size": b"2\nok\r\n",
    "a bare LF behind the data": b"2\r\nok\n",
    "a bare CR behind the size": b"2\rok\r\n",
    "more than the size says": b"2\r\nokay\r\n",
    "a bare LF in the extension": b"2;a\nb\r\nok\r\n",
    "a bad trailer": b"0\r\nX A: 1\r\n\r\n",
    "a bare LF at the end": b"0\r\n\n",
}


@pytest.mark.parametrize("case", BAD_CHUNKS)
@pytest.mark.parametrize("begun", [False, True])
async def test_a_broken_chunk_breaks_off_the_request_upstream(
    the: Bench, case: str, *, begun: bool
) -> None:
    """§7.1, §8: what went up already must not look complete, and nothing may follow."""
    caller = await the.caller()
    caller.send(POST + CHUNKED + b"\r\n")
    upstream = None
    if begun:
        caller.send(b"5\r\nhello\r\n")
        upstream = await the.upstream.accept()
        await upstream.head()
        assert await upstream.exactly(10) == b"5\r\nhello\r\n"
    caller.send(BAD_CHUNKS[case] + b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await caller.answer()
    assert answer.status == 400
    assert await caller.rest() == b""
    if upstream is not None:
        try:
            rest = await upstream.rest()
        except ConnectionResetError:
            rest = b""
        assert b"0\r\n\r\n" not in rest
        assert b"smuggled" not in rest
    else:
        assert the.upstream.connections <= 1
        if the.upstream.connections:
            upstream = await the.upstream.accept()
            try:
                rest = await upstream.rest()
            except ConnectionResetError:
                rest = b""
            assert not rest.endswith(b"\r\n0\r\n\r\n")
            assert b"smuggled" not in rest


async def test_a_body_that_ends_too_early_is_broken_off_upstream(the: Bench) -> None:
    """§8: an incomplete request must not be taken for a whole one."""
    caller = await the.caller()
    caller.send(POST + b"Content-Length: 10\r\n\r\nhello")
    upstream = await the.upstream.accept()
    await upstream.head()
    assert await upstream.exactly(5) == b"hello"
    caller.finish()
    await upstream.ended()


async def test_a_length_is_written_from_the_number(the: Bench) -> None:
    """§6.2: leading zeros may be read as octal by somebody."""
    caller = await the.caller()
    caller.send(POST + b"X-A: 1\r\ncontent-length: 0004\r\nX-B: 2\r\n\r\nbody")
    upstream = await the.upstream.accept()
    head = await upstream.head()
    assert head.lines[1:4] == (b"X-A: 1", b"content-length: 4", b"X-B: 2")
    assert await upstream.exactly(4) == b"body"
    upstream.send(OK)
    assert (await caller.answer()).status == 200


async def test_no_length_is_made_up_for_a_request_without_body(the: Bench) -> None:
    """§6.3: neither for GET nor for POST."""
    head, _ = await the.pass_through(POST + b"\r\n")
    assert head.names == [b"Host", b"Via"]


async def test_a_chunked_request_stays_chunked(the: Bench) -> None:
    """§7.1: its bytes are the same; extensions mean nothing on the next hop."""
    caller = await the.caller()
    caller.send(POST + b"transfer-ENCODING: Chunked\r\n\r\n5;x=y\r\nhello\r\n")
    upstream = await the.upstream.accept()
    head = await upstream.head()
    assert head.values("Transfer-Encoding") == [b"chunked"]
    assert head.values("Content-Length") == []
    assert await upstream.exactly(10) == b"5\r\nhello\r\n"
    caller.send(b"6\r\n world\r\n0\r\n\r\n")
    assert await upstream.chunked() == ((b" world",), ())
    upstream.send(OK)
    assert (await caller.answer()).status == 200
