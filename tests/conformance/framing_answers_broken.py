r"""Upstreams' answers that no reading may make whole: the tables; see `test_framing_answers`."""

from __future__ import annotations

from typing import NamedTuple

from conformance.framing_answers import CHUNKED, END, OK, OLD, POISON, TWO, WHOLE


class Ambiguous(NamedTuple):
    """An answer that is a bad gateway's."""

    source: str
    said: bytes
    end: str = ""


class Cut(NamedTuple):
    """An answer that is not whole: a part may go on, if it never looks like the whole."""

    source: str
    said: bytes
    end: str = ""
    request: bytes = b"GET /case HTTP/1.1\r\nHost: localhost\r\n\r\n"


def ambiguous(source: str, *, cases: dict[str, bytes], end: str = "") -> dict[str, Ambiguous]:
    """Return cases that have their source in common."""
    return {name: Ambiguous(source, said, end) for name, said in cases.items()}


def cut(
    source: str, *, cases: dict[str, bytes], end: str = "", request: bytes = Cut("", b"").request
) -> dict[str, Cut]:
    """Return cases that have source, end and request in common."""
    return {name: Cut(source, said, end, request) for name, said in cases.items()}


def field(line: bytes, body: bytes = b"ok") -> bytes:
    """Return an answer with one field."""
    return OK + line + b"\r\n\r\n" + body


def line(start: bytes) -> bytes:
    """Return an answer with that status line."""
    return start + b"\r\n" + TWO + b"\r\nok"


LENGTHS = ambiguous(
    "RFC 9110 §8.6, RFC 9112 §6.3, B-42",
    cases={
        "two lengths": OK + TWO + b"Content-Length: 3\r\n\r\nok!",
        "the same length twice": OK + TWO + TWO + b"\r\nok",
        "a list of lengths": field(b"Content-Length: 2, 2"),
        "a plus": field(b"Content-Length: +2"),
        "a minus": field(b"Content-Length: -2"),
        "a hexadecimal length": field(b"Content-Length: 0x2"),
        "a space among digits": field(b"Content-Length: 2 2"),
        "letters behind a length": field(b"Content-Length: 2ok"),
        "a fraction": field(b"Content-Length: 2.0"),
        "an empty length": field(b"Content-Length:"),
        "a length beyond 64 bits": field(b"Content-Length: 18446744073709551618"),
        "a vertical tab before a length": field(b"Content-Length: \x0b2"),
        "a folded length": field(b"Content-Length:\r\n 2"),
        "two lengths of a 304": (
            b"HTTP/1.1 304 N\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"
        ),
    },
)

CODINGS = ambiguous(
    "RFC 9112 §6.1, §6.3, B-42",
    cases={
        "a length and a coding": OK + TWO + CHUNKED + b"\r\n" + WHOLE,
        "a coding and a length": OK + CHUNKED + TWO + b"\r\n" + WHOLE,
        "a coding and an odd length": OK + CHUNKED + b"Content-Length: x\r\n\r\n" + WHOLE,
        "gzip": field(b"Transfer-Encoding: gzip"),
        "gzip and chunked": field(b"Transfer-Encoding: gzip, chunked", WHOLE),
        "chunked and gzip": field(b"Transfer-Encoding: chunked, gzip", WHOLE),
        "chunked twice": field(b"Transfer-Encoding: chunked, chunked", WHOLE),
        "chunked on two lines": OK + CHUNKED + CHUNKED + b"\r\n" + WHOLE,
        "identity": field(b"Transfer-Encoding: identity"),
        "identity and a length": OK + b"Transfer-Encoding: identity\r\n" + TWO + b"\r\nok",
        "an empty coding": field(b"Transfer-Encoding:"),
        "an empty coding and a length": OK + b"Transfer-Encoding:\r\n" + TWO + b"\r\nok",
        "a longer word": field(b"Transfer-Encoding: xchunked", WHOLE),
        "a parameter": field(b"Transfer-Encoding: chunked;a=b", WHOLE),
        "a comma behind": field(b"Transfer-Encoding: chunked,", WHOLE),
        "double quotes": field(b'Transfer-Encoding: "chunked"', WHOLE),
        "a vertical tab before": field(b"Transfer-Encoding: \x0bchunked", WHOLE),
        "a space before the colon": field(b"Transfer-Encoding : chunked", WHOLE),
        "a coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n" + WHOLE,
    },
)

