r"""Requests whose head is to be refused: the table; `test_framing_requests` judges it.

A case is its source, the statuses that are right, and the bytes. Every one is sent with a request
for `/smuggled` right behind it, which nobody may ever execute.
"""

from __future__ import annotations

from typing import NamedTuple

from conformance.bench import request


class Refused(NamedTuple):
    """A request that must not go anywhere."""

    source: str
    statuses: tuple[int, ...]
    sent: bytes


def post(*fields: bytes, body: bytes = b"hello") -> bytes:
    """Return a POST's bytes; framing is for `fields` to say."""
    return request(*fields, line=b"POST /a HTTP/1.1", body=body)


def line(start: bytes) -> bytes:
    """Return a request with that request line."""
    return request(line=start)


def refused(source: str, *statuses: int, cases: dict[str, bytes]) -> dict[str, Refused]:
    """Return cases that have source and statuses in common."""
    return {name: Refused(source, statuses, sent) for name, sent in cases.items()}


CHUNKED = b"Transfer-Encoding: chunked"
NOTHING = b"0\r\n\r\n"
WHOLE = b"5\r\nhello\r\n0\r\n\r\n"

BOTH = refused(
    "RFC 9112 §6.1, B-30",
    400,
    cases={
        "a length and a coding": post(b"Content-Length: 5", CHUNKED, body=NOTHING),
        "a coding and a length": post(CHUNKED, b"Content-Length: 5", body=NOTHING),
        "a length of nothing and a coding": post(b"Content-Length: 0", CHUNKED, body=NOTHING),
        "a coding and an odd length": post(CHUNKED, b"Content-Length: x", body=NOTHING),
        "a coding in capitals and a length": post(
            b"TRANSFER-ENCODING: CHUNKED", b"content-length: 5", body=NOTHING
        ),
        "an unknown coding and a length": post(
            b"Transfer-Encoding: xchunked", b"Content-Length: 5"
        ),
        "identity and a length": post(b"Transfer-Encoding: identity", b"Content-Length: 5"),
        "an empty coding and a length": post(b"Transfer-Encoding:", b"Content-Length: 5"),
        "a length and an empty coding": post(b"Content-Length: 5", b"Transfer-Encoding: "),
    },
)

LENGTHS = refused(
    "RFC 9110 §8.6, RFC 9112 §6.3, B-33",
    400,
    cases={
        "two lengths": post(b"Content-Length: 5", b"Content-Length: 6"),
        "the same length twice": post(b"Content-Length: 5", b"Content-Length: 5"),
        "the same length in two spellings": post(b"Content-Length: 5", b"content-length: 05"),
        "a length and an empty one": post(b"Content-Length: 5", b"Content-Length:"),
        "a list of one length twice": post(b"Content-Length: 5, 5"),
        "a list of two lengths": post(b"Content-Length: 5,6"),
        "a length and a comma": post(b"Content-Length: 5,"),
        "a comma and a length": post(b"Content-Length: ,5"),
        "a plus": post(b"Content-Length: +5"),
        "a minus": post(b"Content-Length: -5"),
        "minus nothing": post(b"Content-Length: -0"),
        "a hexadecimal length": post(b"Content-Length: 0x5"),
        "a hexadecimal digit": post(b"Content-Length: a"),
        "a fraction": post(b"Content-Length: 5.0"),
        "an exponent": post(b"Content-Length: 5e0"),
        "an underscore among digits": post(b"Content-Length: 1_0"),
        "a quoted length": post(b'Content-Length: "5"'),
        "a semicolon behind a length": post(b"Content-Length: 5;"),
        "an empty length": post(b"Content-Length:"),
        "a length of spaces": post(b"Content-Length:   "),
        "a space among digits": post(b"Content-Length: 5 5"),
        "a tab among digits": post(b"Content-Length: 5\t5"),
        "nineteen digits": post(b"Content-Length: 9999999999999999999"),
        "a length beyond 64 bits": post(b"Content-Length: 18446744073709551621"),
        "a length beyond 63 bits": post(b"Content-Length: 9223372036854775813"),
        "a vertical tab before a length": post(b"Content-Length: \x0b5"),
        "a form feed behind a length": post(b"Content-Length: 5\x0c"),
        "a no break space before a length": post(b"Content-Length: \xa05"),
        "a digit of another script": post(b"Content-Length: \xd9\xa5"),
        "NUL behind a length": post(b"Content-Length: 5\x00"),
        "a folded length": post(b"Content-Length:\r\n 5"),
    },
)

