"""Tree → `Config`, and pydantic's findings in our own words, at their places.

pydantic's messages are not used as they are: they speak of Python types, and some hold the input.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from proxy.config.client import Client
from proxy.config.document import BROKEN, Document, KeyPath
from proxy.config.schema import Audience, Config, Upstream
from proxy.config.secrets import SecretSource
from proxy.config.section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

NAMED: Mapping[str, type[Section]] = {
    "clients": Client,
    "audiences": Audience,
    "upstreams": Upstream,
}
"""The sections whose entries have names of the writer's choice."""

NOT_YET = frozenset({"grant"})
"""Keys and values that are planned, and refused until they do something."""


def validate(document: Document) -> Config | None:
    """Return the configuration, or None when its structure is wrong; the document then says how."""
    try:
        return Config.model_validate(document.values)
    except ValidationError as error:
        # Neither input nor context may be printed; only what _report picks from them is.
        for details in error.errors(include_url=False):
            _report(document, details)
        return None


def twin_keys(section: type[BaseModel]) -> dict[str, str]:
    """Return the `X_file` keys of a section, each with its `X`."""
    return {
        f"{name}_file": name
        for name, field in section.model_fields.items()
        if _holds_secret(field.annotation) and not name.endswith("_file")
    }


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretSource or any(map(_holds_secret, get_args(annotation)))


def _report(document: Document, details: ErrorDetails) -> None:
    kind, loc, context = details["type"], details["loc"], details.get("ctx", {})
    if kind == "missing":
        document.wrong_key(loc, "is required")
        return
    path, value = _existing(document.values, loc)
    if kind == "extra_forbidden":
        _unknown_key(document, path)
        return
    text = str(context["error"]) if kind == "value_error" else _sentence(kind, context, value)
    if loc[-1:] == ("[key]",):
        document.wrong_key(path, text)
        return
    near = None
    if kind == "literal_error" and isinstance(value, str):
        choices = _choices(context)
        if value in NOT_YET:
            text = f"is not supported by this version; {text}"
        else:
            near = _near(value, choices)
    document.wrong_value(path, text, near)


def _existing(tree: Any, loc: tuple[str | int, ...]) -> tuple[KeyPath, Any]:
    """Return the longest part of `loc` that is in the tree; the rest names pydantic's own parts."""
    path: KeyPath = ()
    for part in loc:
        is_there = (isinstance(tree, dict) and part in tree) or (
            isinstance(tree, list) and isinstance(part, int) and part < len(tree)
        )
        if not is_there:
            break
        tree = tree[part]
        path = (*path, part)
    return path, tree


def _unknown_key(document: Document, path: KeyPath) -> None:
    key = str(path[-1])
    section = section_at(path[:-1])
    if key in NOT_YET:
        document.wrong_key(path, "is not supported by this version")
        return
    known = [*section.model_fields, *twin_keys(section)] if section else []
    document.wrong_key(path, "is not a known key", _near(key, known))


def section_at(path: KeyPath) -> type[Section] | None:
    """Return the part of the model that describes the mapping at `path`."""
    section: type[Section] = Config
    parts = list(path)
    while parts:
        part = str(parts.pop(0))
        if section is Config and part in NAMED:
            if not parts:
                return None
            parts.pop(0)
            section = NAMED[part]
            continue
        field = section.model_fields.get(part)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, Section)):
            return None
        section = inner
    return section


def _near(word: str, known: list[str]) -> str | None:
    near = difflib.get_close_matches(word, known, n=1)
    return near[0] if near else None


def _choices(context: Mapping[str, Any]) -> list[str]:
    return re.findall(r"'([^']*)'", str(context.get("expected", "")))


def _sentence(kind: str, context: Mapping[str, Any], value: Any) -> str:
    match kind:
        case "string_type":
            if isinstance(value, bool | int | float):
                return f"should be text, not {_described(value)}; put it in quotes"
            return f"should be text, not {_described(value)}"
        case "literal_error":
            return "should be one of: " + ", ".join(_choices(context))
        case "list_type":
            return f"should be a list, not {_described(value)}"
        case "dict_type" | "model_type":
            return f"should be a section of keys and values, not {_described(value)}"
        case "greater_than":
            return f"should be greater than {context['gt']}"
        case "greater_than_equal":
            return f"should be at least {context['ge']}"
        case "less_than":
            return f"should be less than {context['lt']}"
        case "less_than_equal":
            return f"should be at most {context['le']:.0f}"
        case "int_from_float":
            return "should be a whole number"
        case "int_type" | "float_type":
            return f"should be a number, not {_described(value)}"
        case "finite_number":
            return "should be a finite number"
        case "too_short":
            return "should not be empty"
        case _:
            return f"is not what is wanted here ({kind})"


def _described(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "a section"
        case _ if value is BROKEN:
            return "a broken value"
        case _:
            return "something else"
