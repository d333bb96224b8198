r"""Requests whose lines are to be refused, byte by byte: the table; see `framing_heads`."""

from __future__ import annotations

from conformance.bench import request
from conformance.framing_heads import line, refused

ENDS = refused(
    "RFC 9112 §2.2, §5, B-34",
    400,
    cases={
        "bare LFs throughout": b"GET /a HTTP/1.1\nHost: localhost\n\n",
        "a bare LF behind the request line": b"GET /a HTTP/1.1\nHost: localhost\r\n\r\n",
        "a bare LF behind a field": b"GET /a HTTP/1.1\r\nHost: localhost\nX-A: 1\r\n\r\n",
        "a bare LF behind the last field": b"GET /a HTTP/1.1\r\nHost: localhost\n\r\n",
        "a bare LF at the head's end": b"GET /a HTTP/1.1\r\nHost: localhost\r\n\n",
        "a bare LF in a value": request(b"X-A: 1\n2"),
        "a bare LF and a field in a value": request(b"X-A: 1\nX-B: 2"),
        "a bare LF in a name": request(b"X\nA: 1"),
        "a bare LF in the target": line(b"GET /a\nb HTTP/1.1"),
        "a bare LF in the method": line(b"GE\nT /a HTTP/1.1"),
        "a bare LF instead of a space": line(b"GET\n/a HTTP/1.1"),
        "a bare LF before the version": line(b"GET /a\nHTTP/1.1"),
        "a bare LF before the request": b"\n" + request(),
        "LF and CR instead of CR and LF": b"GET /a HTTP/1.1\n\rHost: localhost\n\r\n\r",
        "a bare CR behind the request line": b"GET /a HTTP/1.1\rHost: localhost\r\n\r\n",
        "a bare CR behind a field": b"GET /a HTTP/1.1\r\nHost: localhost\rX-A: 1\r\n\r\n",
        "two CRs behind a field": b"GET /a HTTP/1.1\r\nHost: localhost\r\r\nX-A: 1\r\n\r\n",
        "two CRs at the head's end": b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\r\n",
        "a bare CR at the head's end": b"GET /a HTTP/1.1\r\nHost: localhost\r\n\rGET",
        "a bare CR in a value": request(b"X-A: 1\r2"),
        "a bare CR before a value": request(b"X-A:\r1"),
        "a bare CR in a name": request(b"X\rA: 1"),
        "a bare CR before a name": request(b"\rX-A: 1"),
        "a bare CR in the target": line(b"GET /a\rb HTTP/1.1"),
        "a bare CR in the method": line(b"GE\rT /a HTTP/1.1"),
        "a bare CR before the request": b"\r" + request(),
        "two CRs before the request": b"\r\r" + request(),
        "a bare CR instead of a space": line(b"GET /a\rHTTP/1.1"),
    },
)

CONTROLS = refused(
    "RFC 9110 §5.5, RFC 9112 §2.2, B-34",
    400,
    cases={
        "NUL in a value": request(b"X-A: 1\x002"),
        "NUL as a value": request(b"X-A: \x00"),
        "NUL in a name": request(b"X\x00A: 1"),
        "NUL before the colon": request(b"X-A\x00: 1"),
        "NUL in the target": line(b"GET /a\x00b HTTP/1.1"),
        "NUL in the method": line(b"GE\x00T /a HTTP/1.1"),
        "NUL in the version": line(b"GET /a HTTP/1.\x001"),
        "NUL behind the version": line(b"GET /a HTTP/1.1\x00"),
        "NUL before the request": b"\x00" + request(),
        "0x01 in a value": request(b"X-A: \x01"),
        "backspace in a value": request(b"X-A: 1\x082"),
        "a vertical tab in a value": request(b"X-A: 1\x0b2"),
        "a form feed in a value": request(b"X-A: 1\x0c2"),
        "escape in a value": request(b"X-A: \x1b[2J"),
        "0x1f in a value": request(b"X-A: \x1f"),
        "delete in a value": request(b"X-A: \x7f"),
        "0x01 in a name": request(b"X\x01A: 1"),
        "delete in a name": request(b"X\x7fA: 1"),
        "0x01 in the target": line(b"GET /\x01 HTTP/1.1"),
        "a tab in the target": line(b"GET /a\tb HTTP/1.1"),
        "delete in the target": line(b"GET /\x7f HTTP/1.1"),
    },
)

