"""What tells whether files are still the same, without reading them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FileState = tuple[tuple[int, ...] | None, ...]
"""Of each file: device, inode, when it changed last (both ways), size; None: it is not there."""


def state_of(paths: Iterable[str]) -> FileState:
    """Return the state of files, each through whatever links lead to it."""
    return tuple(map(_state, paths))


def _state(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path has nothing to add here
    except OSError:
        return None
    # Both times: what is set by hand leaves the one as it was, a change of rights the other.
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
