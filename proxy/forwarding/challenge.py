"""Whether a 401 asks for another token (RFC 9110 §11.6.1, RFC 6750 §3). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.forwarding.head import Field

_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"')
_SCHEME = re.compile(rb"(?:^|,)[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?=[ \t]+[^= \t,]|[ \t]*(?:,|$))")
_INSUFFICIENT = re.compile(rb'error[ \t]*=[ \t]*"?insufficient_scope\b', re.IGNORECASE)


def asks_for_another_token(fields: Sequence[Field], credential: bytes) -> bool:
    """Say whether a 401's challenges leave hope that a newer token would do.

    True without any challenge, or with one of our credential's scheme or Bearer among them; a
    token that lacks scope will lack it when renewed.
    """
    challenges = [
        value for name, value in fields if name.lower() == b"www-authenticate" and value.strip()
    ]
    if not challenges:
        return True
    if any(_INSUFFICIENT.search(value) for value in challenges):
        return False
    ours = {b"bearer", credential.partition(b" ")[0].lower()}
    return any(
        scheme.lower() in ours
        for value in challenges
        for scheme in _SCHEME.findall(_QUOTED.sub(b'""', value))
    )
