r"""Chunked bodies that are broken: the table; `test_framing_requests` judges it.

Each is sent behind the head of a chunked POST. When it is seen to be broken the head may be
upstream already, and a part of the body with it; that must never look whole there.
"""

from __future__ import annotations

from typing import NamedTuple


class Broken(NamedTuple):
    """A chunked body that no reading may make whole."""

    source: str
    statuses: tuple[int, ...]
    body: bytes


def broken(source: str, *statuses: int, cases: dict[str, bytes]) -> dict[str, Broken]:
    """Return cases that have source and statuses in common."""
    return {name: Broken(source, statuses, body) for name, body in cases.items()}


END = b"0\r\n\r\n"

SIZES = broken(
    "RFC 9112 §7.1, B-35",
    400,
    cases={
        "no size": b"\r\nhello\r\n" + END,
        "an extension without size": b";a=b\r\nhello\r\n" + END,
        "a letter that is no digit": b"g\r\nhello\r\n" + END,
        "a letter behind the digit": b"5g\r\nhello\r\n" + END,
        "a prefix": b"0x5\r\nhello\r\n" + END,
        "a prefix in capitals": b"0X5\r\nhello\r\n" + END,
        "a suffix": b"5h\r\nhello\r\n" + END,
        "a plus": b"+5\r\nhello\r\n" + END,
        "a minus": b"-5\r\nhello\r\n" + END,
        "minus nothing": b"5\r\nhello\r\n-0\r\n\r\n",
        "a prefix and nothing": b"5\r\nhello\r\n0x0\r\n\r\n",
        "a fraction": b"5.0\r\nhello\r\n" + END,
        "an underscore": b"1_0\r\n0123456789abcdef\r\n" + END,
        "a comma": b"5,5\r\nhello\r\n" + END,
        "a space before": b" 5\r\nhello\r\n" + END,
        "a tab before": b"\t5\r\nhello\r\n" + END,
        "a space behind": b"5 \r\nhello\r\n" + END,
        "a tab behind": b"5\t\r\nhello\r\n" + END,
        "a space between digits": b"0 5\r\nhello\r\n" + END,
        "a vertical tab before": b"\x0b5\r\nhello\r\n" + END,
        "NUL behind": b"5\x00\r\nhello\r\n" + END,
        "a digit of another script": b"\xd9\xa5\r\nhello\r\n" + END,
        "seventeen digits": b"fffffffffffffffff\r\nhello\r\n" + END,
        "a size beyond 64 bits": b"10000000000000005\r\nhello\r\n" + END,
    },
)

