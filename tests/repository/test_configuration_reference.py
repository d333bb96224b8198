"""`docs/configuration.md` is written by the schema."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_reference_page_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proxy.config.reference"],
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == PAGE.read_text(), (
        "run: python -m proxy.config.reference > docs/configuration.md"
    )
