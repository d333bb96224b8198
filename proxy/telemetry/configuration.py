"""What is known of the configuration in use: where from, since when, and how the last reload went.

A file that cannot be used leaves the configuration in use as it is: the gauge says 0 and the log
says why, until one can be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.telemetry.log import Log


class ConfigurationFacts:
    """The configuration's facts. Instants are Unix time.

    `source` is the file, or where else it came from; `sha256` the file's, in hex, None where there
    is none to tell; `problem` is why the last reload failed, None if it did not.
    """

    def __init__(self, log: Log, *, wall: Callable[[], float], source: str = "") -> None:
        self.source = source
        self.sha256: str | None = None
        self.loaded_at = self.last_reload_at = self.last_reload_success_at = wall()
        self.problem: str | None = None
        self._log = log
        self._wall = wall

    @property
    def last_reload_successful(self) -> bool:
        """Whether the last reload, or the start, went well."""
        return self.problem is None

    def reloaded(self, *, sha256: str | None, changed: list[str]) -> None:
        """Note a reload that went well; `changed` are the key paths that differ, none if none."""
        recovered = self.problem is not None
        now = self._wall()
        self.sha256, self.problem = sha256, None
        self.last_reload_at = self.last_reload_success_at = now
        if changed:
            self.loaded_at = now
        # Whatever the level: from here on the process is another one.
        self._log.announce(
            "config_reloaded",
            "the configuration was read again, and is in use"
            if changed
            else "the configuration was read again, and is what was in use already"
            if not recovered
            else "the configuration is what was in use before it was wrong",
            file=self.source,
            sha256=sha256,
            changed=changed or None,
        )

    def reload_failed(self, problem: str, *, asked: bool) -> None:
        """Note a configuration that cannot be used; `problem` says what, where, what to do.

        What is known already is not said again, unless somebody has asked.
        """
        known = problem == self.problem
        self.problem = problem
        self.last_reload_at = self._wall()
        if known and not asked:
            return
        self._log.error(
            "config_reload_failed",
            "the configuration cannot be used, the one before stays in use",
            file=self.source,
            problem=problem,
        )
