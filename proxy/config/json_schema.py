"""JSON Schema of the configuration file as it is written, which is more than the model accepts.

Before the model is built, variables are replaced, `X_file` twins become secrets, and a heading
without content counts as empty; so the schema lets a `${NAME}` stand for a number, a switch or a
word, has the twins as keys, and allows null for a section.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.config import fields, schema
from proxy.config.schema import Config
from proxy.config.validation import twin_keys

if TYPE_CHECKING:
    from pydantic import BaseModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE = {"type": "string", "pattern": r"\$\{"}
_ANNOTATIONS = ("description", "default")


def file_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) as plain values."""
    model = Config.model_json_schema()
    definitions: dict[str, Any] = model.pop("$defs")
    for name, definition in definitions.items():
        _as_written(definition, getattr(schema, name))
    _as_written(model, Config)
    definitions["Client"]["oneOf"] = [
        _given("token_endpoint"),
        {"anyOf": [_given("issuer"), _given("discovery")]},
    ]
    model["properties"]["upstreams"]["minProperties"] = 1
    title = "Token Proxy configuration"
    return {"$schema": DIALECT, "title": title, **_without_titles(model), "$defs": definitions}


def _as_written(definition: dict[str, Any], section: type[BaseModel]) -> None:
    properties: dict[str, Any] = definition["properties"]
    written: dict[str, Any] = {}
    both: list[dict[str, Any]] = []
    twins = {name: twin for twin, name in twin_keys(section).items()}
    for name, value in properties.items():
        field = section.model_fields[name]
        value["description"] = _one_line(field.description or "")
        value.pop("title", None)
        value.pop("default", None)
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if default is not None and "$ref" not in value:
            value["default"] = default
        written[name] = _relaxed(value)
        if name in twins:
            text = f"A file that holds `{name}`; one trailing newline is not part of it."
            written[twins[name]] = {
                "anyOf": [{"type": "string"}, {"type": "null"}],
                "description": text,
            }
            both.append(_given(name, twins[name]))
    if both:
        definition["not"] = {"anyOf": both}
    definition["properties"] = written
    definition["description"] = _one_line(definition.get("description", ""))
    definition.pop("title", None)


def _given(*keys: str) -> dict[str, Any]:
    """Return the schema of a section in which these keys are there, and not null."""
    values = {key: {"type": "string"} for key in keys}
    return {"required": list(keys), "properties": values}


def _relaxed(value: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one key with what a file may hold besides."""
    if "$ref" in value:
        return {**_notes(value), "anyOf": [{"$ref": value["$ref"]}, {"type": "null"}]}
    if value.get("type") == "object":
        return _map(value)
    options: list[dict[str, Any]] = value.get("anyOf") or [
        {key: part for key, part in value.items() if key not in _ANNOTATIONS}
    ]
    if any("enum" in one or one.get("type") in {"number", "integer", "boolean"} for one in options):
        options = [*options, _VARIABLE]
    if len(options) == 1:
        return {**_notes(value), **options[0]}
    return {**_notes(value), "anyOf": options}


def _map(value: dict[str, Any]) -> dict[str, Any]:
    patterns: dict[str, Any] = value.pop("patternProperties", {})
    for item in patterns.values():
        value["additionalProperties"] = item
        value["propertyNames"] = {"pattern": fields.NAME_PATTERN}
    return {**value, "type": ["object", "null"]}


def _notes(value: dict[str, Any]) -> dict[str, Any]:
    return {key: value[key] for key in _ANNOTATIONS if key in value}


def _without_titles(model: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key != "title"}


def _one_line(text: str) -> str:
    return " ".join(text.split())
