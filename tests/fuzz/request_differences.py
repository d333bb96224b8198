"""Where we and h11 part over a request, by kind: each with its reason, and how to see it."""

from __future__ import annotations

import re

STRICTER = (
    # What we refuse with these words, h11 may take; the second is found in what it took.
    (
        "control characters or line ends",
        rb"(?<!\r)\n|[\x01-\x08\x0b-\x1f\x7f]|\r(?!\n)",
    ),
    ("not HTTP/1.1", rb"(?<!\r)\n|[\x01-\x08\x0b-\x1f\x7f]|\r(?!\n)"),
    ("limits.head", rb".{4096}|(?:\r\n[^\r\n]*){33}"),
    ("Host field is malformed", rb"(?i)\nhost:"),
    ("method is malformed", rb"[^ ]{65}"),
    ("version is not spoken", rb"HTTP/(?!1\.[01])"),
    ("is not forwarded", rb"(?i)\A\s*(?:TRACE|CONNECT)|\n(?:TRACE|CONNECT)"),
    ("name is malformed", rb"\r\n[ \t]"),
    (
        "both there",
        rb"(?is)\ncontent-length:.*\ntransfer-encoding:|\ntransfer-encoding:.*\ncontent",
    ),
    ("the only transfer coding", rb"(?i)\ntransfer-encoding:"),
    ("knows no Transfer-Encoding", rb"HTTP/1\.0"),
    (
        "is not one number",
        rb"(?is)\ncontent-length:.*\ncontent-length:|\ncontent-length:[^\n]*,",
    ),
    ("the only expectation", rb"(?i)\nexpect:"),
    ("fragment", rb"#"),
    ("only OPTIONS", rb"\*"),
    ("dot segments", rb"(?i)\.|%2e"),
    ("target is malformed", rb"(?:\A|\n)[^ \r\n]+ [^/ ]"),
    ("authority is malformed", rb"://"),
    ("framing that is too long", rb".{1024}"),
    ("framing that does not end", rb"(?<!\r)\n|\r(?!\n)"),
    (
        "size is malformed",
        rb"\n[0-9A-Fa-f]+[ \t]|\n[0-9A-Fa-f]{17}|;[^\r\n]*[\x00-\x1f\x7f]",
    ),
    ("malformed trailer", rb"\r\n[ \t]|[\x01-\x1f\x7f]"),
    ("more trailers", rb"(?:\r\n[^\r\n]*){33}"),
    ("too many chunk extensions", rb"(?:;[^\r\n]*\r\n.*){16}"),
)
_MARKS = tuple((words, re.compile(mark, re.DOTALL)) for words, mark in STRICTER)


def is_known_refusal(detail: str, data: bytes) -> bool:
    """Say whether we are known to refuse, with this detail, what h11 takes."""
    return any(words in detail and mark.search(data) for words, mark in _MARKS)