STATUS_LINES = ambiguous(
    "RFC 9112 §4, B-18, B-42",
    cases={
        "two digits": line(b"HTTP/1.1 20 OK"),
        "four digits": line(b"HTTP/1.1 2000 OK"),
        "letters for digits": line(b"HTTP/1.1 2OO OK"),
        "a sign": line(b"HTTP/1.1 +20 OK"),
        "no status": line(b"HTTP/1.1 OK"),
        "a status below 100": line(b"HTTP/1.1 099 X"),
        "nothing behind the version": line(b"HTTP/1.1"),
        "two spaces": line(b"HTTP/1.1  200 OK"),
        "a tab": line(b"HTTP/1.1\t200 OK"),
        "a space before": line(b" HTTP/1.1 200 OK"),
        "version 0.9": line(b"HTTP/0.9 200 OK"),
        "version 1.2": line(b"HTTP/1.2 200 OK"),
        "version 2": line(b"HTTP/2 200 OK"),
        "version 2.0": line(b"HTTP/2.0 200 OK"),
        "a lower-case protocol": line(b"http/1.1 200 OK"),
        "ICY": line(b"ICY 200 OK"),
        "RTSP": line(b"RTSP/1.0 200 OK"),
        "ICE": line(b"ICE/1.1 200 OK"),
        "RTSP behind 103": b"HTTP/1.1 103 E\r\n\r\n" + line(b"RTSP/1.1 200 OK"),
        "NUL in the reason": line(b"HTTP/1.1 200 O\x00K"),
        "a bare CR in the reason": line(b"HTTP/1.1 200 O\rK"),
        "a control byte in the reason": line(b"HTTP/1.1 200 O\x1bK"),
        "a page without head": b"<html><body>Hello</body></html>\r\n\r\n",
        "a request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "HTTP/2's first frame": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18),
        "101 unasked (B-16)": b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
        + POISON,
        "101 unasked behind 100 (B-16)": b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 101 S\r\n\r\n" + POISON,
    },
)

FIELDS = ambiguous(
    "RFC 9110 §5.5, RFC 9112 §2.2, §5, B-42",
    cases={
        "bare LFs throughout": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "a bare LF behind the status line": b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
        "a bare LF behind a field": OK + b"X-A: 1\n" + TWO + b"\r\nok",
        "a bare LF at the head's end": OK + TWO + b"\nok",
        "a bare CR in a value": OK + b"X-A: 1\rX-B: 2\r\n" + TWO + b"\r\nok",
        "two CRs behind a field": OK + b"X-A: 1\r\r\n" + TWO + b"\r\nok",
        "NUL in a value": OK + b"X-A: \x00\r\n" + TWO + b"\r\nok",
        "a control byte in a value": OK + b"X-A: \x01\r\n" + TWO + b"\r\nok",
        "delete in a value": OK + b"X-A: \x7f\r\n" + TWO + b"\r\nok",
        "NUL in a name": OK + b"X\x00A: 1\r\n" + TWO + b"\r\nok",
        "a space in a name": OK + b"X A: 1\r\n" + TWO + b"\r\nok",
        "a space before a colon": OK + b"X-A : 1\r\n" + TWO + b"\r\nok",
        "no colon": OK + b"X-A\r\n" + TWO + b"\r\nok",
        "no name": OK + b": 1\r\n" + TWO + b"\r\nok",
        "a space before the first field": OK + b" X-A: 1\r\n" + TWO + b"\r\nok",
        "a folded field": OK + b"X-A: 1\r\n 2\r\n" + TWO + b"\r\nok",
        "a control byte in 103": b"HTTP/1.1 103 E\r\nX-A: \x01\r\n\r\n" + OK + TWO + b"\r\nok",
        "a body behind 103": (
            b"HTTP/1.1 103 E\r\nContent-Length: 6\r\n\r\npoison" + OK + TWO + b"\r\nok"
        ),
    },
) | ambiguous(
    "SPEC §6, B-38",
    cases={
        "a value of 100 KiB": OK + b"X-A: " + b"1" * 102400 + b"\r\n" + TWO + b"\r\nok",
        "a reason of 100 KiB": b"HTTP/1.1 200 " + b"K" * 102400 + b"\r\n" + TWO + b"\r\nok",
        "100 KiB of fields": OK + (b"X-A: " + b"1" * 1017 + b"\r\n") * 100 + TWO + b"\r\nok",
        "129 fields": OK + b"X-A: 1\r\n" * 128 + TWO + b"\r\nok",
        "a storm of 103s": b"HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\n" * 4000,
    },
)

