"""Run a daemon that cannot ask the kernel for a port, as the programs beside this one are run.

A free port is looked for and given to the daemon; should somebody else take it in between, another
one is tried. That the daemon listens is read in its own log, for a port that answers could be
anybody's.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ATTEMPTS_MAX = 5
START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 5
POLL_SECONDS = 0.02


def free_port() -> int:
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


@contextmanager
def running(
    command: Callable[[int], list[str]], *, port: int, log: Path, ready: str
) -> Iterator[int]:
    """Run `command(port)` for the block's length; give the port it listens on.

    `port` 0 lets us choose. What the daemon says goes to `log`, where `ready` tells that it
    listens.
    """
    for _ in range(1 if port else ATTEMPTS_MAX):
        chosen = port or free_port()
        with log.open("wb") as said:
            process = subprocess.Popen(
                command(chosen), stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        try:
            if _listens(process, log, ready):
                yield chosen
                return
        finally:
            _end(process)
    sys.exit(f"it does not listen: {log.read_text(errors='replace')[-2000:]}")


def serve_until_standard_input_ends(port: int) -> None:
    """Tell the port, then wait for whoever started us to go."""
    print(json.dumps({"port": port}), flush=True)
    sys.stdin.read()


def _listens(process: subprocess.Popen[bytes], log: Path, ready: str) -> bool:
    deadline = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        if ready in log.read_text(errors="replace"):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
