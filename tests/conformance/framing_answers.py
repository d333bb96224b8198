r"""Upstreams' answers that are to be passed on as they are: the table; see `test_framing_answers`.

The request is for `/case`; in the same breath nothing else is said, unless the case is about that.
"""

from __future__ import annotations

from typing import NamedTuple

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
TWO = b"Content-Length: 2\r\n"
END = b"0\r\n\r\n"
WHOLE = b"2\r\nok\r\n" + END
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


class Answered(NamedTuple):
    """What the upstream says, and the answer that the caller must have of it.

    `lines` are the fields without those that each hop writes for itself (`Connection`,
    `Transfer-Encoding`).
    """

    source: str
    said: bytes
    lines: tuple[bytes, ...] = ()
    body: bytes = b"ok"
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    interim: tuple[int, ...] = ()
    status: int = 200
    reason: bytes = b"OK"
    end: str = ""
    """How the upstream ends its connection then: `fin` or not at all."""
    kept: bool | None = True
    """Whether the upstream's connection carries another request; None: either is right."""
    request: bytes = b"GET /case HTTP/1.1\r\nHost: localhost\r\n\r\n"


HEAD = b"HEAD /case HTTP/1.1\r\nHost: localhost\r\n\r\n"
OLD = b"GET /case HTTP/1.0\r\nHost: localhost\r\n\r\n"
POST = b"POST /case HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
LENGTH = b"Content-Length: 2"

FRAMED = {
    "a length": Answered("RFC 9112 §6.2", OK + TWO + b"\r\nok", (LENGTH,)),
    "a length of nothing": Answered(
        "RFC 9112 §6.2", OK + b"Content-Length: 0\r\n\r\n", (b"Content-Length: 0",), b""
    ),
    "leading zeros": Answered(
        "B-33", OK + b"content-length: 002\r\n\r\nok", (b"content-length: 2",)
    ),
    "white space around a length": Answered(
        "RFC 9112 §5.1", OK + b"Content-Length:\t2 \r\n\r\nok", (LENGTH,)
    ),
    "a length named by Connection": Answered(
        "B-03", OK + b"Connection: content-length\r\n" + TWO + b"\r\nok", (LENGTH,)
    ),
    "chunks": Answered("RFC 9112 §7.1", OK + CHUNKED + b"\r\n1\r\no\r\n1\r\nk\r\n" + END),
    "the coding in mixed case": Answered(
        "RFC 9112 §7", OK + b"transfer-encoding: \tChUnKeD \r\n\r\n" + WHOLE
    ),
    "hexadecimal digits": Answered(
        "RFC 9112 §7.1",
        OK + CHUNKED + b"\r\nA\r\n0123456789\r\n00a\r\n0123456789\r\n000\r\n\r\n",
        body=b"0123456789" * 2,
    ),
    "extensions": Answered(
        "RFC 9112 §7.1.1", OK + CHUNKED + b'\r\n2;a=b;c="d"\r\nok\r\n0;e\r\n\r\n'
    ),
    "an answer in a chunk": Answered(
        "RFC 9112 §7.1",
        OK + CHUNKED + b"\r\n%x\r\n%b\r\n" % (len(POISON), POISON) + END,
        body=POISON,
    ),
    "an answer in a body": Answered(
        "RFC 9112 §6.2",
        OK + b"Content-Length: %d\r\n\r\n" % len(POISON) + POISON,
        (b"Content-Length: %d" % len(POISON),),
        POISON,
    ),
    "trailers": Answered(
        "RFC 9112 §7.1.2, B-17",
        OK + CHUNKED + b"Trailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n",
        (b"Trailer: X-Sum",),
        trailers=((b"X-Sum", b"1"), (b"x-sum", b"2")),
    ),
    "trailers that may not go on": Answered(
        "RFC 9110 §6.5.1, §7.6.1, B-01, B-17",
        OK + CHUNKED + b"Connection: x-a\r\n\r\n2\r\nok\r\n0\r\nX-A: 1\r\n"
        b"Transfer-Encoding: chunked\r\nContent_Length: 6\r\nSet-Cookie: a\r\nX-Sum: 1\r\n\r\n",
        trailers=((b"X-Sum", b"1"),),
    ),
    "trailers that speak of the connection": Answered(
        "RFC 9110 §6.5.1, B-17",
        OK + CHUNKED + b"\r\n2\r\nok\r\n0\r\nConnection: close\r\nX-Sum: 1\r\n\r\n",
        trailers=((b"X-Sum", b"1"),),
        kept=None,
    ),
    "trailers that speak of an upgrade": Answered(
        "RFC 9110 §6.5.1, B-17",
        OK + CHUNKED + b"\r\n2\r\nok\r\n0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        kept=None,
    ),
    "the end of the connection": Answered(
        "RFC 9112 §6.3", OK + b"X-A: 1\r\n\r\nok", (b"X-A: 1",), end="fin", kept=False
    ),
    "the end of the connection behind nothing": Answered(
        "RFC 9112 §6.3", OK + b"\r\n", body=b"", end="fin", kept=False
    ),
    "an answer behind an answer until the end": Answered(
        "RFC 9112 §6.3", OK + b"\r\nok" + POISON, body=b"ok" + POISON, end="fin", kept=False
    ),
}

