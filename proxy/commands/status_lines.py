"""Lines of a terminal: coloured words, tables, and no line longer than there is room.

A `Line` is a list of words with their colours; only `rendered` makes text of it, and only there
is anything cut or coloured, so that an escape sequence can neither be cut in two nor come from
what is shown. Widths are columns of a terminal, not characters.
"""

from __future__ import annotations

import textwrap
import unicodedata
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CUT = "…"
GAP_MAX = 2
ELASTIC_GOOD, ELASTIC_MIN = 12, 6
"""Below the first a gap is made narrower; below the second nothing shrinks any more."""


class Colour(Enum):
    """How a word looks; the value is the terminal's number for it."""

    PLAIN = ""
    BOLD = "1"
    FAINT = "2"
    RED = "1;31"
    GREEN = "32"
    YELLOW = "33"


@dataclass(frozen=True, slots=True)
class Word:
    """Some text and its colour."""

    text: str
    colour: Colour = Colour.PLAIN


Line = list[Word]


@dataclass(slots=True)
class Column:
    """A column of a table. The elastic one takes the room that the others leave."""

    heading: str
    cells: list[Word] = field(default_factory=list)
    right: bool = False
    elastic: bool = False

    @property
    def wanted(self) -> int:
        """How wide it would like to be."""
        return max(width(self.heading), *[width(cell.text) for cell in self.cells], 0)


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, room: int) -> str:
    """Return the text, its end replaced by `…` when it takes more than `room` columns."""
    if width(text) <= room:
        return text
    return _beginning(text, room - 1) + CUT if room > 0 else ""


def _beginning(text: str, room: int) -> str:
    for end, character in enumerate(text):
        room -= _character_width(character)
        if room < 0:
            return text[:end]
    return text


def table(columns: list[Column], room: int) -> list[Line]:
    """Return the heading and the rows; narrower gaps, then the elastic column, make them fit."""
    [elastic] = [column for column in columns if column.elastic]
    left = room - sum(column.wanted for column in columns if column is not elastic)
    gaps = len(columns) - 1
    wide_enough = left - GAP_MAX * gaps >= min(elastic.wanted, ELASTIC_GOOD)
    gap = GAP_MAX if wide_enough else 1
    elastic_width = min(elastic.wanted, max(ELASTIC_MIN, left - gap * gaps))
    widths = [elastic_width if column is elastic else column.wanted for column in columns]
    heading = [Word(column.heading, Colour.FAINT) for column in columns]
    rows = zip(*[column.cells for column in columns], strict=True)
    return [_row(cells, columns, widths, gap) for cells in [heading, *rows]]


def _row(cells: Iterable[Word], columns: list[Column], widths: list[int], gap: int) -> Line:
    line: Line = []
    for cell, column, wide in zip(cells, columns, widths, strict=True):
        text = cut(cell.text, wide)
        space = Word(" " * (wide - width(text)))
        between = [Word(" " * gap)] if line else []
        line += [*between, *([space, Word(text, cell.colour)] if column.right else [])]
        line += [] if column.right else [Word(text, cell.colour), space]
    return line


def paragraph(label: str, text: str, room: int, *, colour: Colour = Colour.PLAIN) -> list[Line]:
    """Return a text under a label, over as many lines as it needs, its later ones indented."""
    indent = " " * width(label)
    pieces = textwrap.wrap(text, max(20, room - len(indent)), break_on_hyphens=False) or [""]
    return [
        [Word(label if number == 0 else indent, Colour.FAINT), Word(piece, colour)]
        for number, piece in enumerate(pieces)
    ]


def rendered(line: Line, room: int, *, coloured: bool) -> str:
    """Return the line as text of at most `room` columns, without spaces at its end."""
    overflows = width("".join(word.text for word in line).rstrip()) > room
    text, left = "", room - 1 if overflows else room
    for word in line:
        piece = _beginning(word.text, left)
        left -= width(word.text)
        painted = coloured and word.colour is not Colour.PLAIN and piece
        text += f"\x1b[{word.colour.value}m{piece}\x1b[0m" if painted else piece
        if left < 0:
            break
    return text + CUT if overflows else text.rstrip()
