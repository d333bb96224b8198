"""Requests to begin with: good ones of every framing, and some that are odd by design."""

from __future__ import annotations


def _request(*lines: bytes, start: bytes = b"GET /a HTTP/1.1", body: bytes = b"") -> bytes:
    return b"\r\n".join([start, b"Host: localhost", *lines, b"", body])


def _post(*lines: bytes, body: bytes = b"hello", start: bytes = b"POST /a HTTP/1.1") -> bytes:
    return _request(*lines, start=start, body=body)


_LENGTH = b"Content-Length: 5"
_CHUNKED = b"Transfer-Encoding: chunked"
_CHUNKS = b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
_NEXT = _request(b"X-Next: 1", start=b"GET /next HTTP/1.1")

CORPUS = (
    _request(),
    _request(b"Accept: */*", b"X-A: 1", b"x-a: caf\xe9", b"X-B:"),
    _request(b"Connection: close"),
    _request(b"Connection: X-A, keep-alive", b"X-A: 1"),
    _request(b"Connection: Upgrade", b"Upgrade: h2c"),
    _request(b"Via: 1.1 a", b"Authorization: mine", b"TE: trailers"),
    _request(start=b"GET http://localhost/a?b HTTP/1.1"),
    _request(start=b"OPTIONS * HTTP/1.1"),
    _request(start=b"HEAD /a%2Fb HTTP/1.1"),
    _request(start=b"GET /a HTTP/1.0"),
    b"GET /a HTTP/1.0\r\n\r\n",
    _post(_LENGTH, b"Connection: keep-alive", start=b"POST /a HTTP/1.0"),
    _post(_LENGTH),
    _post(b"Content-Length: 0", body=b""),
    _post(b"Content-Length: 005"),
    _post(b"Content-Length: 300", body=b"0123456789" * 30),
    _post(body=b""),
    _post(_CHUNKED, body=_CHUNKS),
    _post(_CHUNKED, body=b"0\r\n\r\n"),
    _post(_CHUNKED, body=b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n'),
    _post(_CHUNKED, body=b"a\r\n0123456789\r\nA\r\n0123456789\r\n00\r\n\r\n"),
    _post(
        _CHUNKED,
        b"Trailer: X-Sum",
        body=b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nx-b: 2\r\n\r\n",
    ),
    _post(_LENGTH, b"Expect: 100-continue"),
    _request() + _NEXT,
    _post(_LENGTH) + _NEXT + _request(),
    _post(_CHUNKED, body=_CHUNKS) + _NEXT,
    _post(_CHUNKED, body=_CHUNKS) * 2 + _post(_LENGTH) * 2,
    _request() + b"garbage\r\n\r\n",
    _post(_LENGTH, _CHUNKED, body=_CHUNKS) + _NEXT,
    _post(_LENGTH, _LENGTH) + _NEXT,
    _post(_LENGTH, b"Content-Length: 6") + _NEXT,
    _post(b"Transfer-Encoding: gzip, chunked", body=_CHUNKS) + _NEXT,
    _post(b"Transfer-Encoding: identity", _LENGTH) + _NEXT,
    _post(_CHUNKED, body=_CHUNKS, start=b"POST /a HTTP/1.0"),
    _request(b"X-A: 1", b" folded") + _NEXT,
    _request(b"Host: other") + _NEXT,
    _post(b"Content_Length: 5", _CHUNKED, body=_CHUNKS) + _NEXT,
    _request(*(b"X-%d: %d" % (number, number) for number in range(40))) + _NEXT,
    _request(b"X-A: " + b"a" * 1500) + _NEXT,
    _request().replace(b"\r\n", b"\n") + _NEXT,
    b"\r\n\r\n" + _request(),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"",
)
LARGE = (
    _post(b"Content-Length: 900000", body=b"0123456789" * 90_000) + _NEXT,
    _post(
        _CHUNKED,
        body=b"%x\r\n%b\r\n" % (10_000, b"0123456789" * 1000) * 80 + b"0\r\n\r\n",
    )
    + _NEXT,
    _post(_CHUNKED, body=_CHUNKS[:-2] + b"X-A: 1\r\n" * 4000 + b"\r\n"),
    _post(_CHUNKED, body=_CHUNKS[:-2] + b"X-A: " + b"a" * 200_000),
    _post(_CHUNKED, body=b"1;" + b"a" * 40_000 + b"\r\n"),
    _post(_CHUNKED, body=b"1;aaaaaaaaaa\r\na\r\n" * 5000 + b"0\r\n\r\n"),
    _request(*(b"X-%d: %d" % (number, number) for number in range(4000))),
    _request(b"X-A: " + b"a" * 3000) * 200,
    b"\r\n" * 100_000 + _NEXT,
)
"""Beyond what may be held at once, or beyond the limits."""
