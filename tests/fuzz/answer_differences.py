"""Where we and h11 part over an answer, by kind: each with its reason, and how to see it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """`ours` and `theirs` are the verdicts, `mark` is found in the bytes that part us."""

    ours: str
    theirs: str
    reason: str
    mark: re.Pattern[bytes]


def _stricter(reason: str, mark: bytes) -> Difference:
    return Difference("refused", "complete", reason, re.compile(mark, re.IGNORECASE | re.DOTALL))


DIFFERENCES = (
    _stricter("a line ends with CR LF; h11 takes others", rb"(?<!\r)\n|\r(?!\n)"),
    _stricter("1.0 and 1.1 are the versions; h11 takes any digits", rb"HTTP/(?!1\.[01])"),
    _stricter("folded lines are refused; h11 unfolds them", rb"\r\n[ \t]"),
    _stricter(
        "a length and chunks are ambiguous; h11 goes by the chunks",
        rb"\ncontent-length:.*\ntransfer-encoding:|\ntransfer-encoding:.*\ncontent-length:",
    ),
    _stricter(
        "several lengths are ambiguous; h11 takes them where they are alike",
        rb"\ncontent-length:.*\ncontent-length:|\ncontent-length:[^\r\n]*,",
    ),
    _stricter(
        "no control characters; h11 takes nearly all",
        rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]",
    ),
    _stricter("nothing is around a chunk size; h11 takes white space", rb"\r\n[0-9a-f]+[ \t]"),
    _stricter("HTTP/1.0 has no chunks; h11 takes them", rb"HTTP/1\.0.*\ntransfer-encoding:"),
    _stricter("there are at most so many fields", rb"(?:\r\n[^:\r\n]+:[^\r\n]*){33}"),
    _stricter("a head and its trailers are at most so long", rb".{4096}"),
    Difference(
        "complete",
        "refused",
        "framing among the trailers is dropped (RFC 9110 §6.5.1); h11 refuses it",
        re.compile(rb"\n0.*\n(?:transfer-encoding|content-length):", re.IGNORECASE | re.DOTALL),
    ),
)


def known_difference(data: bytes, ours: str, theirs: str) -> Difference | None:
    """Return what is known to part us from h11 in this, if anything is."""
    for each in DIFFERENCES:
        if (each.ours, each.theirs) == (ours, theirs) and each.mark.search(data):
            return each
    return None