FIELDS = refused(
    "RFC 9112 §5, §5.1, §5.2, B-34",
    400,
    cases={
        "a space before the colon": request(b"X-A : 1"),
        "a tab before the colon": request(b"X-A\t: 1"),
        "a space before the length's colon": request(b"Content-Length : 5"),
        "a vertical tab before the colon": request(b"X-A\x0b: 1"),
        "a space in a name": request(b"X A: 1"),
        "no colon": request(b"X-A"),
        "no colon, one space": request(b"X-A 1"),
        "no name": request(b": 1"),
        "a colon alone": request(b":"),
        "two colons": request(b":: 1"),
        "a folded line": request(b"X-A: 1\r\n 2"),
        "a line folded by a tab": request(b"X-A: 1\r\n\t2"),
        "a folded line of nothing": request(b"X-A: 1\r\n "),
        "a space before the first field": b"GET /a HTTP/1.1\r\n Host: localhost\r\n\r\n",
        "a tab before the first field": b"GET /a HTTP/1.1\r\n\tHost: localhost\r\n\r\n",
        "a line of spaces before the first field": (
            b"GET /a HTTP/1.1\r\n   \r\nHost: localhost\r\n\r\n"
        ),
        "a byte beyond ASCII in a name": request(b"X-\xc3\xa9: 1"),
        "a parenthesis in a name": request(b"X(A): 1"),
        "a bracket in a name": request(b"X[A]: 1"),
        "a comma in a name": request(b"X,A: 1"),
        "a slash in a name": request(b"X/A: 1"),
        "a quote in a name": request(b'"X-A": 1'),
        "an at in a name": request(b"X@A: 1"),
        "an equals sign in a name": request(b"X=A: 1"),
        "a semicolon in a name": request(b"X;A: 1"),
    },
)

VERSIONS = refused(
    "RFC 9112 §2.3, B-36",
    505,
    400,
    cases={
        "version 0.9": line(b"GET /a HTTP/0.9"),
        "version 1.2": line(b"GET /a HTTP/1.2"),
        "version 1.9": line(b"GET /a HTTP/1.9"),
        "version 2.0": line(b"GET /a HTTP/2.0"),
        "version 3.0": line(b"GET /a HTTP/3.0"),
        "version 9.9": line(b"GET /a HTTP/9.9"),
        "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "its request line with a Host": line(b"PRI * HTTP/2.0"),
    },
) | refused(
    "RFC 9112 §2.3, §3, B-36",
    400,
    cases={
        "no version": b"GET /a\r\nHost: localhost\r\n\r\n",
        "no version, no field": b"GET /a\r\n\r\n",
        "version 1": line(b"GET /a HTTP/1"),
        "version 1 and a point": line(b"GET /a HTTP/1."),
        "version 1.10": line(b"GET /a HTTP/1.10"),
        "version 1.1.1": line(b"GET /a HTTP/1.1.1"),
        "version 01.1": line(b"GET /a HTTP/01.1"),
        "version 11": line(b"GET /a HTTP/11"),
        "version 1,1": line(b"GET /a HTTP/1,1"),
        "version +1.1": line(b"GET /a HTTP/+1.1"),
        "a lower-case protocol": line(b"GET /a http/1.1"),
        "a mixed-case protocol": line(b"GET /a Http/1.1"),
        "HTTPS": line(b"GET /a HTTPS/1.1"),
        "RTSP": line(b"OPTIONS /a RTSP/1.0"),
        "RTSP by a method of its own": line(b"DESCRIBE /a RTSP/1.1"),
        "ICE": line(b"SOURCE /a ICE/1.0"),
        "ICE by GET": line(b"GET /a ICE/1.1"),
        "a space in the version": line(b"GET /a HTTP/ 1.1"),
        "a space before the slash": line(b"GET /a HTTP /1.1"),
        "a space behind the version": line(b"GET /a HTTP/1.1 "),
        "a tab behind the version": line(b"GET /a HTTP/1.1\t"),
        "a word behind the version": line(b"GET /a HTTP/1.1 x"),
    },
)

