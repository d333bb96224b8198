"""Answers to begin with: good ones of every framing, and some that are odd by design."""

from __future__ import annotations


def _answer(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return b"\r\n".join([start, *lines, b"", body])


_LENGTH = b"Content-Length: 5"
_CHUNKED = b"Transfer-Encoding: chunked"
_CHUNKS = b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
_HELLO = b"hello"

CORPUS = (
    _answer(_LENGTH, body=_HELLO),
    _answer(
        b"Server: a",
        b"Date: b",
        b"X-A: 1",
        b"x-a: caf\xe9",
        _LENGTH,
        b"X-B:",
        body=_HELLO,
    ),
    _answer(b"Content-Length: 0"),
    _answer(b"Content-Length: 005", body=_HELLO),
    _answer(b"Content-Length: 300", body=b"0123456789" * 30),
    _answer(_CHUNKED, body=_CHUNKS),
    _answer(_CHUNKED, body=b"0\r\n\r\n"),
    _answer(_CHUNKED, body=b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n'),
    _answer(_CHUNKED, body=b"a\r\n0123456789\r\nA\r\n0123456789\r\n00\r\n\r\n"),
    _answer(
        _CHUNKED,
        b"Trailer: X-Sum",
        body=b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nx-b: 2\r\n\r\n",
    ),
    _answer(_CHUNKED, body=b"12c\r\n" + b"0123456789" * 30 + b"\r\n0\r\n\r\n"),
    _answer(body=_HELLO),
    _answer(b"Connection: close", body=_HELLO),
    _answer(b"Connection: close", _LENGTH, body=_HELLO),
    _answer(b"Connection: X-A, Close", _LENGTH, body=_HELLO),
    _answer(b"Connection: X-A, keep-alive", b"X-A: 1", _LENGTH, body=_HELLO),
    _answer(_LENGTH, start=b"HTTP/1.0 200 OK", body=_HELLO),
    _answer(_LENGTH, b"Connection: keep-alive", start=b"HTTP/1.0 200 OK", body=_HELLO),
    _answer(start=b"HTTP/1.0 200 OK", body=_HELLO),
    _answer(start=b"HTTP/1.1 204 No Content"),
    _answer(b"Content-Length: 5", start=b"HTTP/1.1 304 Not Modified"),
    _answer(_CHUNKED, start=b"HTTP/1.1 304 Not Modified"),
    _answer(b"Content-Length: 0", start=b"HTTP/1.1 205 Reset Content"),
    _answer(
        b'WWW-Authenticate: Bearer error="invalid_token"',
        _LENGTH,
        start=b"HTTP/1.1 401 No",
    ),
    _answer(_LENGTH, start=b"HTTP/1.1 999 Odd", body=_HELLO),
    _answer(_LENGTH, start=b"HTTP/1.1 200 ", body=_HELLO),
    _answer(_LENGTH, start=b"HTTP/1.1 200", body=_HELLO),
    _answer(start=b"HTTP/1.1 100 Continue") + _answer(_LENGTH, body=_HELLO),
    _answer(b"Link: </a>", start=b"HTTP/1.1 103 Early Hints") * 2 + _answer(_CHUNKED, body=_CHUNKS),
    _answer(
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        start=b"HTTP/1.1 101 Switching Protocols",
    ),
    _answer(_LENGTH, _CHUNKED, body=_CHUNKS),
    _answer(_LENGTH, _LENGTH, body=_HELLO),
    _answer(_LENGTH, b"Content-Length: 6", body=_HELLO),
    _answer(b"Transfer-Encoding: gzip, chunked", body=_CHUNKS),
    _answer(b"Transfer-Encoding: identity", body=_HELLO),
    _answer(_LENGTH, b"X-A: 1", b" folded", body=_HELLO),
    _answer(_LENGTH, body=_HELLO) * 2,
    _answer(_LENGTH, body=b"hello and more"),
    _answer(_CHUNKED, body=_CHUNKS + _CHUNKS),
    _answer(*(b"X-%d: %d" % (number, number) for number in range(40)), _LENGTH, body=_HELLO),
    _answer(b"X-A: " + b"a" * 1500, _LENGTH, body=_HELLO),
    _answer(_LENGTH, body=_HELLO).replace(b"\r\n", b"\n"),
    b"\r\n" + _answer(_LENGTH, body=_HELLO),
    b"hello\r\n\r\n",
    b"",
)
LARGE = (
    _answer(b"Content-Length: 900000", body=b"0123456789" * 90_000),
    _answer(
        _CHUNKED,
        body=b"%x\r\n%b\r\n" % (10_000, b"0123456789" * 1000) * 80 + b"0\r\n\r\n",
    ),
    _answer(_CHUNKED, body=_CHUNKS[:-2] + b"X-A: 1\r\n" * 4000 + b"\r\n"),
    _answer(_CHUNKED, body=_CHUNKS[:-2] + b"X-A: " + b"a" * 200_000),
    _answer(_CHUNKED, body=b"1;" + b"a" * 40_000 + b"\r\n"),
    _answer(*(b"X-%d: %d" % (number, number) for number in range(4000)), body=_HELLO),
    _answer(start=b"HTTP/1.1 102 Processing") * 2000 + _answer(_LENGTH, body=_HELLO),
)
"""Beyond what may be held at once, or beyond the limits."""
