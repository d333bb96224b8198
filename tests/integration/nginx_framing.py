"""Requests for the comparison with nginx: framing, hop-by-hop fields, methods, versions.

As in `nginx_requests`: `ALIKE`, and `Case`s with a reason for each difference.
"""

from __future__ import annotations

import gzip

from conformance.bench import request
from integration.side_by_side import Case

REFUSED = "400, closed; nginx: forwarded"

NAMED = "RFC 9110 §7.6.1: what Connection names goes; nginx never reads it for that"
PROXY_CONNECTION = "RFC 9110 §7.6.1: Proxy-Connection is hop-by-hop; nginx passes it"
SETTINGS = "RFC 9113 §3.1: HTTP2-Settings is of the connection; nginx passes it"
TUNNEL = "SPEC 4: a WebSocket's handshake goes on; nginx wants to be configured for it"
NAMES_CASE = "SPEC 4: names keep their case; nginx writes this field anew"
KEPT_CHUNKED = (
    "SPEC 4: chunked stays chunked; nginx has the body whole already and tells its length"
)
TRAILERS = "RFC 9110 §6.5: trailers go on; nginx drops them"
STATUS_OF_CODING = "SPEC 4: ambiguous framing is 400; nginx says 501 for codings it does not know"
CHUNK_SYNTAX = "RFC 9112 §7.1: nothing but this syntax; nginx is lenient, and writes it anew"
EXPECTATION = (
    "RFC 9110 §10.1.1: the expectation and the 100 are the upstream's; nginx says it itself"
)
MAX_FORWARDS = "RFC 9110 §7.6.2: OPTIONS is counted down, and answered at 0; nginx passes it"
METHOD = "RFC 9110 §9.1: a method is any token, and nobody else's business; nginx wants capitals"
VERSION = "SPEC 4: no other version than 1.0 and 1.1; nginx takes every 1.x for 1.1"


def post(*fields: bytes, body: bytes = b"hello", line: bytes = b"POST /a HTTP/1.1") -> bytes:
    return request(*fields, line=line, body=body)


FIVE = b"Content-Length: 5"
IN_CHUNKS = b"Transfer-Encoding: chunked"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
ZIPPED = gzip.compress(b"hello", mtime=0)
UPGRADE = b"Connection: Upgrade"
NEXT = request(line=b"GET /b HTTP/1.1")

