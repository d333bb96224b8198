"""How a secret may be spelt, so that a search for it finds it however it comes out.

What is looked for are its first characters: who prints a secret cut short prints those.
"""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

BEGINNING = 12


def spellings(secret: str) -> set[str]:
    """Return what gives away that `secret` is there."""
    beginning = secret[:BEGINNING]
    assert len(beginning) == BEGINNING, "a canary that short is found by chance"
    raw = beginning.encode()
    return {
        beginning,
        quote(beginning, safe=""),
        quote_plus(beginning),
        html.escape(beginning),
        json.dumps(beginning)[1:-1],
        repr(beginning)[1:-1],
        raw.hex(),
        *_encoded(raw, base64.b64encode),
        *_encoded(raw, base64.urlsafe_b64encode),
    }


def _encoded(raw: bytes, encode: type[bytes] | object) -> Iterable[str]:
    """Return base64 at all three alignments, without the characters that others have a part in."""
    assert callable(encode)
    for before in range(3):
        text = encode(b"\0" * before + raw).decode().rstrip("=")
        first = (8 * before + 5) // 6
        last = 8 * (before + len(raw)) // 6
        yield text[first:last]


def segments(token: str) -> tuple[str, ...]:
    """Return the parts of a JWT that are worth a search, or what is no JWT as it is."""
    parts = token.split(".")
    return tuple(parts[1:]) if len(parts) == 3 else (token,)


def found(text: bytes, canaries: Iterable[str]) -> list[str]:
    """Return those of `canaries` that can be read in `text`, in upper or lower case."""
    haystack = text.decode("utf-8", "backslashreplace").lower()
    return [
        canary
        for canary in canaries
        if any(spelling.lower() in haystack for spelling in spellings(canary))
    ]
