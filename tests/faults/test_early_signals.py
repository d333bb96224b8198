"""A process that is told to stop before it serves: it ends, and well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_sigterm_while_the_configuration_is_read_ends_with_0(tmp_path: Path) -> None:
    # A named pipe holds the reader until we write: the signal comes in the midst of loading.
    config = tmp_path / "config.yaml"
    os.mkfifo(config)
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "run", "-c", str(config)], cwd=ROOT, stderr=subprocess.PIPE
    )
    try:
        # Opening returns when the other side has opened it too: the handler is in place by then.
        with config.open("wb"):
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.communicate()
