"""Where the status is shown: a terminal, or a file or pipe.

On a terminal a refresh draws over what stands there. No alternate screen: what was seen last stays
to be read after Ctrl-C, and a hard end leaves nothing to be put right. Elsewhere one block follows
another. Colour on a terminal only, and not where NO_COLOR is set; it is never the only sign.
"""

from __future__ import annotations

import io
import os
import re
import sys
from typing import TYPE_CHECKING

from proxy.commands.status_lines import Colour, Line, Word, rendered

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS_ELSEWHERE = 80
"""How wide lines are where there is no terminal, unless COLUMNS says otherwise."""
COLUMNS_MIN, COLUMNS_MAX = 20, 500
_CLEAR = "\x1b[2J"
_TO_THE_TOP, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"


class Screen:
    """Standard output, as wide and as colourful as it is."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._is_terminal = sys.stdout.isatty() and environ.get("TERM") != "dumb"
        self._coloured = self._is_terminal and not environ.get("NO_COLOR")
        self._is_clean = True
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A terminal that is not UTF-8 gets a question mark, not an end.
            sys.stdout.reconfigure(errors="replace")

    @property
    def columns(self) -> int:
        """How wide a line may be; asked anew each time, for windows change."""
        return min(max(self._size()[0], COLUMNS_MIN), COLUMNS_MAX)

    def write(self, lines: list[Line]) -> None:
        """Print the lines."""
        print("\n".join(self._rendered(lines)), flush=True)

    def refresh(self, lines: list[Line]) -> None:
        """Show the lines instead of those before; after them where nothing can be taken back."""
        if not self._is_terminal:
            print(
                "\n".join([*([] if self._is_clean else [""]), *self._rendered(lines)]), flush=True
            )
        else:
            rows = self._size()[1]
            if len(lines) >= rows > 2:
                # A line more than there are rows would scroll the first away.
                hidden = len(lines) - (rows - 2)
                more = f"… {hidden} more lines: make the window higher, or leave out --watch"
                lines = [*lines[: rows - 2], [Word(more, Colour.FAINT)]]
            drawn = "".join(f"{line}{_CLEAR_LINE}\n" for line in self._rendered(lines))
            clear = _CLEAR if self._is_clean else ""
            sys.stdout.write(f"{clear}{_TO_THE_TOP}{drawn}{_CLEAR_REST}")
            sys.stdout.flush()
        self._is_clean = False

    def leave(self) -> None:
        """Leave the cursor where a shell's prompt may stand."""
        if self._is_terminal:
            print(flush=True)

    def _rendered(self, lines: list[Line]) -> list[str]:
        columns = self.columns
        return [rendered(line, columns, coloured=self._coloured) for line in lines]

    def _size(self) -> tuple[int, int]:
        """Return columns and rows; no rows where it is no terminal."""
        if self._is_terminal:
            columns, rows = os.get_terminal_size(sys.stdout.fileno())
            if columns:
                return columns, rows
        told = self._environ.get("COLUMNS", "")
        return (int(told) if re.fullmatch("[0-9]{1,4}", told) else COLUMNS_ELSEWHERE), 0
