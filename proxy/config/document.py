"""A configuration as a tree of plain values that knows where each of them was written.

The tree is what the model is validated from. `BROKEN` stands for a value that a problem has been
reported for already, so that nothing else is said about it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

from proxy.config.problem import ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

KeyPath = tuple[str | int, ...]

KEY_CHARACTERS_MAX = 64
"""More of one key is not shown in a problem."""


@final
class _Broken:
    def __repr__(self) -> str:
        return "BROKEN"


BROKEN: Final = _Broken()


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text; both from 1."""

    line: int = 1
    column: int = 1


@dataclass(slots=True)
class Document:
    """A tree and the places of its keys and values; `names` renames key paths in problems.

    Problems are collected here by whoever finds them; `refuse_if_wrong` raises them together.
    """

    file: str
    values: Any = None
    keys: dict[KeyPath, Position] = field(default_factory=dict)
    places: dict[KeyPath, Position] = field(default_factory=dict)
    names: Mapping[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: set[KeyPath] = field(default_factory=set)

    def section(self, *path: str) -> dict[str, Any]:
        """Return the mapping at `path`, or an empty one where there is none."""
        value = self.values
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}

    def wrong_value(self, path: KeyPath, message: str, suggestion: str | None = None) -> None:
        """Report the value at `path`, unless something is known against it already."""
        if path not in self.broken:
            self._report(path, self.place_of(path), message, suggestion)

    def wrong_key(self, path: KeyPath, message: str, suggestion: str | None = None) -> None:
        """Report the key at the end of `path`, or what is missing in the section it names."""
        if path not in self.broken:
            self._report(path, self.key_of(path), message, suggestion)

    def wrong_at(self, path: KeyPath, position: Position, message: str) -> None:
        """Report what stands at `position`, which no path leads to."""
        self._report(path, position, message, None)

    def break_value(self, path: KeyPath, message: str, suggestion: str | None = None) -> None:
        """Report the value at `path` and say nothing more about it."""
        self.wrong_value(path, message, suggestion)
        self.broken.add(path)

    def place_of(self, path: KeyPath) -> Position:
        """Return where the value at `path` begins, or the nearest thing around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Position())

    def key_of(self, path: KeyPath) -> Position:
        """Return where the key at the end of `path` stands, or the nearest key around it."""
        while path and path not in self.keys:
            path = path[:-1]
        return self.keys.get(path, Position())

    def refuse_if_wrong(self) -> None:
        """Raise all problems, in the file's order; return if there are none."""
        if self.problems:
            unique = dict.fromkeys(self.problems)
            raise ConfigurationError(sorted(unique, key=lambda one: (one.line, one.column)))

    def _report(
        self, path: KeyPath, position: Position, message: str, suggestion: str | None
    ) -> None:
        self.problems.append(
            Problem(
                self.file,
                position.line,
                position.column,
                self.names.get(path) or dotted(path),
                message,
                suggestion,
            )
        )


def dotted(path: KeyPath) -> str:
    """Write a key path as people read it: `upstreams.orders.methods[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            short = part if len(part) <= KEY_CHARACTERS_MAX else part[:KEY_CHARACTERS_MAX] + "…"
            text += f".{short}" if text else short
    return text
