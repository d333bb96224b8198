"""The way of log lines to their stream, such that no reader of the log can hold a request up.

Rules. Lines go into a queue of at most `LINES_MAX`; one daemon thread, started with the first line,
writes them in their order. What finds the queue full, or cannot be written, is dropped and counted.
The thread writes to the descriptor itself: blocked inside `sys.stderr` it would hold that stream's
lock, and the interpreter could not end. The descriptor stays in the mode that it came in: whoever
started us shares it.

Lines that have come together share one write, below what a pipe takes in one piece: several
processes can write to one pipe without tearing each other's lines.

A stream without a descriptor lives in memory, cannot block, and is written to at once.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import TextIO

LINES_MAX = 8192
FLUSH_SECONDS_MAX = 2.0

_WRITE_BYTES_MAX = 4096
# For a descriptor that somebody else has made non-blocking.
_TRY_AGAIN_SECONDS = 0.01


class Writer:
    """One stream and its queue. `put` is for one thread at a time, `flush` for any."""

    def __init__(self, stream: TextIO, *, lines_max: int = LINES_MAX) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._lines_max = lines_max
        self._queue: queue.SimpleQueue[str | threading.Event] | None = (
            queue.SimpleQueue() if _has_descriptor(stream) else None
        )
        self._thread: threading.Thread | None = None
        self._refused = self._unwritten = 0
        self._torn = False

    @property
    def dropped(self) -> int:
        """How many lines were lost so far. It never falls."""
        # Two numbers, for each is counted by one thread only.
        return self._refused + self._unwritten

    def has_room(self) -> bool:
        """Return whether a line may be put; if not, it is counted as dropped."""
        if self._queue is None or self._queue.qsize() < self._lines_max:
            return True
        self._refused += 1
        return False

    def put(self, line: str) -> None:
        """Take a line, its line break included; ask `has_room` first. Never waits, never raises."""
        if self._queue is None:
            self._write_to_memory(line)
            return
        self._queue.put(line)
        if self._thread is None:
            self._start()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until what was put is written or given up; return False if that takes too long."""
        if self._queue is None or self._thread is None:
            return self._queue is None or self._queue.empty()
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(timeout_seconds)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No thread to be had just now: the lines wait, and the next one tries again.
            return
        self._thread = thread

    def _run(self) -> None:
        assert self._queue is not None, "the thread is there for the queue"
        item: str | threading.Event | None = None
        while True:
            if item is None:
                item = self._queue.get()
            batch: list[str] = []
            room = _WRITE_BYTES_MAX
            while isinstance(item, str) and (not batch or len(item) <= room):
                batch.append(item)
                room -= len(item)
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    item = None
            if batch:
                self._write("".join(batch).encode(self._encoding, "backslashreplace"))
            if isinstance(item, threading.Event):
                item.set()
                item = None

    def _write(self, data: bytes) -> None:
        """Write it all, however long that takes, or count the lines that cannot be written."""
        if self._torn:
            data = b"\n" + data
        at = 0
        try:
            while at < len(data):
                try:
                    at += os.write(self._stream.fileno(), data[at:])
                except BlockingIOError:
                    time.sleep(_TRY_AGAIN_SECONDS)
        except (OSError, ValueError):
            # A broken pipe, a full disk, a closed stream: the requests go on without a log.
            self._unwritten += data.count(b"\n", max(at, self._torn))
        if at:
            self._torn = data[at - 1 : at] != b"\n"

    def _write_to_memory(self, line: str) -> None:
        try:
            self._stream.write(
                line.encode(self._encoding, "backslashreplace").decode(self._encoding)
            )
            self._stream.flush()
        except (OSError, ValueError):
            self._unwritten += 1


def _has_descriptor(stream: TextIO) -> bool:
    try:
        stream.fileno()
    except (OSError, ValueError):
        return False
    return True
