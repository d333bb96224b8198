r"""Requests with odd fields, targets and company, not ambiguous; see `framing_forwarded`."""

from __future__ import annotations

from typing import NamedTuple

from conformance.bench import request
from conformance.framing_forwarded import END, FIVE, GET, HELLO, SMUGGLED, Forwarded, chunked
from conformance.framing_heads import CHUNKED, post

WEBSOCKET = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
)

UNDERSCORES = {
    "a length with an underscore": Forwarded("B-37", post(b"Content_Length: 5", body=b"")),
    "a length with an underscore beside the length": Forwarded(
        "B-37", post(b"Content_Length: 9", FIVE), (FIVE,), b"hello"
    ),
    "a length with an underscore, in capitals": Forwarded(
        "B-37", post(b"CONTENT_LENGTH: 9", CHUNKED, body=HELLO), (CHUNKED,), b"hello"
    ),
    "a coding with an underscore": Forwarded("B-37", post(b"Transfer_Encoding: chunked", body=b"")),
    "a coding with an underscore beside a length": Forwarded(
        "B-37", post(b"Transfer_Encoding: chunked", FIVE), (FIVE,), b"hello"
    ),
    "the credential's field with underscores": Forwarded(
        "B-37", post(b"X_Api_Key: mine", b"X-Api_Key: mine", b"X_A: 1", body=b""), (b"X_A: 1",)
    ),
    "the credential's field": Forwarded("B-03", post(b"x-api-key: mine", body=b"")),
    "the credential's field named by Connection": Forwarded(
        "B-03", post(b"Connection: x-api-key, via, host", body=b"")
    ),
}

FIELDS = {
    "a name of all that may be in one": Forwarded(
        "RFC 9110 §5.6.2",
        request(b"!#$%&'*+-.^_`|~09aZ: 1"),
        (b"!#$%&'*+-.^_`|~09aZ: 1",),
        start=GET,
    ),
    "a value beyond ASCII": Forwarded(
        "RFC 9110 §5.5, B-10", request(b"X-A: caf\xe9\xff"), (b"X-A: caf\xe9\xff",), start=GET
    ),
    "a tab in a value": Forwarded(
        "RFC 9110 §5.5", request(b"X-A:\t1\t2\t"), (b"X-A:\t1\t2\t",), start=GET
    ),
    "an empty value": Forwarded("RFC 9110 §5.5", request(b"X-A:"), (b"X-A:",), start=GET),
    "colons in a value": Forwarded("RFC 9112 §5", request(b"X-A:: :"), (b"X-A:: :",), start=GET),
    "126 fields": Forwarded("SPEC §6", request(*[b"X-A: 1"] * 126), (b"X-A: 1",) * 126, start=GET),
    "a value of 60 KiB": Forwarded(
        "SPEC §6", request(b"X-A: " + b"1" * 61440), (b"X-A: " + b"1" * 61440,), start=GET
    ),
    "a Host with an empty port": Forwarded(
        "RFC 9110 §4.2.3", request(host=b"localhost:"), start=GET
    ),
    "HTTP/1.0 without Host": Forwarded(
        "RFC 9112 §3.2", b"GET /a HTTP/1.0\r\n\r\n", start=GET, keeps=False
    ),
    "an expectation in HTTP/1.0": Forwarded(
        "RFC 9110 §10.1.1",
        request(b"Expect: 100-continue", FIVE, line=b"POST /a HTTP/1.0", body=b"hello"),
        (FIVE,),
        b"hello",
        keeps=False,
    ),
    "a line break before the request": Forwarded("RFC 9112 §2.2", b"\r\n" + request(), start=GET),
    "what is of one hop": Forwarded(
        "RFC 9110 §7.6.1, B-01, B-02",
        request(
            b"Connection:",
            b"Connection: keep-alive ,, X-A",
            b"X-A: 1",
            b"TE: trailers",
            b"Keep-Alive: 5",
            b"Proxy-Connection: close",
            b"Proxy-Authorization: x",
            b"X-B: 1",
        ),
        (b"X-B: 1",),
        start=GET,
    ),
    "a connection that is to be closed": Forwarded(
        "RFC 9112 §9.6", request(b"Connection: close"), start=GET, keeps=False
    ),
    "a target in absolute form with another Host": Forwarded(
        "RFC 9112 §3.2.2, B-08",
        request(line=b"GET http://named.test/a HTTP/1.1", host=b"evil.example"),
        start=GET,
    ),
    "a target in absolute form with a query alone": Forwarded(
        "RFC 9112 §3.2.2",
        request(line=b"GET HTTP://named.test?a HTTP/1.1"),
        start=b"GET /?a HTTP/1.1",
    ),
    "OPTIONS of everything": Forwarded(
        "RFC 9112 §3.2.4", request(line=b"OPTIONS * HTTP/1.1"), start=b"OPTIONS * HTTP/1.1"
    ),
    "a method that few know": Forwarded(
        "RFC 9110 §9.1", request(line=b"PROPFIND /a HTTP/1.1"), start=b"PROPFIND /a HTTP/1.1"
    ),
    "a method that nobody knows": Forwarded(
        "RFC 9110 §9.1",
        request(line=b"FROBNICATE /a HTTP/1.1"),
        start=b"FROBNICATE /a HTTP/1.1",
        may_be_refused=True,
    ),
    "a method in lower case": Forwarded(
        "RFC 9110 §9.1",
        request(line=b"get /a HTTP/1.1"),
        start=b"get /a HTTP/1.1",
        may_be_refused=True,
    ),
    "a method of odd characters": Forwarded(
        "RFC 9110 §9.1",
        request(line=b"!#$%&'*+-.^_`|~ /a HTTP/1.1"),
        start=b"!#$%&'*+-.^_`|~ /a HTTP/1.1",
        may_be_refused=True,
    ),
}

