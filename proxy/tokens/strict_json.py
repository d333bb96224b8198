"""JSON as a server must write it: UTF-8, no member twice, no NaN (RFC 8259). Pure."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def read(body: bytes) -> Any:
    """Return the value that `body` is. Raises `ValueError` for whatever is no strict JSON."""
    try:
        return json.loads(
            body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_duplicates
        )
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a member is there twice")
    return result
