"""Requests for the comparison with nginx: targets, hosts, fields. `nginx_framing` has the rest.

`ALIKE` reach the upstream alike through both proxies, or are refused alike; what differs is a
`Case` with a reason for each difference (see `side_by_side`).
"""

from __future__ import annotations

from conformance.bench import request
from integration.side_by_side import CREDENTIAL, Case

REFUSED = "400, closed; nginx: forwarded"

DOT_SEGMENTS = "SPEC 4: a path that an upstream may resolve otherwise than we matched it is refused"
FRAGMENT = "RFC 9112 §3.2: a target has no fragment; nginx cuts it off for matching, and passes it"
DECODED = "B-07: we match and pass the path undecoded; nginx decodes it to match, and gives up here"
ASTERISK = "RFC 9112 §3.2.4: a server-wide OPTIONS has a way on; nginx gives it a slash or refuses"
OTHER_HOST = "SPEC 1: `allowed_hosts`, against DNS rebinding; nginx serves any name by default"
BROWSER = "SPEC 1: `browser_requests: refuse`; nginx does not look"
COLON = "SPEC 4: a field is passed as it came; nginx writes a space behind each colon"
CONTROLS = "RFC 9110 §5.5: control characters are refused; nginx passes all but NUL, CR and LF"
LINE_END = "SPEC 4: bare LF is refused, as what stands before may read it otherwise"
NO_FIELD = "RFC 9112 §5: a line that is no field is refused; nginx drops it and goes on"
NAME_DROPPED = "RFC 9110 §5.1: a token is a name; nginx drops what is not letters, digits, hyphens"
TWICE = "SPEC 4: the caller's are replaced, however many; nginx refuses what it wants once"
PROXYS_OWN = "RFC 9110 §11.7.2: its credential is for the first proxy that asked; nginx passes it"
HEAD_LIMIT = "RFC 6585 §5: 431 says what is wrong; nginx says 400"
FIELDS_LIMIT = "SPEC 6: `limits.header_fields_max` is 128; nginx 1.22 has no such limit"


def target(target: bytes, *fields: bytes, host: bytes = b"localhost") -> bytes:
    return request(*fields, line=b"GET " + target + b" HTTP/1.1", host=host)