WITHOUT_BODY = {
    "204": Answered(
        "RFC 9110 §15.3.5", b"HTTP/1.1 204 N\r\n\r\n", body=b"", status=204, reason=b"N"
    ),
    "204 with a length": Answered(
        "RFC 9110 §8.6",
        b"HTTP/1.1 204 N\r\nContent-Length: 0\r\n\r\n",
        body=b"",
        status=204,
        reason=b"N",
    ),
    "304 with a length": Answered(
        "RFC 9110 §15.4.5, B-15",
        b"HTTP/1.1 304 N\r\nContent-Length: 9\r\nETag: a\r\n\r\n",
        (b"Content-Length: 9", b"ETag: a"),
        b"",
        status=304,
        reason=b"N",
    ),
    "HEAD with a length": Answered(
        "RFC 9110 §9.3.2, B-15",
        OK + b"Content-Length: 9\r\n\r\n",
        (b"Content-Length: 9",),
        b"",
        request=HEAD,
    ),
    "HEAD with a coding": Answered("RFC 9112 §6.3", OK + CHUNKED + b"\r\n", body=b"", request=HEAD),
    "HEAD without either": Answered(
        "RFC 9112 §6.3", OK + b"X-A: 1\r\n\r\n", (b"X-A: 1",), b"", request=HEAD
    ),
}

INTERIM = {
    "103": Answered(
        "RFC 9110 §15.2, B-13",
        b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK + TWO + b"\r\nok",
        (LENGTH,),
        interim=(103,),
    ),
    "100, 102 and 103": Answered(
        "RFC 9110 §15.2, B-13",
        b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\n\r\n"
        + OK
        + TWO
        + b"\r\nok",
        (LENGTH,),
        interim=(100, 102, 103),
    ),
    "103 to a caller of HTTP/1.0": Answered(
        "RFC 9110 §15.2",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + TWO + b"\r\nok",
        (LENGTH,),
        request=OLD,
    ),
    "103 with a length": Answered(
        "RFC 9110 §8.6",
        b"HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\n" + OK + TWO + b"\r\nok",
        (LENGTH,),
        interim=(103,),
    ),
}

STATUS_LINES = {
    "no reason": Answered(
        "RFC 9112 §4", b"HTTP/1.1 200 \r\n" + TWO + b"\r\nok", (LENGTH,), reason=b""
    ),
    "no reason and no space": Answered(
        "RFC 9112 §4", b"HTTP/1.1 200\r\n" + TWO + b"\r\nok", (LENGTH,), reason=b""
    ),
    "a reason of several words": Answered(
        "RFC 9112 §4",
        b"HTTP/1.1 200 All  is\twell\r\n" + TWO + b"\r\nok",
        (LENGTH,),
        reason=b"All  is\twell",
    ),
    "a reason beyond ASCII": Answered(
        "RFC 9112 §4", b"HTTP/1.1 200 caf\xe9\r\n" + TWO + b"\r\nok", (LENGTH,), reason=b"caf\xe9"
    ),
    "599": Answered(
        "RFC 9110 §15, B-18",
        b"HTTP/1.1 599 X\r\n" + TWO + b"\r\nok",
        (LENGTH,),
        status=599,
        reason=b"X",
    ),
}

