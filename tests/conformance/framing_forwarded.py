r"""Requests that look odd and are not ambiguous: what of each must arrive, to the byte."""

from __future__ import annotations

from typing import NamedTuple

from conformance.bench import request
from conformance.framing_heads import CHUNKED, post


class Forwarded(NamedTuple):
    """A request, and how it arrives.

    `lines` are the fields without `Host`, `Via` and the credential, which always stand there; the
    place of `Transfer-Encoding`, which is of one hop, is not looked at.
    """

    source: str
    sent: bytes
    lines: tuple[bytes, ...] = ()
    body: bytes = b""
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    start: bytes = b"POST /a HTTP/1.1"
    keeps: bool = True
    """Whether the caller's connection serves another request."""
    may_be_refused: bool = False
    """Whether a 4xx or 5xx is right as well."""


GET = b"GET /a HTTP/1.1"
FIVE = b"Content-Length: 5"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
END = b"0\r\n\r\n"
HELLO = b"5\r\nhello\r\n" + END


def chunked(body: bytes, *fields: bytes) -> bytes:
    """Return a chunked POST."""
    return post(CHUNKED, *fields, body=body)


LENGTHS = {
    "no body": Forwarded("RFC 9112 §6.3", post(body=b"")),
    "a length": Forwarded("RFC 9112 §6.2", post(FIVE), (FIVE,), b"hello"),
    "a length of nothing": Forwarded(
        "RFC 9112 §6.2", post(b"Content-Length: 0", body=b""), (b"Content-Length: 0",)
    ),
    "leading zeros": Forwarded("B-33", post(b"Content-Length: 005"), (FIVE,), b"hello"),
    "leading zeros that might be octal": Forwarded(
        "B-33",
        post(b"Content-Length: 010", body=b"0123456789"),
        (b"Content-Length: 10",),
        b"0123456789",
    ),
    "nothing written as zeros": Forwarded(
        "B-33", post(b"Content-Length: 000", body=b""), (b"Content-Length: 0",)
    ),
    "white space around a length": Forwarded(
        "RFC 9112 §5.1", post(b"Content-Length: \t 5 \t "), (FIVE,), b"hello"
    ),
    "no space before a length": Forwarded(
        "RFC 9112 §5.1", post(b"Content-Length:5"), (FIVE,), b"hello"
    ),
    "a length named by Connection": Forwarded(
        "RFC 9110 §7.6.1, B-03", post(b"Connection: content-length", FIVE), (FIVE,), b"hello"
    ),
    "a request in a body": Forwarded(
        "RFC 9112 §6.2",
        post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
        (b"Content-Length: %d" % len(SMUGGLED),),
        SMUGGLED,
    ),
    "a request in the body of a GET": Forwarded(
        "RFC 9110 §9.3.1",
        request(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
        (b"Content-Length: %d" % len(SMUGGLED),),
        SMUGGLED,
        start=GET,
    ),
    "line breaks behind a body": Forwarded(
        "RFC 9112 §2.2", post(FIVE, body=b"hello\r\n"), (FIVE,), b"hello"
    ),
    "a body by DELETE": Forwarded(
        "RFC 9110 §9.3.5",
        request(FIVE, line=b"DELETE /a HTTP/1.1", body=b"hello"),
        (FIVE,),
        b"hello",
        start=b"DELETE /a HTTP/1.1",
    ),
    "a length in HTTP/1.0": Forwarded(
        "RFC 9112 §6.2",
        request(FIVE, line=b"POST /a HTTP/1.0", body=b"hello"),
        (FIVE,),
        b"hello",
        keeps=False,
    ),
}

CODINGS = {
    "chunks": Forwarded(
        "RFC 9112 §7.1",
        chunked(b"5\r\nhello\r\n6\r\n world\r\n" + END),
        (CHUNKED,),
        b"hello world",
    ),
    "an empty chunked body": Forwarded("RFC 9112 §7.1", chunked(END), (CHUNKED,)),
    "white space around the coding": Forwarded(
        "RFC 9112 §5.1",
        post(b"Transfer-Encoding: \t chunked \t", body=HELLO),
        (CHUNKED,),
        b"hello",
    ),
    "the coding in mixed case": Forwarded(
        "RFC 9112 §7",
        post(b"transfer-ENCODING: ChUnKeD", body=HELLO),
        (b"transfer-ENCODING: chunked",),
        b"hello",
    ),
    "a coding named by Connection": Forwarded(
        "RFC 9110 §7.6.1, B-03",
        post(b"Connection: transfer-encoding", CHUNKED, body=HELLO),
        (CHUNKED,),
        b"hello",
    ),
    "hexadecimal digits": Forwarded(
        "RFC 9112 §7.1",
        chunked(b"a\r\n0123456789\r\nA\r\n0123456789\r\n" + END),
        (CHUNKED,),
        b"01234567890123456789",
    ),
    "leading zeros of a size": Forwarded(
        "RFC 9112 §7.1", chunked(b"0005\r\nhello\r\n000\r\n\r\n"), (CHUNKED,), b"hello"
    ),
    "twenty leading zeros of a size": Forwarded(
        "RFC 9112 §7.1",
        chunked(b"0" * 20 + b"5\r\nhello\r\n" + END),
        (CHUNKED,),
        b"hello",
        may_be_refused=True,
    ),
    "extensions": Forwarded(
        "RFC 9112 §7.1.1",
        chunked(b'3;a\r\nhel\r\n1;a=b;c="d;e"\r\nl\r\n1;x=\r\no\r\n0;last=1\r\n\r\n'),
        (CHUNKED,),
        b"hello",
        may_be_refused=True,
    ),
    "an extension": Forwarded(
        "RFC 9112 §7.1.1", chunked(b"5;a=b\r\nhello\r\n" + END), (CHUNKED,), b"hello"
    ),
    "an extension that is quoted": Forwarded(
        "RFC 9112 §7.1.1", chunked(b'5;a="b; c"\r\nhello\r\n' + END), (CHUNKED,), b"hello"
    ),
    "an extension on the last chunk": Forwarded(
        "RFC 9112 §7.1.1", chunked(b"5\r\nhello\r\n0;a=b\r\n\r\n"), (CHUNKED,), b"hello"
    ),
    "a space before an extension": Forwarded(
        "RFC 9112 §7.1.1",
        chunked(b"5 ; a=b\r\nhello\r\n" + END),
        (CHUNKED,),
        b"hello",
        may_be_refused=True,
    ),
    "an extension without name": Forwarded(
        "RFC 9112 §7.1.1",
        chunked(b"5;\r\nhello\r\n" + END),
        (CHUNKED,),
        b"hello",
        may_be_refused=True,
    ),
    "a quote that does not end in an extension": Forwarded(
        "RFC 9112 §7.1.1",
        chunked(b'5;a="b\r\nhello\r\n' + END),
        (CHUNKED,),
        b"hello",
        may_be_refused=True,
    ),
    "a request in a chunk": Forwarded(
        "RFC 9112 §7.1",
        chunked(b"%x\r\n%b\r\n" % (len(SMUGGLED), SMUGGLED) + END),
        (CHUNKED,),
        SMUGGLED,
    ),
    "an end in a chunk": Forwarded(
        "RFC 9112 §7.1", chunked(b"5\r\n" + END + b"\r\n" + END), (CHUNKED,), END
    ),
    "chunks by GET": Forwarded(
        "RFC 9110 §9.3.1", request(CHUNKED, body=HELLO), (CHUNKED,), b"hello", start=GET
    ),
    "trailers": Forwarded(
        "RFC 9112 §7.1.2, B-17",
        chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nx-sum:\t2 \r\n\r\n", b"Trailer: X-Sum"),
        (CHUNKED, b"Trailer: X-Sum"),
        b"hello",
        ((b"X-Sum", b"1"), (b"x-sum", b"2")),
    ),
    "trailers that may not go on": Forwarded(
        "RFC 9110 §6.5.1, B-17",
        chunked(
            b"5\r\nhello\r\n0\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\nHost: x\r\n"
            b"Authorization: x\r\nX-Api-Key: x\r\nTE: x\r\nConnection: x\r\nUpgrade: x\r\n"
            b"Trailer: x\r\nX-Sum: 1\r\n\r\n"
        ),
        (CHUNKED,),
        b"hello",
        ((b"X-Sum", b"1"),),
    ),
    "trailers that servers may take for others": Forwarded(
        "B-17, B-37",
        chunked(
            b"5\r\nhello\r\n0\r\nContent_Length: 6\r\nTransfer_Encoding: x\r\nx_api_key: x\r\n"
            b"X-Sum: 1\r\n\r\n"
        ),
        (CHUNKED,),
        b"hello",
        ((b"X-Sum", b"1"),),
    ),
    "trailers that Connection names": Forwarded(
        "RFC 9110 §7.6.1, B-01",
        chunked(b"5\r\nhello\r\n0\r\nX-A: 1\r\nX-Sum: 1\r\n\r\n", b"Connection: x-a"),
        (CHUNKED,),
        b"hello",
        ((b"X-Sum", b"1"),),
    ),
}
