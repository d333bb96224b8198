"""The order in which tests of tables run: what shares an observation stands together.

The rows of a group are played to one proxy, once in each process that tests run in. These take
their tests from the whole row by the piece, so a group in one piece is mostly played once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    firsts: dict[object, int] = {}
    places: dict[pytest.Item, int] = {}
    for place, item in enumerate(items):
        called_with = getattr(item, "callspec", None)
        group = called_with and called_with.params.get("group")
        places[item] = firsts.setdefault((item.path, group), place) if group else place
    items.sort(key=places.__getitem__)
