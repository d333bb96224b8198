"""`docs/reliability.md` says which test holds each promise: those tests must be there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reliability.md").read_text()


def test_every_test_file_and_test_named_on_the_page_is_there() -> None:
    files = set(re.findall(r"`((?:endurance|faults|integration|unit)/[\w/]+\.py)`", PAGE))
    assert files
    texts = [(ROOT / "tests" / file).read_text() for file in sorted(files)]
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    there = {name for text in texts for name in re.findall(r"def (test_\w+)\(", text)}
    assert named
    assert named <= there, named - there