BODIES = {
    "a body with a length": post(FIVE),
    "a length of 0": post(b"Content-Length: 0", body=b""),
    "a POST without a length": post(body=b""),
    "a length with zeros before it": post(b"Content-Length: 005"),
    "a length with a sign": post(b"Content-Length: +5"),
    "a length in hexadecimal": post(b"Content-Length: 0x5"),
    "a list of lengths": post(b"Content-Length: 5, 5"),
    "one length twice": post(FIVE, FIVE),
    "two lengths": post(FIVE, b"Content-Length: 6"),
    "an empty length": post(b"Content-Length:", body=b""),
    "a length of 20 digits": post(b"Content-Length: 99999999999999999999", body=b""),
    "a length and chunks": post(IN_CHUNKS, FIVE, body=HELLO),
    "chunked twice": post(IN_CHUNKS, IN_CHUNKS, body=HELLO),
    "chunks in HTTP/1.0": post(IN_CHUNKS, line=b"POST /a HTTP/1.0", body=HELLO),
    "a chunk of no size": post(IN_CHUNKS, body=b"xyz\r\nhello\r\n0\r\n\r\n"),
    "a chunk longer than its size": post(IN_CHUNKS, body=b"5\r\nhelloX\r\n0\r\n\r\n"),
    "a chunk of a negative size": post(IN_CHUNKS, body=b"-5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size with 0x": post(IN_CHUNKS, body=b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a compressed body": post(
        b"Content-Length: %d" % len(ZIPPED), b"Content-Encoding: gzip", body=ZIPPED
    ),
    "GET with a body": request(FIVE, body=b"hello"),
    "DELETE with a body": post(FIVE, line=b"DELETE /a HTTP/1.1"),
    "an expectation in HTTP/1.0": post(FIVE, b"Expect: 100-continue", line=b"POST /a HTTP/1.0"),
    "Connection naming the length": post(FIVE, b"Connection: Content-Length"),
}
LINES = {
    "HEAD": b"HEAD /a HTTP/1.1",
    "PROPFIND": b"PROPFIND /a HTTP/1.1",
    "M-SEARCH": b"M-SEARCH /a HTTP/1.1",
    "an unknown method": b"BREW /a HTTP/1.1",
    "TRACE": b"TRACE /a HTTP/1.1",
    "HTTP/1.0": b"GET /a HTTP/1.0",
    "HTTP/2.0 in words": b"GET /a HTTP/2.0",
    "a version in small letters": b"GET /a http/1.1",
    "a tab in the request line": b"GET\t/a HTTP/1.1",
    "a space in the target": b"GET /a b HTTP/1.1",
}
ALIKE = (
    BODIES
    | {name: request(line=line) for name, line in LINES.items()}
    | {
        "PATCH": post(FIVE, line=b"PATCH /a HTTP/1.1"),
        "QUERY": post(FIVE, line=b"QUERY /a HTTP/1.1"),
        "HTTP/1.0 kept": request(b"Connection: keep-alive", line=b"GET /a HTTP/1.0"),
        "HTTP/1.0 without a host": b"GET /a HTTP/1.0\r\n\r\n",
        "HTTP/1.0 with a body": post(FIVE, line=b"POST /a HTTP/1.0"),
        "empty lines before the request": b"\r\n\r\n" + request(),
        "Connection: close": request(b"Connection: close"),
        "Connection: Close": request(b"Connection: Close"),
        "Keep-Alive": request(b"Keep-Alive: timeout=5", b"Connection: keep-alive"),
        "TE": request(b"TE: trailers, deflate;q=0.5", b"Connection: TE"),
        "an upgrade to nothing known": request(UPGRADE, b"Upgrade: foo/2"),
        "Max-Forwards with GET": request(b"Max-Forwards: 3"),
    }
)


def chunked(name: str, body: bytes, length: int, *fields: bytes) -> Case:
    """Return a case whose only difference is that nginx gives the body a length."""
    return Case(
        name,
        post(*(fields or (IN_CHUNKS,)), body=body),
        {
            "up + Transfer-Encoding: chunked": KEPT_CHUNKED,
            f"up - Content-Length: {length}": KEPT_CHUNKED,
        },
    )


DIFFERENT = [
    chunked("a chunked body", HELLO, 5),
    chunked("a body of several chunks", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 5),
    chunked("a body of no chunk", b"0\r\n\r\n", 0),
    chunked("chunk extensions", b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n', 5),
    chunked("zeros before a chunk size", b"005\r\nhello\r\n000\r\n\r\n", 5),
    chunked("Chunked", b"A\r\nhellohello\r\n0\r\n\r\n", 10, b"Transfer-Encoding: Chunked"),
    Case(
        "trailers",
        post(IN_CHUNKS, b"Trailer: X-Sum", body=HELLO[:-2] + b"X-Sum: 1\r\nX-B: caf\xe9\r\n\r\n"),
        {
            "up + Transfer-Encoding: chunked": KEPT_CHUNKED,
            "up - Content-Length: 5": KEPT_CHUNKED,
            "up + trailer: X-Sum: 1": TRAILERS,
            "up + trailer: X-B: caf\\xe9": TRAILERS,
        },
    ),
    Case(
        "a length's name in small letters",
        b"POST /a HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\ncontent-length: 5\r\n\r\nhello",
        {"up + content-length: 5": NAMES_CASE, "up - Content-Length: 5": NAMES_CASE},
    ),
    *(
        Case(
            f"Transfer-Encoding: {coding}",
            post(b"Transfer-Encoding: " + coding.encode(), FIVE, body=b"hello"),
            {"400, closed; nginx: 501, closed": STATUS_OF_CODING},
        )
        for coding in ("", "gzip", "identity", "gzip, chunked", "chunked, chunked")
    ),
    Case(
        "a chunk's lines ended by LF",
        post(IN_CHUNKS, body=b"5\nhello\n0\n\n"),
        {REFUSED: CHUNK_SYNTAX},
    ),
    Case(
        "a space behind a chunk size",
        post(IN_CHUNKS, body=b"5 \r\nhello\r\n0\r\n\r\n"),
        {REFUSED: CHUNK_SYNTAX},
    ),
    Case(
        "an expectation",
        post(FIVE, b"Expect: 100-continue"),
        {"up + Expect: 100-continue": EXPECTATION},
    ),
    Case(
        "an unknown expectation",
        post(FIVE, b"Expect: 200-maybe"),
        {"417, closed; nginx: forwarded": EXPECTATION},
    ),
    Case(
        "Connection naming a field",
        request(b"Connection: X-Private, keep-alive", b"X-Private: 1", b"X-A: 2"),
        {"up - X-Private: 1": NAMED},
    ),
    Case(
        "Connection naming what we add",
        request(b"Connection: Authorization, Via, Host, Cookie", b"Cookie: a=1"),
        {"up - Cookie: a=1": NAMED},
    ),
    Case(
        "two Connection lines, the first empty",
        request(b"Connection:", b"Connection: x-private", b"X-Private: 1"),
        {"up - X-Private: 1": NAMED},
    ),
    Case(
        "Proxy-Connection",
        request(b"Proxy-Connection: keep-alive"),
        {"up - Proxy-Connection: keep-alive": PROXY_CONNECTION},
    ),
    Case(
        "h2c",
        request(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMA"),
        {"up - HTTP2-Settings: AAMA": SETTINGS},
    ),
    Case(
        "a WebSocket that is declined",
        request(
            UPGRADE,
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
        {"up + Connection: Upgrade": TUNNEL, "up + Upgrade: websocket": TUNNEL},
    ),
    Case(
        "Max-Forwards",
        request(b"Max-Forwards: 3", line=b"OPTIONS /a HTTP/1.1"),
        {"up + Max-Forwards: 2": MAX_FORWARDS, "up - Max-Forwards: 3": MAX_FORWARDS},
    ),
    Case(
        "Max-Forwards: 0",
        request(b"Max-Forwards: 0", line=b"OPTIONS /a HTTP/1.1"),
        {"200, closed; nginx: forwarded": MAX_FORWARDS},
    ),
    Case(
        "a method in small letters",
        request(line=b"get /a HTTP/1.1"),
        {"forwarded; nginx: 400, closed": METHOD},
    ),
    Case(
        "CONNECT",
        request(line=b"CONNECT localhost:80 HTTP/1.1", host=b"localhost:80"),
        {"405, closed; nginx: 400, closed": "SPEC 4: 405 with Allow; nginx says 400"},
    ),
    Case("HTTP/1.2", request(line=b"GET /a HTTP/1.2"), {"505, closed; nginx: forwarded": VERSION}),
    Case(
        "a space at the request line's end",
        request(line=b"GET /a HTTP/1.1 "),
        {REFUSED: "RFC 9112 §3: no whitespace but the two spaces; nginx lets it go"},
    ),
]
PIPELINED = {
    "two requests at once": request() + NEXT,
    "a request behind a body": post(FIVE) + NEXT,
    "a request behind an upgrade that is declined": request(UPGRADE, b"Upgrade: h2c") + NEXT,
    "garbage behind a request": request() + b"garbage\r\n\r\n",
}
CASES = (
    [Case(name, data) for name, data in ALIKE.items()]
    + DIFFERENT
    + [Case(name, data, answers=2) for name, data in PIPELINED.items()]
)
