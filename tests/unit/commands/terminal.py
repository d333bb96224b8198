"""A program in a terminal of a given size, and what it writes there, until something is seen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SEEN_SECONDS_MAX = 30


class Terminal:
    """A running program and the other end of its terminal; `written` is all of it so far."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.written = ""
        self._descriptor = descriptor

    def type(self, text: str) -> None:
        """Send what a keyboard would."""
        os.write(self._descriptor, text.encode())

    def until(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """Return the first match in what is written from `after` on; wait for it."""
        deadline = time.monotonic() + SEEN_SECONDS_MAX
        while not (found := re.compile(pattern).search(self.written, after)):
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._descriptor], [], [], max(left, 0))
            assert ready, f"{pattern!r} was not seen in …{self.written[-2000:]!r}"
            assert self._read(), f"it ended before {pattern!r} was seen: …{self.written[-2000:]!r}"
        return found

    def rest(self) -> int:
        """Read until the program has ended, and return its status."""
        while self._read():
            pass
        return self.process.wait(SEEN_SECONDS_MAX)

    def _read(self) -> bool:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            # Linux says so when nobody has the terminal open any more.
            return False
        self.written += data.decode(errors="replace")
        return bool(data)


@contextmanager
def terminal(
    command: Sequence[str], *, columns: int = 80, rows: int = 40, environ: Mapping[str, str]
) -> Iterator[Terminal]:
    """Run a program in a terminal of its own; it is killed at the end if it still runs."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        # `setsid --ctty` makes it the terminal of the session, so that Ctrl-C finds the program.
        ["setsid", "--ctty", "--wait", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=dict(environ),
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
        process.wait()
