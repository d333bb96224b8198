"""The order in which tests begin: long ones first, so that no process has one left at the end."""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put some of the slow ones before each process's part: it begins with an equal part of all."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = [item for item in items if item.get_closest_marker("slow")]
    others = [item for item in items if not item.get_closest_marker("slow")]
    size = -(-len(others) // processes)

    def parts() -> Iterator[list[pytest.Item]]:
        for number in range(processes):
            yield slow[number::processes]
            yield others[number * size : (number + 1) * size]

    items[:] = chain.from_iterable(parts())
