"""`${NAME}`, `${NAME:-default}` and `$$` in one parsed string.

Rules: replaced once, from left to right, and what was put in is never looked at again; a `$`
before anything else is itself; nesting is refused. The default serves when the variable is unset
or empty.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN = re.compile(r"\$(?:\$|\{(?P<inside>[^}]*)(?P<end>\}?))")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?", re.DOTALL)


class Substituted(str):
    """Text that came, at least in part, from a variable.

    `literal` is True when a default that stands in the file took part in it. Only such text may
    become a number or a boolean where the key wants one.
    """

    __slots__ = ("literal",)
    literal: bool

    @classmethod
    def of(cls, text: str, *, literal: bool) -> Self:
        """Return `text`, marked."""
        marked = cls(text)
        marked.literal = literal
        return marked


class SubstitutionError(Exception):
    """A `${` that cannot be replaced; `str()` is the message, free of values."""

    def __init__(self, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.suggestion = suggestion


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` with its variables replaced: a `Substituted` if there was one, else a `str`.

    Raises `SubstitutionError` for an unset variable without default, and for a malformed `${`.
    """
    if "$" not in text:
        return text
    parts: list[str] = []
    position = 0
    substituted = literal = contributed = False
    for token in _TOKEN.finditer(text):
        parts.append(text[position : token.start()])
        position = token.end()
        if token["inside"] is None:
            parts.append("$")
            continue
        value, from_default = _replaced(token, environ)
        substituted = True
        literal = literal or from_default
        contributed = contributed or bool(value)
        parts.append(value)
    parts.append(text[position:])
    result = "".join(parts)
    if not substituted:
        return result
    # Variables that are all empty leave what stands in the file itself.
    return Substituted.of(result, literal=literal or (not contributed and bool(result)))


def _replaced(token: re.Match[str], environ: Mapping[str, str]) -> tuple[str, bool]:
    """Return what stands for one `${…}`, and whether that is a default out of the file."""
    inside = _INSIDE.fullmatch(token["inside"])
    if not token["end"] or inside is None:
        raise SubstitutionError(
            "has a malformed ${: write ${NAME} or ${NAME:-default}, and $$ for a dollar sign"
        )
    name, default = inside["name"], inside["default"]
    if default is not None and "${" in default:
        raise SubstitutionError("has a ${ within a ${: a default cannot hold another variable")
    value = environ.get(name)
    if default is not None and not value:
        text = default.removeprefix(":-").replace("$$", "$")
        return text, bool(text)
    if value is None:
        near = difflib.get_close_matches(name, environ, n=1, cutoff=0.8)
        raise SubstitutionError(
            f"the environment variable {name} is not set", near[0] if near else None
        )
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise SubstitutionError(f"the environment variable {name} is not UTF-8") from None
    return value, False
