"""Answers for the comparison with nginx: what callers get of them.

As in `nginx_requests`: `ALIKE`, and `Case`s with a reason for each difference.
"""

from __future__ import annotations

import gzip

from conformance.bench import request
from integration.side_by_side import DATE, OK, Case

GET = request()
HEAD = request(line=b"HEAD /a HTTP/1.1")
OLD = request(line=b"GET /a HTTP/1.0")
FIVE = b"Content-Length: 5"
IN_CHUNKS = b"Transfer-Encoding: chunked"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
ZIPPED = gzip.compress(b"hello", mtime=0)

NO_LENGTH = "RFC 9110 §8.6: 204 has no Content-Length; nginx passes it"
TRAILERS = "RFC 9110 §6.5: trailers go on; nginx drops them"
REASON = (
    "RFC 9112 §4: the space behind the status is there without a reason too; nginx leaves it out"
)
OWN_PLACE = "nginx writes Content-Type and Content-Length at the front, and under these names"
COLON = "SPEC 4: a field is passed as it came; nginx writes a space behind each colon"
NAMED = "RFC 9110 §7.6.1: what Connection names goes; nginx never reads it for that"
HOP_BY_HOP = "RFC 9110 §7.6.1: hop-by-hop fields stay behind; nginx passes this one"
UNTIL_CLOSE = "SPEC 4: framed as it came; nginx makes chunks of it"
HEADS_CODING = "RFC 9112 §6.1: HEAD may say how GET would be framed; nginx leaves it out"
OWN_USE = "nginx keeps X-Accel-* and X-Pad for its own use"
BROKEN_OFF = "SPEC 4: a part must not look like the whole: we reset, nginx just closes"
AMBIGUOUS = "SPEC 5: an ambiguous answer is 502; nginx makes something of it"
NOT_HTTP = "RFC 9112 §4: no status line, no answer; nginx takes it for HTTP/0.9"


