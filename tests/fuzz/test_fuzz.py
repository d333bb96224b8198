"""The fuzz programs, each with a fixed seed and few inputs; `make fuzz` runs them for longer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
INPUTS = 1000
SEED = 20261122


@pytest.mark.parametrize("program", ["upstream_connection", "caller_connection"])
def test_no_bytes_break_a_connections_rules(program: str) -> None:
    """B-33 to B-42: what it holds connections to is in the program's docstring."""
    done = subprocess.run(
        [
            sys.executable,
            FOLDER / f"{program}.py",
            *("--inputs", str(INPUTS), "--seed", str(SEED)),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
