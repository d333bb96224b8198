"""Files that change while the proxy runs: credentials, certificates, trust.

Mounted secrets are swapped by renaming a symlink of their directory, others are written in place,
some in two steps: so each file is looked at once a second, through whatever links lead to it. That
costs a `stat`, three microseconds on a local file system, which they belong on: a `stat` that hangs
would hold up the event loop. What cannot be used (missing for a moment, half-written, no pair, not
readable yet) leaves what was read last in use, is said, and is tried again until it can be.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.config.file_state import FileState, state_of
from proxy.errors import ProxyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from proxy.telemetry.files import FileFacts

LOOK_SECONDS = 1.0
RETRY_LOOKS = 10
"""Of so many looks at a file that could not be used, one reads it again though it looks the same:
what was wrong (no descriptor left, a directory's permissions) need not have been the file's."""


@dataclass(slots=True)
class _Watched:
    name: str
    paths: tuple[str, ...]
    reload: Callable[[], Awaitable[object]]
    state: FileState
    looks_since_failure: int | None = None
    task: asyncio.Task[None] | None = None


class FileWatch:
    """Looks at files and has them read again. `add` what there is, `start`, then `close`."""

    def __init__(self, facts: FileFacts) -> None:
        self._facts = facts
        self._watched: list[_Watched] = []
        self._timer: asyncio.TimerHandle | None = None
        self._started = False

    def add(
        self,
        name: str,
        paths: Iterable[str],
        reload: Callable[[], Awaitable[object]],
        *,
        state: FileState = (),
    ) -> None:
        """Have `reload` called when one of the files of the configuration key `name` may differ.

        It sees for itself whether they do, and raises `ProxyError` when they cannot be used.
        `state` is that from before they were read; unknown, it is called at the first look:
        between the two a file may change, too.
        """
        watched = _Watched(name, tuple(paths), reload, state)
        if watched.paths:
            self._watched.append(watched)
            if self._started:
                self._arm()

    def remove(self, name: str) -> None:
        """Look no more at the files of `name`, if it has any; a reading under way goes on."""
        self._watched = [each for each in self._watched if each.name != name]

    def start(self) -> None:
        """Begin to look, once there is anything to look at."""
        self._started = True
        self._arm()

    def close(self) -> None:
        """Look no more."""
        self._started = False
        if self._timer is not None:
            self._timer.cancel()
        for watched in self._watched:
            if watched.task is not None:
                watched.task.cancel()

    def _arm(self) -> None:
        if self._watched and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        for watched in self._watched:
            # One that is still being read is looked at the next time.
            if watched.task is None and self._may_differ(watched):
                watched.task = asyncio.create_task(self._reload(watched), name="file-changed")
        self._arm()

    def _may_differ(self, watched: _Watched) -> bool:
        state = state_of(watched.paths)
        if state != watched.state:
            watched.state = state
            return True
        if watched.looks_since_failure is None:
            return False
        watched.looks_since_failure += 1
        return watched.looks_since_failure % RETRY_LOOKS == 0

    async def _reload(self, watched: _Watched) -> None:
        try:
            await watched.reload()
        except ProxyError as error:
            self._unusable(watched, error.detail)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the looking
            # Its name alone: the text of a foreign exception may hold a secret.
            self._unusable(watched, f"it met a fault of this proxy ({type(error).__name__})")
        else:
            watched.looks_since_failure = None
            self._facts.usable(watched.name)
        finally:
            watched.task = None

    def _unusable(self, watched: _Watched, detail: str) -> None:
        if not watched.looks_since_failure:
            # Not for each time that it is tried again unchanged.
            self._facts.unusable(watched.name, detail)
        watched.looks_since_failure = watched.looks_since_failure or 0
