"""Files that change while the proxy runs: credentials, certificates, trust.

Mounted secrets are swapped by renaming a symlink of their directory, others are written in place,
some stand on file systems that send no notice: so each file is looked at once a second, through
whatever links lead to it. That costs a `stat`, three microseconds. What cannot be used (missing for
a moment, half-written, no pair) leaves what was read last in use, and is said once for each change.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.errors import ProxyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from proxy.telemetry.files import FileFacts

LOOK_SECONDS = 1.0

FileState = tuple[tuple[int, int, int, int] | None, ...]
"""Of each file: device, inode, time of the last change in nanoseconds, size; None: not there."""


def state_of(paths: Iterable[str]) -> FileState:
    """Return what tells whether files are still the same, without reading them."""
    return tuple(map(_state, paths))


def _state(path: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path has nothing to add here
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


@dataclass(slots=True)
class _Watched:
    name: str
    paths: tuple[str, ...]
    reload: Callable[[], Awaitable[bool]]
    state: FileState = field(default=())
    task: asyncio.Task[None] | None = None


class FileWatch:
    """Looks at files and has them read again. `add` what there is, `start`, then `close`."""

    def __init__(self, facts: FileFacts) -> None:
        self._facts = facts
        self._watched: list[_Watched] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, name: str, paths: Iterable[str], reload: Callable[[], Awaitable[bool]]) -> None:
        """Have `reload` called when one of the files of the configuration key `name` changes.

        It returns whether there is anything new in them, and raises `ProxyError` when they cannot
        be used.
        """
        watched = _Watched(name, tuple(paths), reload)
        if watched.paths:
            watched.state = state_of(watched.paths)
            self._watched.append(watched)

    def start(self) -> None:
        """Begin to look, if there is anything to look at."""
        if self._watched:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        for watched in self._watched:
            if watched.task is not None:
                watched.task.cancel()

    def _look(self) -> None:
        for watched in self._watched:
            if watched.task is not None:
                # Still being read: what changed meanwhile is seen the next time.
                continue
            state = state_of(watched.paths)
            if state != watched.state:
                watched.state = state
                watched.task = asyncio.create_task(self._reload(watched), name="file-changed")
        self.start()

    async def _reload(self, watched: _Watched) -> None:
        try:
            if await watched.reload():
                self._facts.read_again(watched.name)
            else:
                self._facts.usable(watched.name)
        except ProxyError as error:
            self._facts.unusable(watched.name, error.detail)
        finally:
            watched.task = None
