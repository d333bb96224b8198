"""How much the endurance tests do: a little in `make test`, all of it where `ENDURANCE=full`.

    ENDURANCE=full python -m pytest tests/endurance

Both sizes run the same code and assert the same; the full ones are the figures that are promised.
"""

from __future__ import annotations

import os

FULL = os.environ.get("ENDURANCE") == "full"
PATIENCE_SECONDS = 60
"""How long any event is waited for; no test waits that long in vain."""
TEST_SECONDS_MAX = 3600 if FULL else 120
SEED = os.environ.get("ENDURANCE_SEED", "1")
"""What chance is drawn from: the same seed, the same faults."""


def sized(small: int, full: int) -> int:
    """Return how many, or how much, in this run."""
    return full if FULL else small