ENDS = ambiguous(
    "RFC 9112 §8, B-42, B-63",
    end="fin",
    cases={
        "nothing at all": b"",
        "a part of the status line": b"HTTP/1.1 20",
        "a part of the head": OK + b"Content-Le",
        "103 and nothing": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    },
) | ambiguous("B-63", end="reset", cases={"a reset": b"", "a reset in the head": OK + TWO})

AMBIGUOUS = LENGTHS | CODINGS | STATUS_LINES | FIELDS | ENDS

CUT = (
    cut(
        "RFC 9112 §8, B-63",
        end="fin",
        cases={
            "less than the length": OK + b"Content-Length: 9\r\n\r\nok",
            "nothing of the length": OK + TWO + b"\r\n",
            "no last chunk": OK + CHUNKED + b"\r\n2\r\nok\r\n",
            "a part of a chunk": OK + CHUNKED + b"\r\n9\r\nok",
            "a part of a chunk's size": OK + CHUNKED + b"\r\n2\r\nok\r\n1",
            "no end behind the last chunk": OK + CHUNKED + b"\r\n2\r\nok\r\n0\r\n",
            "a part of the trailers": OK + CHUNKED + b"\r\n2\r\nok\r\n0\r\nX-A: 1\r\n",
        },
    )
    | cut(
        "RFC 9112 §8, B-63",
        end="reset",
        cases={
            "a reset where the connection's end is the body's": OK + b"\r\nok",
            "a reset in a length": OK + b"Content-Length: 9\r\n\r\nok",
            "a reset among chunks": OK + CHUNKED + b"\r\n2\r\nok\r\n",
        },
    )
    | cut(
        "RFC 9112 §8, B-63",
        end="fin",
        request=OLD,
        cases={"no last chunk, for HTTP/1.0": OK + CHUNKED + b"\r\n2\r\nok\r\n"},
    )
    | cut(
        "RFC 9112 §7.1, B-42",
        cases={
            f"{name}, {place}": OK + CHUNKED + b"\r\n" + before + bad
            for place, before in {"at once": b"", "behind a chunk": b"2\r\nok\r\n"}.items()
            for name, bad in {
                "no size": b"\r\nok\r\n" + END,
                "no digit": b"g\r\nok\r\n" + END,
                "a prefix": b"0x2\r\nok\r\n" + END,
                "a plus": b"+2\r\nok\r\n" + END,
                "a minus": b"-2\r\nok\r\n" + END,
                "a space before": b" 2\r\nok\r\n" + END,
                "a space behind": b"2 \r\nok\r\n" + END,
                "seventeen digits": b"10000000000000002\r\nok\r\n" + END,
                "LF behind the size": b"2\nok\r\n" + END,
                "CR behind the size": b"2\rok\r\n" + END,
                "LF in an extension": b"2;a\nb\r\nok\r\n" + END,
                "CR in an extension": b"2;a\rb\r\nok\r\n" + END,
                "LF behind the data": b"2\r\nok\n" + END,
                "nothing behind the data": b"2\r\nok" + END,
                "more than the size says": b"2\r\nokay\r\n" + END,
                "two bytes behind the data": b"2\r\nokXX" + END,
                "LF behind the last chunk": b"0\n\r\n",
                "LF at the end": b"0\r\n\n",
                "a space in a trailer's name": b"0\r\nX A: 1\r\n\r\n",
                "NUL in a trailer": b"0\r\nX-A: \x00\r\n\r\n",
                "LF in a trailer": b"0\r\nX-A: 1\nX-B: 2\r\n\r\n",
                "a trailer without colon": b"0\r\nX-A\r\n\r\n",
                "512 KiB of extension": b"2;" + b"a" * 524288 + b"\r\nok\r\n" + END,
                "512 KiB of trailers": b"0\r\nX-A: " + b"1" * 524288 + b"\r\n\r\n",
                "129 trailers": b"0\r\n" + b"X-A: 1\r\n" * 129 + b"\r\n",
            }.items()
        },
    )
)