TARGETS = {
    "an escaped slash": b"/a%2Fb",
    "escapes above the root": b"/../../a",
    "two slashes at the start": b"//evil.test/x",
    "two slashes": b"/a//b",
    "needless escapes": b"/a%41/%7Eu",
    "an odd query": b'/a?x=[1]&y="q"|\\&z=%zz',
    "an empty query": b"/a?",
    "three question marks": b"/a??b?",
    "an escaped line end": b"/a%0d%0aX:y",
    "escapes in either case": b"/%C3%a9",
    "parameters and a plus sign": b"/a;b=c/+d",
    "a backslash": b"/a\\b",
    "brackets and braces": b"/<a>{b}^`",
    "a raw byte": b"/\xe9",
    "a target of 5,000 bytes": b"/" + b"a" * 5000,
    "an asterisk with GET": b"*",
    "a target without a slash": b"a",
    "the absolute form": b"http://localhost/abs?q",
    "the absolute form in capitals": b"HTTP://LOCALHOST/a",
    "the absolute form with a user": b"http://u:p@localhost/a",
    "the absolute form without a path": b"http://localhost",
    "the absolute form with a query alone": b"http://localhost?q",
}
HOSTS = {
    "a host with a port": b"localhost:8080",
    "a host in capitals": b"LOCALHOST",
    "an IPv6 host": b"[::1]:8080",
    "an empty host": b"",
    "a host with a path": b"localhost/a",
}
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FIELDS = {
    "nothing but a host": [],
    "names' case, order and repetition": [
        *(b"x-B: 1", b"X-a: 2", b"X-B: 3", b'ETAG: "x"', b"x-b: 1"),
    ],
    "bytes that are not UTF-8": [b"X-A: caf\xe9 \xff\xfe"],
    "bytes that are UTF-8": [b"X-A: caf\xc3\xa9"],
    "an empty value": [b"X-B: "],
    "a value of 20,000 bytes": [b"X-A: " + b"a" * 20000],
    "whitespace within a value": [b"X-B: a  b"],
    "whitespace round a value": [b"X-B: \t 2 \t"],
    "a NUL": [b"X-A: a\x00b"],
    "a bare CR": [b"X-A: a\rb"],
    "a folded line": [b"X-A: 1", b" 2"],
    "a space before the colon": [b"X-A : 1"],
    "no name": [b": 1"],
    "an underscore where framing could be meant": [b"Content_Length: 5"],
    "two Cookie lines": [b"Cookie: a=1", b"Cookie: b=2; c=3"],
    "the caller's own Authorization": [b"Authorization: Basic bWluZQ=="],
    "forwarding fields": [
        *(b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Proto: https", b"Forwarded: for=10.0.0.1"),
    ],
    "tracing fields": [b"traceparent: " + TRACE, b"X-Request-ID: 1", b"baggage: a=1"],
    "others' Via": [b"Via: 1.0 fred, 1.1 p.example"],
    "100 fields": [b"X-%d: %d" % (number, number) for number in range(100)],
    "conditions": [
        *(b'If-None-Match: W/"a", "b"', b"If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT"),
    ],
    "a range": [b"Range: bytes=0-1,3-", b'If-Range: "a"'],
    "what is accepted": [b"Accept-Encoding: gzip;q=1.0, br", b"Accept: a/*", b"accept: b/c"],
    "several hosts": [b"Host: localhost"],
}
ALIKE = (
    {name: target(value) for name, value in TARGETS.items()}
    | {name: request(host=value) for name, value in HOSTS.items()}
    | {name: request(*lines) for name, lines in FIELDS.items()}
    | {
        "the absolute form beats the host": target(b"http://localhost/a", host=b"other.test"),
        "no host": b"GET /a HTTP/1.1\r\n\r\n",
        "a host that comes last": b"GET /a HTTP/1.1\r\nX-A: 1\r\nHost: localhost\r\n\r\n",
    }
)
DIFFERENT = [
    Case("dot segments", target(b"/a/../b"), {REFUSED: DOT_SEGMENTS}),
    Case("escaped dot segments", target(b"/a/%2e%2e/b"), {REFUSED: DOT_SEGMENTS}),
    Case("a single dot", target(b"/./a"), {REFUSED: DOT_SEGMENTS}),
    Case("a fragment", target(b"/a#frag"), {REFUSED: FRAGMENT}),
    Case("half an escape", target(b"/a%zz"), {"forwarded; nginx: 400, closed": DECODED}),
    Case("an escaped NUL", target(b"/a%00b"), {"forwarded; nginx: 400, closed": DECODED}),
    Case(
        "an asterisk",
        request(line=b"OPTIONS * HTTP/1.1"),
        {"forwarded; nginx: 400, closed": ASTERISK},
    ),
    Case(
        "an asterisk in the absolute form",
        request(line=b"OPTIONS http://localhost HTTP/1.1"),
        {"up + OPTIONS * HTTP/1.1": ASTERISK, "up - OPTIONS / HTTP/1.1": ASTERISK},
    ),
    Case(
        "the absolute form of another",
        target(b"http://other.test/a"),
        {"421, kept; nginx: forwarded": OTHER_HOST},
    ),
    Case(
        "another scheme",
        target(b"ftp://localhost/a"),
        {REFUSED: "SPEC 1: http is what is forwarded; nginx does not look at the scheme"},
    ),
    Case(
        "a foreign host", request(host=b"other.test"), {"421, kept; nginx: forwarded": OTHER_HOST}
    ),
    Case(
        "a host with a user",
        request(host=b"u@localhost"),
        {REFUSED: "B-06: an odd host is refused"},
    ),
    Case(
        "a host of two",
        request(host=b"localhost,a.test"),
        {REFUSED: "B-06: an odd host is refused"},
    ),
    Case(
        "a foreign origin",
        request(b"Origin: http://evil.test"),
        {"403, kept; nginx: forwarded": BROWSER},
    ),
    Case("no space behind a colon", request(b"X-A:1"), {"up + X-A:1": COLON, "up - X-A: 1": COLON}),
    Case("nothing behind a colon", request(b"X-A:"), {"up + X-A:": COLON, "up - X-A: ": COLON}),
    Case("a control character", request(b"X-A: a\x01b"), {REFUSED: CONTROLS}),
    Case("the character DEL", request(b"X-A: a\x7fb"), {REFUSED: CONTROLS}),
    Case("bare LF", b"GET /a HTTP/1.1\nHost: localhost\n\n", {REFUSED: LINE_END}),
    Case("a line without a colon", request(b"X-A"), {REFUSED: NO_FIELD}),
    Case("a name that is none", request(b"X(A): 1"), {REFUSED: NO_FIELD}),
    Case("a raw byte in a name", request(b"X-\xe9: 1"), {REFUSED: NO_FIELD}),
    Case("an underscore in a name", request(b"X_A: 1"), {"up + X_A: 1": NAME_DROPPED}),
    Case("a dot in a name", request(b"X.A: 1"), {"up + X.A: 1": NAME_DROPPED}),
    Case(
        "a name of all odd characters",
        request(b"!#$%&'*+.^`|~: 1"),
        {"up + !#$%&'*+.^`|~: 1": NAME_DROPPED},
    ),
    Case(
        "two Authorization lines",
        request(b"Authorization: a", b"authorization: b"),
        {"forwarded; nginx: 400, closed": TWICE},
    ),
    Case(
        "the caller's Proxy-Authorization",
        request(b"Proxy-Authorization: " + CREDENTIAL.encode()),
        {f"up - Proxy-Authorization: {CREDENTIAL}": PROXYS_OWN},
    ),
    Case(
        "a value of 70,000 bytes",
        request(b"X-A: " + b"a" * 70000),
        {"431, closed; nginx: 400, closed": HEAD_LIMIT},
    ),
    Case(
        "200 fields",
        request(*(b"X-%d: %d" % (number, number) for number in range(200))),
        {"431, closed; nginx: forwarded": FIELDS_LIMIT},
    ),
]
CASES = [Case(name, data) for name, data in ALIKE.items()] + DIFFERENT
