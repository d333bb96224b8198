"""Processes of the benchmark: start one on one CPU, read what it used, end it for certain.

CPU time is user plus system time of the whole process (all of its threads) from /proc/PID/stat.
The kernel scales those two so that their sum is the precise run time, which /proc then shows in
ticks of 10 ms; over a round of seconds that is well below one percent.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
END_SECONDS = 10


def choose_cpus() -> tuple[set[int], set[int]]:
    """Return the CPUs of the contestant and of everything else; with a single one, that twice."""
    allowed = sorted(os.sched_getaffinity(0))
    return {allowed[0]}, {allowed[min(1, len(allowed) - 1)]}


@contextmanager
def on_cpus(cpus: set[int]) -> Iterator[None]:
    """Pin this thread to `cpus` for a while; what it starts meanwhile stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(
    command: Sequence[str | Path],
    cpus: set[int],
    *,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start `command` on `cpus`; end it when the block is left, in whatever way."""
    with on_cpus(cpus):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to stop, and kill it if it has not done so in `END_SECONDS`."""
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_seconds(pid: int) -> float:
    """Return the user and system time that the process has used so far."""
    # The command's name, in parentheses, may hold spaces: count the fields from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / TICKS_PER_SECOND


def waited_seconds(pid: int) -> float:
    """Return how long the process's threads were ready to run while others had the CPU.

    Threads that have ended no longer count.
    """
    nanoseconds = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end between being listed and being read.
        with suppress(FileNotFoundError, ProcessLookupError):
            nanoseconds += int((task / "schedstat").read_text().split()[1])
    return nanoseconds / 1e9


def resident_bytes(pid: int) -> int:
    """Return the resident set of the process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            return int(value.split()[0]) * 1024
    raise ProcessLookupError(pid)