H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")

UPGRADES = {
    "h2c": Forwarded("B-50", request(*H2C), start=GET),
    "h2c and a body": Forwarded("B-43, B-50", post(*H2C, FIVE), (FIVE,), b"hello"),
    "h2c and a request as a body": Forwarded(
        "B-43, B-50",
        post(*H2C, b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
        (b"Content-Length: %d" % len(SMUGGLED),),
        SMUGGLED,
    ),
    "another protocol and chunks": Forwarded(
        "B-43, B-50",
        chunked(HELLO, b"Connection: Upgrade", b"Upgrade: foo/1"),
        (CHUNKED,),
        b"hello",
    ),
    "another protocol before websocket": Forwarded(
        "B-50",
        request(b"Connection: Upgrade", b"Upgrade: foo", b"Upgrade: websocket"),
        start=GET,
        may_be_refused=True,
    ),
    "websocket without its key": Forwarded(
        "B-50",
        request(b"Connection: Upgrade", b"Upgrade: websocket"),
        start=GET,
        may_be_refused=True,
    ),
    "websocket not named by Connection": Forwarded(
        "RFC 9110 §7.8, B-50", request(*WEBSOCKET[1:]), WEBSOCKET[2:], start=GET
    ),
    "websocket in HTTP/1.0": Forwarded(
        "RFC 9110 §7.8, B-50",
        request(*WEBSOCKET, line=b"GET /a HTTP/1.0"),
        WEBSOCKET[2:],
        start=GET,
        keeps=False,
    ),
    "websocket and a body": Forwarded(
        "B-43, B-50",
        request(*WEBSOCKET, FIVE, body=b"hello"),
        (*WEBSOCKET[2:], FIVE),
        b"hello",
        start=GET,
        may_be_refused=True,
    ),
    "websocket and a request in chunks": Forwarded(
        "B-43, B-50",
        request(*WEBSOCKET, CHUNKED, body=b"%x\r\n%b\r\n" % (len(SMUGGLED), SMUGGLED) + END),
        (*WEBSOCKET[2:], CHUNKED),
        SMUGGLED,
        start=GET,
        may_be_refused=True,
    ),
    "websocket by POST": Forwarded(
        "B-43, B-50", post(*WEBSOCKET, FIVE), (*WEBSOCKET[2:], FIVE), b"hello", may_be_refused=True
    ),
}


class Pipelined(NamedTuple):
    """Requests in one stream: what is executed, and what the caller hears before the end."""

    source: str
    sent: bytes
    targets: tuple[bytes, ...]
    statuses: tuple[int, ...]


def get(target: bytes, *fields: bytes) -> bytes:
    """Return a GET's bytes."""
    return request(*fields, line=b"GET " + target + b" HTTP/1.1")


LAST = get(b"/last", b"Connection: close")
PIPELINED = {
    "three requests": Pipelined(
        "RFC 9112 §9.3.2", get(b"/1") + get(b"/2") + LAST, (b"/1", b"/2", b"/last"), (200,) * 3
    ),
    "garbage": Pipelined("B-39", get(b"/1") + b"\x00\x01garbage\r\n\r\n", (b"/1",), (200, 400)),
    "an ambiguous request": Pipelined(
        "B-30, B-39",
        get(b"/1") + post(CHUNKED, FIVE, body=END) + SMUGGLED,
        (b"/1",),
        (200, 400),
    ),
    "a bare LF behind chunks": Pipelined(
        "B-34, B-39",
        chunked(HELLO) + b"GET /smuggled HTTP/1.1\nHost: localhost\n\n",
        (b"/a",),
        (200, 400),
    ),
    "a request of another version": Pipelined(
        "B-36, B-39",
        get(b"/1") + request(line=b"GET /smuggled HTTP/2.0") + SMUGGLED,
        (b"/1",),
        (200, 505),
    ),
    "a broken body between two requests": Pipelined(
        "B-35, B-39", get(b"/1") + chunked(b"zz\r\n") + SMUGGLED, (b"/1",), (200, 400)
    ),
    "a trailer before the next request": Pipelined(
        "RFC 9112 §7.1.2, C4b",
        chunked(b"0\r\nX-A: 1\r\n\r\n") + LAST,
        (b"/a", b"/last"),
        (200, 200),
    ),
    "a request behind the last": Pipelined("RFC 9112 §9.6", LAST + SMUGGLED, (b"/last",), (200,)),
    "a request behind one in HTTP/1.0": Pipelined(
        "RFC 9112 §9.3",
        request(line=b"GET /1 HTTP/1.0") + SMUGGLED,
        (b"/1",),
        (200,),
    ),
    "a request behind a declined upgrade": Pipelined(
        "C4b", get(b"/1", *H2C) + LAST, (b"/1", b"/last"), (200, 200)
    ),
    "a request behind a handshake that fails": Pipelined(
        "B-43, C4b", get(b"/1", *WEBSOCKET) + LAST, (b"/1", b"/last"), (200, 200)
    ),
    "a request behind a refusal of the route": Pipelined(
        "B-39", get(b"/1/../2") + SMUGGLED, (), (400,)
    ),
}
