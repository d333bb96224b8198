"""The fenced code blocks of the pages that people read: where they stand, their tag, their text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("helm/**/*.md")])

_FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,}|~{3,})(?P<tag>[^`]*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences. `line`: that of the first fence."""

    page: Path
    line: int
    tag: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path, text: str | None = None) -> list[Block]:
    """Return a page's blocks; a fence without its other one has everything up to the end."""
    found: list[Block] = []
    lines = (page.read_text(encoding="utf-8") if text is None else text).splitlines()
    place = 0
    while place < len(lines):
        opened = _FENCE.match(lines[place])
        if not opened:
            place += 1
            continue
        first = place + 1
        place = first
        while place < len(lines) and not _closes(lines[place], opened["marks"]):
            place += 1
        indent = len(opened["indent"])
        inside = "".join(f"{line[indent:]}\n" for line in lines[first:place])
        found.append(Block(page, first, opened["tag"].strip(), inside))
        place += 1
    return found


def _closes(line: str, marks: str) -> bool:
    text = line.strip()
    return len(text) >= len(marks) and set(text) == {marks[0]}


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page)]
