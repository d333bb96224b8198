"""Reads the configuration again: when SIGHUP asks for it, and when its file changes.

Reading is done on a thread, by the very code that a start uses. One reading goes on at a time; who
asks meanwhile gets one more. What cannot be used changes nothing, and is tried again now and then:
a file that it names may come.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.config.problem import ConfigurationError
from proxy.errors import ProxyError
from proxy.listeners import AddressUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.config.loader import Loaded
    from proxy.config.schema import Config
    from proxy.telemetry.facts import Telemetry

PROBLEMS_TOLD_MAX = 3
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
        self._running: asyncio.Task[bool] | None = None

    def start(self) -> None:
        """Begin; what was asked for before is done now."""
        self._started = True
        if self._due:
            self._run_once_more()

    def ask(self) -> None:
        """Read the configuration again soon, and say so whatever it holds."""
        self._asked = True
        self._run_once_more()

    async def look(self) -> bool:
        """Read the configuration again; return whether it can be used. See `FileWatch.add`."""
        return await asyncio.shield(self._run_once_more())

    async def close(self) -> None:
        """Read no more; what is being put to use is in use afterwards, or not at all."""
        self._started = self._due = False
        if self._running is not None:
            await asyncio.wait({self._running})

    def _run_once_more(self) -> asyncio.Task[bool] | asyncio.Future[bool]:
        self._due = True
        if not self._started:
            done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            done.set_result(True)
            return done
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="reload")
        return self._running

    async def _run(self) -> bool:
        usable = True
        try:
            while self._due:
                self._due = False
                asked, self._asked = self._asked, False
                usable = await self._reload(asked=asked)
        finally:
            self._running = None
        return usable

    async def _reload(self, *, asked: bool) -> bool:
        try:
            loaded = await asyncio.to_thread(self._load)
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