LINE_ENDS = broken(
    "RFC 9112 §2.2, §7.1, B-35",
    400,
    cases={
        "LF behind the size": b"5\nhello\r\n" + END,
        "CR behind the size": b"5\rhello\r\n" + END,
        "two CRs behind the size": b"5\r\r\nhello\r\n" + END,
        "LF and CR behind the size": b"5\n\rhello\r\n" + END,
        "LF behind the data": b"5\r\nhello\n" + END,
        "CR behind the data": b"5\r\nhello\r" + END,
        "nothing behind the data": b"5\r\nhello" + END,
        "two LFs behind the data": b"5\r\nhello\n\n" + END,
        "two CRs behind the data": b"5\r\nhello\r\r" + END,
        "LF and CR behind the data": b"5\r\nhello\n\r" + END,
        "more data than the size says": b"5\r\nhello world\r\n" + END,
        "one byte more than the size says": b"5\r\nhello!\r\n" + END,
        "less data than the size says": b"7\r\nhello\r\n" + END,
        "LF behind the last chunk": b"5\r\nhello\r\n0\n\r\n",
        "LF at the end": b"5\r\nhello\r\n0\r\n\n",
        "LFs throughout": b"5\nhello\n0\n\n",
        "CR and a byte at the end": b"5\r\nhello\r\n0\r\n\rX",
        "a request where the end should be": b"5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    },
)

FUNKY = broken(
    "RFC 9112 §7.1.1, B-35",
    400,
    cases={
        # What ends the line for one parser belongs to the extension for another.
        "TERM.EXT, LF": b"5;\nhello\r\n" + END,
        "TERM.EXT, LF behind a name": b"5;a\nhello\r\n" + END,
        "TERM.EXT, CR": b"5;a\rhello\r\n" + END,
        "EXT.TERM, LF": b"5;\nxx\r\nhello\r\n" + END,
        "EXT.TERM, LF behind a name": b"5;a\nb\r\nhello\r\n" + END,
        "EXT.TERM, CR": b"5;a\rb\r\nhello\r\n" + END,
        "EXT.TERM, CR and CRLF": b"5;a\r\r\nhello\r\n" + END,
        "EXT.TERM on the last chunk": b"5\r\nhello\r\n0;\n\r\n\r\n",
        # What follows the data is skipped unseen by one, and read by another.
        "TERM.SPILL, LF": b"5\r\nhello\n4f\r\n" + END,
        "TERM.SPILL, CR": b"5\r\nhello\r4f\r\n" + END,
        "SPILL.TERM, two bytes": b"5\r\nhelloXX" + END,
        "SPILL.TERM, a byte and LF": b"5\r\nhelloX\n" + END,
        "SPILL.TERM, up to the next line": b"5\r\nhelloXX\r\n" + END,
        "ONE.TWO, LF": b"5\r\nhello\n0\r\n\r\n",
        "ONE.TWO, LF and a chunk": b"5\r\nhello\n2\r\n0\r\n\r\n" + END,
        "TWO.ONE": b"6\r\nhello\r\n0\r\n\r\n",
        "NUL in the extension": b"5;a\x00b\r\nhello\r\n" + END,
        "a control byte in the extension": b"5;a\x01b\r\nhello\r\n" + END,
        "a line break in quotes": b'5;a="\r\nhello\r\n"\r\nhello\r\n' + END,
    },
) | broken(
    "RFC 9112 §7.1.1, B-35, B-38",
    400,
    413,
    431,
    cases={
        "an extension of 100 KiB": b"5;" + b"a" * 102400 + b"\r\nhello\r\n" + END,
        "an extension's value of 100 KiB": b"5;a=" + b"b" * 102400 + b"\r\nhello\r\n" + END,
        "an extension of 100 KiB on the last chunk": b"0;" + b"a" * 102400 + b"\r\n\r\n",
    },
)

TRAILERS = broken(
    "RFC 9112 §5, §7.1.2, B-17, B-34",
    400,
    cases={
        "a folded trailer": b"5\r\nhello\r\n0\r\nX-A: 1\r\n 2\r\n\r\n",
        "a folded first trailer": b"5\r\nhello\r\n0\r\n X-A: 1\r\n\r\n",
        "a space before a trailer's colon": b"5\r\nhello\r\n0\r\nX-A : 1\r\n\r\n",
        "a space in a trailer's name": b"5\r\nhello\r\n0\r\nX A: 1\r\n\r\n",
        "a trailer without colon": b"5\r\nhello\r\n0\r\nX-A\r\n\r\n",
        "a trailer without name": b"5\r\nhello\r\n0\r\n: 1\r\n\r\n",
        "LF behind a trailer": b"5\r\nhello\r\n0\r\nX-A: 1\n\r\n",
        "LF in a trailer": b"5\r\nhello\r\n0\r\nX-A: 1\nX-B: 2\r\n\r\n",
        "CR in a trailer": b"5\r\nhello\r\n0\r\nX-A: 1\rX-B: 2\r\n\r\n",
        "NUL in a trailer": b"5\r\nhello\r\n0\r\nX-A: \x00\r\n\r\n",
        "a control byte in a trailer": b"5\r\nhello\r\n0\r\nX-A: \x01\r\n\r\n",
        "LF behind the trailers": b"5\r\nhello\r\n0\r\nX-A: 1\r\n\n",
    },
) | broken(
    "RFC 9112 §7.1.2, B-38",
    400,
    413,
    431,
    cases={
        "a trailer of 100 KiB": b"0\r\nX-A: " + b"1" * 102400 + b"\r\n\r\n",
        "a trailer's name of 100 KiB": b"0\r\n" + b"X" * 102400 + b": 1\r\n\r\n",
        "129 trailers": b"0\r\n" + b"X-A: 1\r\n" * 129 + b"\r\n",
        "100 KiB of trailers": b"0\r\n" + (b"X-A: " + b"1" * 1017 + b"\r\n") * 100 + b"\r\n",
    },
)

BODIES = SIZES | LINE_ENDS | FUNKY | TRAILERS