CODINGS = refused(
    "RFC 9112 §6.1, §6.3, B-31",
    400,
    cases={
        "a coding before chunked": post(b"Transfer-Encoding: gzip, chunked", body=WHOLE),
        "a coding behind chunked": post(b"Transfer-Encoding: chunked, gzip", body=WHOLE),
        "chunked twice": post(b"Transfer-Encoding: chunked, chunked", body=WHOLE),
        "chunked on two lines": post(CHUNKED, CHUNKED, body=WHOLE),
        "gzip on a line before": post(b"Transfer-Encoding: gzip", CHUNKED, body=WHOLE),
        "identity on a line before": post(b"Transfer-Encoding: identity", CHUNKED, body=WHOLE),
        "identity on a line behind": post(CHUNKED, b"Transfer-Encoding: identity", body=WHOLE),
        "an empty line before chunked": post(b"Transfer-Encoding:", CHUNKED, body=WHOLE),
        "an empty line behind chunked": post(CHUNKED, b"Transfer-Encoding:", body=WHOLE),
        "identity": post(b"Transfer-Encoding: identity"),
        "identity and chunked": post(b"Transfer-Encoding: identity, chunked", body=WHOLE),
        "gzip alone": post(b"Transfer-Encoding: gzip"),
        "no coding": post(b"Transfer-Encoding:"),
        "a coding of spaces": post(b"Transfer-Encoding:   "),
        "a longer word": post(b"Transfer-Encoding: xchunked", body=WHOLE),
        "a word behind": post(b"Transfer-Encoding: chunkedx", body=WHOLE),
        "a shorter word": post(b"Transfer-Encoding: chunke", body=WHOLE),
        "two words": post(b"Transfer-Encoding: chunked chunked", body=WHOLE),
        "a parameter": post(b"Transfer-Encoding: chunked;q=1", body=WHOLE),
        "a semicolon": post(b"Transfer-Encoding: chunked;", body=WHOLE),
        "a comma behind chunked": post(b"Transfer-Encoding: chunked,", body=WHOLE),
        "a comma before chunked": post(b"Transfer-Encoding: ,chunked", body=WHOLE),
        "double quotes": post(b'Transfer-Encoding: "chunked"', body=WHOLE),
        "single quotes": post(b"Transfer-Encoding: 'chunked'", body=WHOLE),
        "a vertical tab before chunked": post(b"Transfer-Encoding: \x0bchunked", body=WHOLE),
        "a vertical tab behind chunked": post(b"Transfer-Encoding: chunked\x0b", body=WHOLE),
        "a space in chunked": post(b"Transfer-Encoding: chu nked", body=WHOLE),
        "NUL behind chunked": post(b"Transfer-Encoding: chunked\x00", body=WHOLE),
        "chunked beyond ASCII": post(b"Transfer-Encoding: chun\xe2\x84\xaaed", body=WHOLE),
        "a folded coding": post(b"Transfer-Encoding:\r\n chunked", body=WHOLE),
        "a coding folded behind a field": post(
            b"X-A: 1\r\n Transfer-Encoding: chunked", body=WHOLE
        ),
        "a space before the codings colon": post(b"Transfer-Encoding : chunked", body=WHOLE),
        "a coding in HTTP/1.0": request(CHUNKED, line=b"POST /a HTTP/1.0", body=WHOLE),
        "a coding and a length in HTTP/1.0": request(
            CHUNKED, b"Content-Length: 15", line=b"POST /a HTTP/1.0", body=WHOLE
        ),
    },
)

HOSTS = refused(
    "RFC 9110 §7.2, RFC 9112 §3.2, B-06",
    400,
    cases={
        "no Host": b"GET /a HTTP/1.1\r\nX-A: 1\r\n\r\n",
        "no field at all": b"GET /a HTTP/1.1\r\n\r\n",
        "two Hosts": request(b"Host: named.test"),
        "the same Host twice": request(b"Host: localhost"),
        "two Hosts in HTTP/1.0": request(b"Host: localhost", line=b"GET /a HTTP/1.0"),
        "a Host and an empty one": request(b"Host:"),
        "an empty Host": request(host=b""),
        "a list of Hosts": request(host=b"localhost, localhost"),
        "a list of Hosts without space": request(host=b"localhost,named.test"),
        "userinfo": request(host=b"me@localhost"),
        "userinfo with a password": request(host=b"me:secret@localhost"),
        "a path": request(host=b"localhost/a"),
        "a query": request(host=b"localhost?a"),
        "a fragment in the Host": request(host=b"localhost#a"),
        "a backslash": request(host=b"localhost\\a"),
        "a scheme": request(host=b"http://localhost"),
        "letters in the port": request(host=b"localhost:8o"),
        "a negative port": request(host=b"localhost:-1"),
        "two ports": request(host=b"localhost:80:80"),
        "a space before the port": request(host=b"localhost :80"),
        "a port of six digits": request(host=b"localhost:000080"),
        "a port alone": request(host=b":80"),
        "a space in the Host": request(host=b"local host"),
        "a tab in the Host": request(host=b"local\thost"),
        "an unclosed bracket": request(host=b"[::1"),
        "bytes behind the bracket": request(host=b"[::1]localhost"),
        "a byte beyond ASCII": request(host=b"localh\xc3\xb6st"),
        "an encoded byte": request(host=b"localhost%00"),
        "a folded Host": b"GET /a HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n",
        "a Host folded behind a field": request(b"X-A: 1\r\n Host: named.test"),
        "an absolute target without Host": b"GET http://named.test/a HTTP/1.1\r\n\r\n",
        "an absolute target with two Hosts": request(
            b"Host: named.test", line=b"GET http://named.test/a HTTP/1.1"
        ),
        "an absolute target with an odd Host": request(
            line=b"GET http://named.test/a HTTP/1.1", host=b"named.test/b"
        ),
        "an absolute target with userinfo": line(b"GET http://me@named.test/a HTTP/1.1"),
        "an absolute target without host": line(b"GET http:///a HTTP/1.1"),
        "an absolute target of another scheme": line(b"GET ftp://named.test/a HTTP/1.1"),
        "an absolute target with an odd port": line(b"GET http://named.test:8o/a HTTP/1.1"),
        "an absolute target with a backslash": line(b"GET http:\\\\named.test/a HTTP/1.1"),
    },
)

HEADS = BOTH | LENGTHS | CODINGS | HOSTS
"""What a head says of framing and of its host."""