def answer(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    """Return an answer; `Server` and `Date` are there, as nginx would add its own."""
    return b"\r\n".join([start, b"Server: up", b"Date: " + DATE, *lines, b"", body])


def hello(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", body: bytes = b"hello") -> bytes:
    """Return an answer of five bytes."""
    return answer(*lines, FIVE, start=start, body=body)


STATUSES = {
    "a status that is not registered": b"HTTP/1.1 299 Odd",
    "a status above 599": b"HTTP/1.1 600 Odd",
    "the last status": b"HTTP/1.1 999 Odd",
    "an odd reason": b"HTTP/1.1 200 Tr\xe8s bien, merci",
    "an empty reason": b"HTTP/1.1 200 ",
    "an error": b"HTTP/1.1 500 Broken",
    "HTTP/1.0": b"HTTP/1.0 200 OK",
}
FIELDS = {
    "two cookies": [b"Set-Cookie: a=1; Path=/", b"Set-Cookie: b=2", b"set-cookie: a=1"],
    "no Content-Type": [],
    "bytes that are not UTF-8": [b"X-A: caf\xe9"],
    "an empty value": [b"X-A: "],
    "odd names": [b"X_A: 1", b"X.B!: 2"],
    "names' case and order": [b"x-b: 1", b"X-a: 2", b'ETAG: "x"', b"X-B: 3"],
    "others' Via": [b"Via: 1.1 p.example"],
    "caching": [
        b"Expires: Thu, 01 Jan 2026 00:00:00 GMT",
        b"Cache-Control: private",
        b"Cache-Control: max-age=1",
        b"Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT",
        b"Age: 3",
    ],
}
ALIKE = {
    **{name: Case(name, GET, answer=hello(start=start)) for name, start in STATUSES.items()},
    **{name: Case(name, GET, answer=hello(*lines)) for name, lines in FIELDS.items()},
}
MORE_ALIKE = [
    Case("204", GET, answer=answer(b'ETag: "x"', start=b"HTTP/1.1 204 No Content")),
    Case("304", GET, answer=answer(b'ETag: "x"', b"Vary: a", start=b"HTTP/1.1 304 Not Modified")),
    Case("304 with a length", GET, answer=answer(FIVE, start=b"HTTP/1.1 304 Not Modified")),
    Case(
        "401",
        GET,
        answer=hello(b'WWW-Authenticate: Basic realm="a"', start=b"HTTP/1.1 401 Unauthorized"),
    ),
    Case(
        "a redirect",
        GET,
        answer=answer(
            b"Location: http://upstream.test/b",
            b"Refresh: 0; url=http://upstream.test/",
            b"Content-Length: 0",
            start=b"HTTP/1.1 302 Found",
        ),
    ),
    Case(
        "a part",
        request(b"Range: bytes=0-4"),
        answer=hello(b"Content-Range: bytes 0-4/9", start=b"HTTP/1.1 206 Partial Content"),
    ),
    Case(
        "a compressed body",
        request(b"Accept-Encoding: gzip"),
        answer=answer(b"Content-Encoding: gzip", b"Content-Length: %d" % len(ZIPPED), body=ZIPPED),
    ),
    Case("chunks", GET, answer=answer(IN_CHUNKS, body=b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")),
    Case("chunk extensions", GET, answer=answer(IN_CHUNKS, body=b"5;a=b" + HELLO[1:])),
    Case("an empty body", GET, answer=answer(b"Content-Length: 0")),
    Case(
        "a length with zeros before it", GET, answer=answer(b"Content-Length: 005", body=b"hello")
    ),
    Case("an early answer to an upload", request(FIVE, body=b"hello"), answer=hello()),
    Case("the last answer of its connection", GET, answer=hello(b"Connection: close"), last=True),
    Case("more than the answer", GET, answer=hello(body=b"hello and more")),
    Case("HEAD", HEAD, answer=answer(b"Content-Length: 500", b'ETag: "x"')),
    Case("HEAD without framing", HEAD, answer=answer()),
    Case("chunks to HTTP/1.0", OLD, answer=answer(IN_CHUNKS, body=HELLO)),
    Case("until its end to HTTP/1.0", OLD, answer=answer(body=b"hello"), last=True),
    Case(
        "HTTP/1.0 kept",
        request(b"Connection: keep-alive", line=b"GET /a HTTP/1.0"),
        answer=hello(),
    ),
    Case(
        "no Server, no Date", GET, answer=OK.replace(b"Server: up\r\nDate: " + DATE + b"\r\n", b"")
    ),
    # nginx takes 1xx for the answer, and passes whatever comes then as it comes, up to its end.
    Case(
        "early hints",
        GET,
        answer=b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + hello(),
        last=True,
    ),
    Case("100 unasked", GET, answer=b"HTTP/1.1 100 Continue\r\n\r\n" + hello(), last=True),
    Case("a folded line", GET, answer=hello(b"X-A: 1", b" 2")),
    Case("a NUL", GET, answer=hello(b"X-A: a\x00b")),
    Case("a space before the colon", GET, answer=hello(b"X-A : 1")),
    Case("nothing", GET, answer=b"", last=True),
]


def refused(name: str, answer: bytes, *got: str, reason: str = AMBIGUOUS) -> Case:
    """Return a case that is 502 with us, and `got` with nginx beside a plain head."""
    theirs = {f"down - {line}" for line in got}
    if not any("no HTTP" in line for line in got):
        theirs |= {f"down - {line.decode()}" for line in OK.split(b"\r\n")[:3]}
    differs = dict.fromkeys({"down + own answer: 502", *theirs}, reason)
    return Case(name, GET, differs, answer=answer, last=True)


DIFFERENT = [
    Case(
        "nothing behind a colon",
        GET,
        {"down + X-A:": COLON, "down - X-A: ": COLON},
        answer=hello(b"X-A:"),
    ),
    Case(
        "204 with a length",
        GET,
        {"down - Content-Length: 0": NO_LENGTH},
        answer=answer(b"Content-Length: 0", start=b"HTTP/1.1 204 No Content"),
    ),
    Case(
        "trailers",
        GET,
        {"down + trailer: X-Sum: 1": TRAILERS},
        answer=answer(IN_CHUNKS, b"Trailer: X-Sum", body=HELLO[:-2] + b"X-Sum: 1\r\n\r\n"),
    ),
    Case(
        "no reason",
        GET,
        {"down + HTTP/1.1 200 ": REASON, "down - HTTP/1.1 200": REASON},
        answer=hello(start=b"HTTP/1.1 200"),
    ),
    Case(
        "a Content-Type",
        GET,
        {"down order": OWN_PLACE},
        answer=hello(b"Content-Type: text/html"),
    ),
    Case(
        "a length's name in small letters",
        GET,
        {"down + content-length: 5": OWN_PLACE, "down - Content-Length: 5": OWN_PLACE},
        answer=answer(b"content-length: 5", body=b"hello"),
    ),
    Case(
        "Connection naming a field",
        GET,
        {"down - X-Private: 1": NAMED},
        answer=hello(b"Connection: X-Private", b"X-Private: 1"),
    ),
    Case(
        "hop-by-hop fields",
        GET,
        {"down - Proxy-Authenticate: Basic": HOP_BY_HOP, "down - Upgrade: h2c": HOP_BY_HOP},
        answer=hello(b"Keep-Alive: timeout=5", b"Proxy-Authenticate: Basic", b"Upgrade: h2c"),
    ),
    Case(
        "until its end",
        GET,
        dict.fromkeys(
            (
                "down + Connection: close",
                "down + closed",
                "down - Transfer-Encoding: chunked",
                "down - kept",
            ),
            UNTIL_CLOSE,
        ),
        answer=answer(body=b"hello"),
        last=True,
    ),
    Case(
        "HEAD of chunks",
        HEAD,
        {"down + Transfer-Encoding: chunked": HEADS_CODING},
        answer=answer(IN_CHUNKS),
    ),
    Case(
        "nginx's own fields",
        GET,
        {"down + X-Accel-Buffering: no": OWN_USE, "down + X-Pad: 1": OWN_USE},
        answer=hello(b"X-Accel-Buffering: no", b"X-Pad: 1"),
    ),
    Case(
        "a length too long",
        GET,
        {"down + reset": BROKEN_OFF, "down - cut: hello": BROKEN_OFF},
        answer=answer(b"Content-Length: 9", body=b"hello"),
        last=True,
    ),
    Case(
        "chunks without an end",
        GET,
        {"down + reset": BROKEN_OFF, "down - cut: ": BROKEN_OFF},
        answer=answer(IN_CHUNKS, body=HELLO[:10]),
        last=True,
    ),
    refused("one length twice", hello(FIVE), "Content-Length: 5", "body: hello"),
    refused(
        "a length and chunks",
        hello(IN_CHUNKS, body=HELLO),
        *("Transfer-Encoding: chunked", "body: hello"),
    ),
    refused(
        "another coding",
        answer(b"Transfer-Encoding: gzip", body=b"hello"),
        *("Transfer-Encoding: chunked", "body: hello"),
    ),
    refused("bare LF", hello().replace(b"\r\n", b"\n"), "Content-Length: 5", "body: hello"),
    refused(
        "a control character",
        hello(b"X-A: a\x01b"),
        *("X-A: a\\x01b", "Content-Length: 5", "body: hello"),
    ),
    refused("HTTP/1.2", hello(start=b"HTTP/1.2 200 OK"), "Content-Length: 5", "body: hello"),
    refused("garbage", b"garbage\r\n\r\n", "no HTTP", reason=NOT_HTTP),
]
CASES = [*ALIKE.values(), *MORE_ALIKE, *DIFFERENT]
