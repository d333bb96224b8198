"""What is wrong with a configuration: one `Problem` for each mistake, all of them in one exception.

A message never holds a value from the configuration, because a value may be a secret in the wrong
place; it says what was wanted, and the position says where.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake and its place.

    `line` and `column` count from 1; they are both 1 where there is no text to point into (a
    missing file, the command line). `path` is the key path (`upstreams.orders.url`), empty for the
    file itself. `suggestion` is a near name that may have been meant.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        where = self.file if self.file.startswith("(") else f"{self.file}:{self.line}:{self.column}"
        text = f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"
        if self.suggestion is not None:
            text += f" (did you mean '{self.suggestion}'?)"
        if text.isprintable():
            return text
        # Keys are the writer's own text; what would steer a terminal is not printed.
        return "".join(character if character.isprintable() else "?" for character in text)


class ConfigurationError(Exception):
    """The configuration cannot be used. `problems` is never empty and stands in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        assert problems
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
