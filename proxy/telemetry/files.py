"""What the log says of files that change while the proxy runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.telemetry.repeats import Occurrences, Repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.telemetry.log import Log

QUIET_SECONDS = 60.0
"""A file that comes and goes more often than this is one story, told once a minute."""


class FileFacts:
    """All files that are read again. `key` is a key path of the configuration."""

    def __init__(self, log: Log, *, monotonic: Callable[[], float]) -> None:
        self._log = log
        self._monotonic = monotonic
        self._unusable: dict[str, Repeats] = {}
        self._details: dict[str, str] = {}
        self._changes: dict[str, Occurrences] = {}

    def read_again(self, key: str) -> None:
        """Note that something new was read, and is used from now on."""
        now = self._monotonic()
        if key in self._unusable:
            self._unusable[key].ended(now)
        times = self._changes.setdefault(key, Occurrences()).happened(now)
        if times:
            self._log.info(
                "file_read_again", "the file has changed and was read again", key=key, times=times
            )

    def usable(self, key: str) -> None:
        """Note that a file can be used; a line if it could not be for a while."""
        repeats = self._unusable.get(key)
        if repeats is not None and repeats.ended(self._monotonic()):
            self._log.info("file_usable", "the file can be used again", key=key)

    def unusable(self, key: str, detail: str) -> None:
        """Note that a changed file cannot be used. `detail` is our own sentence."""
        repeats = self._unusable.setdefault(key, Repeats(quiet_seconds=QUIET_SECONDS))
        if self._details.get(key) != detail:
            # Another thing is to be done about it.
            self._details[key] = detail
            repeats.escalate()
        if repeats.happened(self._monotonic()):
            self._log.warning(
                "file_unusable",
                "the file has changed and cannot be used: what was read before goes on being used",
                key=key,
                detail=detail,
                times=repeats.count,
            )
