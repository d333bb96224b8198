"""The log: one event a line, JSON for machines, in our keys or ECS's, text for a terminal.

Rules. Whatever is written is cleaned (no control or invisible character can forge a line or move a
cursor) and cut. Of an exception only its type and the places it passed are written, never its
text: foreign exceptions like to quote what they choked on, and that may be a header. Failing to
write never fails a request, nor does a reader who does not read: `writer` sees to that, and after
lines were lost the next one says `dropped`, how many since the start. No global state: what
libraries log comes through loggers outside the tree that `logging.getLogger` knows.

Access lines have a switch of their own (`log.access`) and are written whatever the level.

Whoever knows what fails folds its repetitions (`repeats`). Faults of ours and what libraries log
have nobody who does: these are folded here, one line a minute for each that differs, with `times`.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from proxy.telemetry import ecs, lines
from proxy.telemetry.repeats import Occurrences
from proxy.telemetry.writer import FLUSH_SECONDS_MAX, LINES_MAX, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Value = str | int | float | bool | list[str] | None
Format = Literal["auto", "json", "text", "ecs"]
Level = Literal["debug", "info", "warning", "error"]
Access = Literal["off", "errors", "all"]

FOLDED = frozenset({"internal_error", "library"})
"""Events that are folded here."""
KINDS_MAX = 64
"""So many different ones are told apart; what comes beyond them is one more kind."""
VALUE_CHARACTERS_MAX = 512
_UNSEEN = "\N{REPLACEMENT CHARACTER}"
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def clean(text: str) -> str:
    """Return `text` on one line, fit to be shown, and at most 512 characters long."""
    if len(text) > VALUE_CHARACTERS_MAX:
        text = text[: VALUE_CHARACTERS_MAX - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _UNSEEN for c in text)


def _cleaned(value: Value) -> Value:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, list):
        return [clean(each) for each in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    return clean(str(value))


def places(error: BaseException) -> str:
    """Return where `error` passed, innermost first: `file:line function`, without its text."""
    # Not `extract_tb`: it reads the source files, and this may run on the event loop.
    frames = [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    return ", ".join(reversed(frames[-8:]))


class _Library(logging.Handler):
    """Bring what a library logs into our own log, without what it quotes."""

    def __init__(self, log: Log, library: str) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._library = library

    def emit(self, record: logging.LogRecord) -> None:
        # The template without its arguments, as these may be what a caller sent.
        error = record.exc_info[1] if record.exc_info else None
        level = "error" if record.levelno >= logging.ERROR else "warning"
        fields: dict[str, Value] = {"library": self._library}
        if error is not None:
            fields |= {"error": type(error).__name__, "places": places(error)}
        self._log.write(level, "library", str(record.msg), fields)


class Log:
    """Where events go. Safe to call from any thread; never waits, never raises for the stream.

    `format` `auto` is JSON unless the stream is a terminal, `ecs` is JSON with ECS's keys; `level`
    is the lowest written; `wall` gives Unix time in seconds, `monotonic` an instant; `lines_max` is
    how many lines may wait to be written. Call `flush` before the process ends.
    """

    def __init__(
        self,
        *,
        format: Format,  # noqa: A002 - the key's own name
        level: Level,
        access: Access,
        stream: TextIO,
        wall: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        lines_max: int = LINES_MAX,
    ) -> None:
        self._stream = stream
        self._writer = Writer(stream, lines_max=lines_max)
        self._dropped_told = 0
        self._lock = threading.Lock()
        self._wall = wall
        self._monotonic = monotonic
        self._repeated: dict[tuple[Value, ...], Occurrences] = {}
        self.reconfigure(format=format, level=level, access=access)

    def reconfigure(
        self,
        *,
        format: Format,  # noqa: A002 - as above
        level: Level,
        access: Access,
    ) -> None:
        """Write from the next line on as these say. Lines on their way stay as they are."""
        as_json = format == "json" or (format == "auto" and not self._stream.isatty())
        with self._lock:
            self._line = (
                ecs.line if format == "ecs" else lines.json_line if as_json else lines.text_line
            )
            self._level = _LEVELS[level]
            self._access = access

    def debug(self, event: str, message: str, **fields: Value) -> None:
        """Write what only somebody who looks for a fault wants to see."""
        self.write("debug", event, message, fields)

    def announce(self, event: str, message: str, **fields: Value) -> None:
        """Write what is said whatever the level: that and as what the process is there."""
        self._emit("info", event, message, fields)

    def info(self, event: str, message: str, **fields: Value) -> None:
        """Write what an operator wants to find later."""
        self.write("info", event, message, fields)

    def warning(self, event: str, message: str, **fields: Value) -> None:
        """Write what works still, but should not be so."""
        self.write("warning", event, message, fields)

    def error(self, event: str, message: str, **fields: Value) -> None:
        """Write what makes requests fail."""
        self.write("error", event, message, fields)

    def exception(self, event: str, message: str, error: BaseException, **fields: Value) -> None:
        """Write an error with the type of `error` and the places it passed, not its text."""
        fields |= {"error": type(error).__name__, "places": places(error)}
        self.write("error", event, message, fields)

    def wants_access(self, status: int, origin: str) -> bool:
        """Say whether an answer with `status`, made by `origin`, gets an access line."""
        if self._access == "all":
            return True
        return self._access == "errors" and (status >= 500 or origin == "proxy")

    def access(self, **fields: Value) -> None:
        """Write one access line; ask `wants_access` first. `path` comes without its query."""
        said = (fields.get(name) for name in ("method", "path", "status"))
        message = " ".join("-" if each is None else str(each) for each in said)
        self._emit("info", "request", message, fields)

    def write(self, level: str, event: str, message: str, fields: Mapping[str, Value]) -> None:
        """Write an event at a level that is only known at run time; fields that are None go."""
        if _LEVELS[level] >= self._level:
            self._emit(level, event, message, fields)

    def flush(self, timeout_seconds: float = FLUSH_SECONDS_MAX) -> bool:
        """Wait until all lines are written; return False if `timeout_seconds` pass before."""
        return self._writer.flush(timeout_seconds)

    def library(self, name: str) -> logging.Logger:
        """Return a logger to hand to a library (aiohttp); its warnings and errors come out here."""
        logger = logging.Logger(name, logging.WARNING)  # noqa: LOG001 - not the process's tree
        logger.addHandler(_Library(self, name))
        return logger

    def _emit(self, level: str, event: str, message: str, fields: Mapping[str, Value]) -> None:
        # The lock keeps the lines in the order of their times, whichever thread they come from.
        with self._lock:
            if event in FOLDED and "times" not in fields:
                times = self._times(event, message, fields)
                if not times:
                    return
                fields = {**fields, "times": times}
            if not self._writer.has_room():
                return
            shown = {name: _cleaned(value) for name, value in fields.items() if value is not None}
            dropped = self._writer.dropped
            if dropped > self._dropped_told:
                # The total, which stays true if this very line is lost too.
                shown["dropped"] = self._dropped_told = dropped
            at = datetime.fromtimestamp(self._wall(), UTC)
            self._writer.put(self._line(at, level, event, clean(message), shown))

    def _times(self, event: str, message: str, fields: Mapping[str, Value]) -> int:
        """Return how often this happened since it was told last; 0: it is not to be told now."""
        kind = (event, message, *(fields.get(name) for name in ("library", "error", "places")))
        if kind not in self._repeated and len(self._repeated) >= KINDS_MAX:
            kind = (event,)
        return self._repeated.setdefault(kind, Occurrences()).happened(self._monotonic())
