from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from proxy.config.json_schema import file_schema

if TYPE_CHECKING:
    from conftest import Inspector


def accepts(text: str) -> bool:
    validator = jsonschema.Draft202012Validator(file_schema())
    tree: Any = yaml.safe_load(text)
    return bool(validator.is_valid(tree))


def test_it_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(file_schema())


@pytest.mark.parametrize(
    "line",
    [
        "connections_max: ${N}",
        "keep_prefix: ${YES}",
        "on_unauthorized: ${WORD}",
        "tls:",
        "set_headers: {X-A: b}",
        "match: {path: /a}",
        "methods: null",
    ],
)
def test_it_accepts_what_the_loader_accepts(problems: Inspector, valid: str, line: str) -> None:
    text = valid + f"    {line}\n"
    assert problems(text, N="1", YES="true", WORD="pass") == []
    assert accepts(text)


@pytest.mark.parametrize(
    "line",
    [
        "connections_max: '10'",
        "connections_max: 0",
        "connection_idle_seconds: 0",
        "keep_prefix: 'yes'",
        "on_unauthorized: retry",
        "unknown: x",
        "match: {pth: /a}",
        "set_headers: {X-A: 1}",
    ],
)
def test_it_refuses_what_the_loader_refuses(problems: Inspector, valid: str, line: str) -> None:
    text = valid + f"    {line}\n"
    assert problems(text)
    assert not accepts(text)


def test_it_knows_twins_lists_and_names(valid: str) -> None:
    assert accepts(valid.replace("client_secret: ${SECRET}", "client_secret_file: x"))
    assert not accepts(valid.replace("client_id:", "client_secret_file: x\n    client_id:"))
    assert accepts("listen: [a, b]\n" + valid)
    assert accepts("listen: a\n" + valid)
    assert accepts(valid.replace("{client: billing}", "{client: billing, scope: [a, b]}"))
    assert not accepts(valid.replace("token_endpoint:", "client_secret_file:"))
    assert not accepts(valid.replace("upstreams:\n  orders:", "upstreams:\n  a b:"))
    assert not accepts("upstreams: {}\n")


def test_every_key_is_described() -> None:
    schema = file_schema()
    for definition in (schema, *schema["$defs"].values()):
        assert definition["additionalProperties"] is False
        for name, value in definition["properties"].items():
            assert value["description"].endswith("."), name
            assert "\n" not in value["description"], name
