"""Odd values at every key of the example: a configuration or problems, never an exception."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from proxy.config.document import BROKEN, Document, KeyPath, dotted
from proxy.config.loader import load_document
from proxy.config.problem import ConfigurationError
from proxy.config.substitution import Substituted

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = (Path(__file__).parents[3] / "config.example.yaml").read_text(encoding="utf-8")
EVERY_KEY = yaml.safe_load(re.sub(r"^( *)# ([a-z_]+:( |$))", r"\1\2", EXAMPLE, flags=re.MULTILINE))
DEFAULTS = yaml.safe_load(EXAMPLE)
ODD: list[Any] = [
    [], ["none"], [1], [[]], [{}], [None], {}, {"a": 1}, {"a": {"b": []}}, {"none": ["x"]},
    None, True, False, 0, -1, 7, 1.5, float("nan"), float("inf"), 10**30,
    "", "none", "/", "x" * 10_000, "\0", "\n", "ü", "http://[", "unix:", "[::",
    Substituted.of("", literal=False), Substituted.of("x", literal=True), BROKEN,
]  # fmt: skip


def paths(tree: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    yield path
    if isinstance(tree, dict | list):
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from paths(item, (*path, key))


def put(tree: Any, path: KeyPath, value: Any) -> Any:
    if not path:
        return value
    changed = copy.copy(tree)
    changed[path[0]] = put(tree[path[0]], path[1:], value)
    return changed


def problems_with(tree: Any, path: KeyPath, odd: Any, directory: Path) -> str:
    document = Document("f.yaml", values=put(copy.deepcopy(tree), path, odd))
    if odd is BROKEN:
        document.break_value(path, "is broken")
    try:
        load_document(document, directory)
    except ConfigurationError as error:
        return str(error)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("tree", [EVERY_KEY, DEFAULTS], ids=["every-key", "defaults"])
def test_an_odd_value_anywhere_is_at_most_a_problem(tree: Any, part: int, tmp_path: Path) -> None:
    for path in paths(tree):
        for odd in ODD[part::4]:
            try:
                found = problems_with(tree, path, odd, tmp_path)
            except Exception as error:
                error.add_note(f"{dotted(path)}: {str(odd)[:40]}")
                raise
            assert "x" * 65 not in found


ALWAYS_WRONG = {
    "clients.billing.authentication": [["none"], {"none": 1}, [], {}, 1, True],
    "upstreams.orders.audience": [["none"], {"none": 1}, 1],
    "audiences.orders.client": [["billing"], {"billing": 1}, None],
    "listen": [{"a": 1}, [["127.0.0.1:1"]], None, True],
}


@pytest.mark.parametrize("name", ALWAYS_WRONG)
def test_what_no_value_can_be_read_from_is_told_beside_all_other_problems(
    name: str, tmp_path: Path
) -> None:
    for odd in ALWAYS_WRONG[name]:
        tree = put(put(DEFAULTS, tuple(name.split(".")), odd), ("startup",), 3)
        document = Document("f.yaml", values=copy.deepcopy(tree))
        with pytest.raises(ConfigurationError) as caught:
            load_document(document, tmp_path)
        told = {problem.path.partition("[")[0] for problem in caught.value.problems}
        assert {name, "startup"} <= told
