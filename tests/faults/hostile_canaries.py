"""What must not be read anywhere, however it is spelt (R-21)."""

from __future__ import annotations

import base64
import html
import re
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, unquote, unquote_plus

from faults.hostile_answers import SECRET, TOKEN
from faults.hostile_bench import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Iterable

BEGINNING = 12
_PAIR = f"{quote_plus(CLIENT_ID)}:{quote_plus(SECRET)}"
_ENCODED = (base64.b64encode(each.encode()).decode() for each in (SECRET, TOKEN, _PAIR))
_WRAPPED = base64.b64encode(f'{{"access_token": "{TOKEN}'.encode()).decode()[:40]
CANARIES = (
    *(each[:BEGINNING].lower() for each in (SECRET, TOKEN, quote_plus(SECRET), *_ENCODED)),
    _WRAPPED.lower(),
)


def leaks(texts: Iterable[str]) -> list[str]:
    """Return those of `texts` in which a secret or a token can be read."""
    return [
        text
        for text in texts
        if any(canary in reading for canary in CANARIES for reading in readings(text))
    ]


def readings(text: str) -> set[str]:
    """Return `text` as somebody reads it who undoes how it was spelt."""
    text = text.lower()
    found = {text, html.unescape(text), unquote(text), unquote_plus(html.unescape(text))}
    found |= {unquote(each) for each in found}
    return found | {re.sub(r"[\s\\\x00]", "", each) for each in found}