CONNECTIONS = {
    "HTTP/1.0": Answered(
        "RFC 9112 §9.3", b"HTTP/1.0 200 OK\r\n" + TWO + b"\r\nok", (LENGTH,), kept=False
    ),
    "HTTP/1.0 that is kept": Answered(
        "RFC 9112 §9.3",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + TWO + b"\r\nok",
        (LENGTH,),
    ),
    "Connection: close": Answered(
        "RFC 9112 §9.6", OK + b"Connection: close\r\n" + TWO + b"\r\nok", (LENGTH,), kept=False
    ),
    "close among other options": Answered(
        "RFC 9112 §9.6",
        OK + b"X-A: 1\r\nConnection: x-a\r\nConnection: Keep-Alive, CLOSE\r\n" + TWO + b"\r\nok",
        (LENGTH,),
        kept=False,
    ),
    "chunks to a caller of HTTP/1.0": Answered(
        "RFC 9112 §6.1", OK + CHUNKED + b"\r\n" + WHOLE, request=OLD
    ),
    "120 fields": Answered(
        "SPEC §6", OK + b"X-A: 1\r\n" * 120 + TWO + b"\r\nok", (b"X-A: 1",) * 120 + (LENGTH,)
    ),
    "a value beyond ASCII and an empty one": Answered(
        "RFC 9110 §5.5, B-10",
        OK + b"X-A: caf\xe9\r\nX-B:\r\n" + TWO + b"\r\nok",
        (b"X-A: caf\xe9", b"X-B: ", LENGTH),
    ),
}

BEHIND = {
    name: case._replace(source=source, said=case.said + POISON, kept=False)
    for name, source, case in [
        ("a length and another answer", "RFC 9112 §6.3, B-42", FRAMED["a length"]),
        ("a length of nothing and another answer", "B-42", FRAMED["a length of nothing"]),
        ("chunks and another answer", "B-42", FRAMED["chunks"]),
        ("trailers and another answer", "B-42", FRAMED["trailers"]),
        ("204 and another answer", "B-42", WITHOUT_BODY["204"]),
        ("304 and another answer", "B-42", WITHOUT_BODY["304 with a length"]),
        ("HEAD and another answer", "B-42", WITHOUT_BODY["HEAD with a length"]),
        ("103 and two answers", "B-42", INTERIM["103"]),
    ]
} | {
    "a length and more than it says": Answered(
        "B-42", OK + TWO + b"\r\nokay", (LENGTH,), kept=False
    ),
    "a length, a line break and another answer": Answered(
        "B-42", OK + TWO + b"\r\nok\r\n" + POISON, (LENGTH,), kept=False
    ),
    "a length and NUL": Answered("B-42", OK + TWO + b"\r\nok\x00", (LENGTH,), kept=False),
    "a length and 100 Continue": Answered(
        "RFC 9110 §15.2, B-42", OK + TWO + b"\r\nokHTTP/1.1 100 C\r\n\r\n", (LENGTH,), kept=False
    ),
    "chunks and another end": Answered("B-42", OK + CHUNKED + b"\r\n" + WHOLE + END, kept=False),
    "204 with a body": WITHOUT_BODY["204 with a length"]._replace(
        source="RFC 9112 §6.3, B-42",
        said=b"HTTP/1.1 204 N\r\nContent-Length: 6\r\n\r\npoison",
        kept=False,
    ),
    "204 in chunks": WITHOUT_BODY["204"]._replace(
        source="RFC 9112 §6.3, B-42",
        said=b"HTTP/1.1 204 N\r\n" + CHUNKED + b"\r\n" + WHOLE,
        kept=False,
    ),
    "304 with a body": WITHOUT_BODY["304 with a length"]._replace(
        source="RFC 9112 §6.3, B-42",
        said=b"HTTP/1.1 304 N\r\nContent-Length: 9\r\nETag: a\r\n\r\npoisonous",
        kept=False,
    ),
    "HEAD with a body": WITHOUT_BODY["HEAD with a length"]._replace(
        source="RFC 9112 §6.3, B-42",
        said=OK + b"Content-Length: 9\r\n\r\npoisonous",
        kept=False,
    ),
    "HEAD with chunks": WITHOUT_BODY["HEAD with a coding"]._replace(
        source="RFC 9112 §6.3, B-42", said=OK + CHUNKED + b"\r\n" + WHOLE, kept=False
    ),
}

FAITHFUL = FRAMED | WITHOUT_BODY | INTERIM | STATUS_LINES | CONNECTIONS