LINES = refused(
    "RFC 9112 §3, B-36",
    400,
    cases={
        "two spaces before the target": line(b"GET  /a HTTP/1.1"),
        "two spaces before the version": line(b"GET /a  HTTP/1.1"),
        "a tab before the target": line(b"GET\t/a HTTP/1.1"),
        "a tab before the version": line(b"GET /a\tHTTP/1.1"),
        "a vertical tab before the target": line(b"GET\x0b/a HTTP/1.1"),
        "a form feed before the version": line(b"GET /a\x0cHTTP/1.1"),
        "a space before the method": line(b" GET /a HTTP/1.1"),
        "a tab before the method": line(b"\tGET /a HTTP/1.1"),
        "a byte order mark before the method": line(b"\xef\xbb\xbfGET /a HTTP/1.1"),
        "a space in the target": line(b"GET /a b HTTP/1.1"),
        "a request line in the target": line(b"GET /a HTTP/1.1 /b HTTP/1.1"),
        "no target": line(b"GET HTTP/1.1"),
        "an empty target": line(b"GET  HTTP/1.1"),
        "a relative target": line(b"GET a HTTP/1.1"),
        "a query as a target": line(b"GET ?a HTTP/1.1"),
        "a backslash as a target": line(b"GET \\a HTTP/1.1"),
        "authority-form without CONNECT": line(b"GET named.test:80 HTTP/1.1"),
        "asterisk-form without OPTIONS": line(b"GET * HTTP/1.1"),
        "asterisk-form with more": line(b"OPTIONS *a HTTP/1.1"),
        "a fragment": line(b"GET /a#b HTTP/1.1"),
        "dot segments": line(b"GET /a/../b HTTP/1.1"),
        "encoded dot segments": line(b"GET /a/%2e%2E/b HTTP/1.1"),
        "no method": line(b"/a HTTP/1.1"),
        "a method that is no token": line(b"G@T /a HTTP/1.1"),
        "a method with a colon": line(b"GET: /a HTTP/1.1"),
        "a method with a parenthesis": line(b"GET() /a HTTP/1.1"),
        "a method in quotes": line(b'"GET" /a HTTP/1.1'),
        "a method beyond ASCII": line(b"G\xc3\x89T /a HTTP/1.1"),
        "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
    },
) | refused(
    "RFC 9110 §9.1, §9.3.6, §9.3.8, B-08, B-11",
    405,
    cases={
        "CONNECT": line(b"CONNECT named.test:80 HTTP/1.1"),
        "CONNECT with a path": line(b"CONNECT /a HTTP/1.1"),
        "CONNECT with a body": request(
            b"Content-Length: 5", line=b"CONNECT named.test:80 HTTP/1.1", body=b"hello"
        ),
        "TRACE": line(b"TRACE /a HTTP/1.1"),
        "TRACE with a body": request(
            b"Content-Length: 5", line=b"TRACE /a HTTP/1.1", body=b"hello"
        ),
    },
)

EXPECTATIONS = refused(
    "RFC 9110 §10.1.1, B-14",
    417,
    cases={
        "another expectation": request(b"Expect: 200-ok"),
        "an expectation with more behind": request(b"Expect: 100-continued"),
        "an expectation among others": request(b"Expect: 100-continue, x=y"),
        "an empty expectation": request(b"Expect:"),
    },
)

SIZES = refused(
    "SPEC §6, B-38",
    431,
    414,
    400,
    501,
    cases={
        "a method of 100 KiB": line(b"A" * 102400 + b" /a HTTP/1.1"),
        "a target of 100 KiB": line(b"GET /" + b"a" * 102400 + b" HTTP/1.1"),
        "a name of 100 KiB": request(b"X" * 102400 + b": 1"),
        "a value of 100 KiB": request(b"X-A: " + b"1" * 102400),
        "129 fields": request(*(b"X-%d: 1" % number for number in range(128))),
        "100 KiB of small fields": request(*(b"X: " + b"1" * 1022,) * 100),
    },
)

LINES_AND_FIELDS = ENDS | CONTROLS | FIELDS | VERSIONS | LINES | EXPECTATIONS | SIZES
"""What is wrong with the bytes of a head."""
