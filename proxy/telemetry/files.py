"""What the log says of files that change while the proxy runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.telemetry.log import Log


class FileFacts:
    """All files that are read again. `key` is a key path of the configuration."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._unusable: set[str] = set()

    def read_again(self, key: str) -> None:
        """Note that something new was read, and is used from now on."""
        self._unusable.discard(key)
        self._log.info("file_read_again", "the file has changed and was read again", key=key)

    def usable(self, key: str) -> None:
        """Note that a file holds what it held before; a line if something was wrong with it."""
        if key in self._unusable:
            self._unusable.discard(key)
            self._log.info("file_read_again", "the file is there again, unchanged", key=key)

    def unusable(self, key: str, detail: str) -> None:
        """Note that a changed file cannot be used. `detail` is our own sentence."""
        self._unusable.add(key)
        self._log.warning(
            "file_unusable",
            "the file has changed and cannot be used: what was read before goes on being used",
            key=key,
            detail=detail,
        )
