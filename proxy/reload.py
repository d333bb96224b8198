"""Reads the configuration again: when SIGHUP asks for it, and when its file changes.

Reading is done on a thread, by the very code that a start uses. One reading goes on at a time; who
asks meanwhile gets one more. What cannot be used changes nothing, and is tried again now and then:
a file that it names may come. A file that changes while it is read is read again: whoever writes it
may not be through.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.config.file_state import state_of
from proxy.config.problem import ConfigurationError
from proxy.errors import ProxyError
from proxy.listeners import AddressUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.config.loader import Loaded
    from proxy.config.schema import Config
    from proxy.telemetry.facts import Telemetry

PROBLEMS_TOLD_MAX = 3
RETRY_SECONDS = 10.0
TRIES_MAX = 3
"""So often a file is read anew when it changes while it is read."""
_BY_NAME = ("clients", "audiences", "upstreams")


class Reload:
    """See the module's docstring. `apply` puts a configuration to use, whole or not at all.

    It raises `ProxyError` or `AddressUnavailable` where that is not possible.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        apply: Callable[[Config], Awaitable[None]],
        telemetry: Telemetry,
        config: Config,
    ) -> None:
        self._load = load
        self._apply = apply
        self._facts = telemetry.configuration
        self._log = telemetry.log
        self._config = config
        self._started = self._due = self._asked = False
        self._running: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; what was asked for before is done now."""
        self._started = True
        if self._due:
            self._run_once_more()

    def ask(self) -> None:
        """Read the configuration again soon, and say so whatever it holds."""
        self._asked = True
        self._run_once_more()

    async def look(self) -> None:
        """Read the configuration again, and say so if that is news."""
        self._run_once_more()
        if self._running is not None:
            await asyncio.wait({self._running})

    def stop(self) -> None:
        """Read no more; trouble with what is being put to use is nobody's any more."""
        self._started = self._due = False
        self._stop_retry()

    async def close(self) -> None:
        """Stop; what is being put to use is in use afterwards, or not at all."""
        self.stop()
        if self._running is not None:
            await asyncio.wait({self._running})

    def _run_once_more(self) -> None:
        self._due = True
        self._stop_retry()
        if self._started and self._running is None:
            self._running = asyncio.create_task(self._run(), name="reload")

    def _stop_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    async def _run(self) -> None:
        usable = True
        try:
            while self._due:
                self._due = False
                asked, self._asked = self._asked, False
                usable = await self._reload(asked=asked)
        finally:
            self._running = None
        if not usable and self._started:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(RETRY_SECONDS, self._run_once_more)

    async def _read(self) -> Loaded:
        for _ in range(TRIES_MAX):
            loaded = await asyncio.to_thread(self._load)
            if loaded.file is None or state_of([str(loaded.file)]) == loaded.state:
                break
        return loaded

    async def _reload(self, *, asked: bool) -> bool:
        try:
            loaded = await self._read()
            changed = differences(self._config, loaded.config)
            if changed:
                await self._apply(loaded.config)
        except ConfigurationError as error:
            problem = _told(error)
        except ProxyError as error:
            problem = error.detail
        except AddressUnavailable as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the serving
            problem = f"it met a fault of this proxy ({type(error).__name__})"
            if problem != self._facts.problem:
                self._log.exception("internal_error", "a reload met a fault of this proxy", error)
        else:
            self._config = loaded.config
            news = changed or not self._facts.last_reload_successful
            if asked or news or loaded.sha256 != self._facts.sha256:
                self._facts.reloaded(sha256=loaded.sha256, changed=changed)
            return True
        if self._started:
            self._facts.reload_failed(problem, asked=asked)
        return False


def differences(old: Config, new: Config) -> list[str]:
    """Return the key paths that differ: `limits`, `clients.billing`; none if nothing does."""
    paths = [
        key
        for key in type(old).model_fields
        if key not in _BY_NAME and getattr(old, key) != getattr(new, key)
    ]
    for section in _BY_NAME:
        before, now = getattr(old, section), getattr(new, section)
        names = dict.fromkeys([*before, *now])
        paths += [f"{section}.{name}" for name in names if before.get(name) != now.get(name)]
    return paths


def _told(error: ConfigurationError) -> str:
    """Return the first problems, and how many more there are: a log's line is not long."""
    told = [str(problem) for problem in error.problems[:PROBLEMS_TOLD_MAX]]
    more = len(error.problems) - len(told)
    if more:
        told.append(f"and {more} more: see token-proxy validate")
    return "; ".join(told)
