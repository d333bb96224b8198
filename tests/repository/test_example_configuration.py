"""`config.example.yaml` is the schema written out: every key, with its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import yaml

from proxy.config.document import BROKEN
from proxy.config.json_schema import file_schema
from proxy.config.loader import load
from proxy.config.schema import Audience, Client, Config, Section, Upstream
from proxy.config.validation import twin_keys

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
NAMED: dict[str, type[Section]] = {"clients": Client, "audiences": Audience, "upstreams": Upstream}
COMMENTED_KEY = re.compile(r"^( *)# ([a-z_]+:( |$))", re.MULTILINE)
CHOSEN = {
    "clients.token_endpoint",
    "clients.client_id",
    "clients.client_secret",
    "audiences.client",
    "upstreams.url",
    "upstreams.audience",
}
"""Keys that have no default and that the example must choose something for."""


def sections(
    tree: Any,
    model: type[Section] = Config,
    path: str = "",
) -> list[tuple[str, Any, type[Section]]]:
    """Return each section of the example with its part of the model, the tops of maps apart."""
    found: list[tuple[str, Any, type[Section]]] = [(path, tree or {}, model)]
    for name, field in model.model_fields.items():
        value = (tree or {}).get(name, BROKEN)
        if name in NAMED and model is Config:
            [entry] = value.values()
            found += sections(entry, NAMED[name], f"{name}.")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found += sections(value, field.annotation, f"{path}{name}.")
    return found


def is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def test_it_loads_as_it_stands() -> None:
    config = load(EXAMPLE, {"BILLING_CLIENT_SECRET": "x"}).config
    assert list(config.upstreams) == ["orders"]


def test_it_is_what_the_json_schema_describes() -> None:
    jsonschema.Draft202012Validator(file_schema()).validate(yaml.safe_load(EXAMPLE.read_text()))


def test_it_has_every_key_of_the_schema_and_no_other() -> None:
    tree = yaml.safe_load(COMMENTED_KEY.sub(r"\1\2", EXAMPLE.read_text()))
    for path, section, model in sections(tree):
        assert set(section) == set(model.model_fields) | set(twin_keys(model)), path


def test_its_values_are_the_defaults_and_what_has_none_is_commented_out() -> None:
    for path, section, model in sections(yaml.safe_load(EXAMPLE.read_text())):
        for name, field in model.model_fields.items():
            if is_section(field) or f"{path}{name}" in CHOSEN or (name in NAMED and not path):
                continue
            default = field.get_default(call_default_factory=True)
            assert section.get(name) == default, f"{path}{name}"
            assert (name in section) is (default is not None), f"{path}{name}"
