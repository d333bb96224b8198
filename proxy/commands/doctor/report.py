"""What the doctor found, and how it is written: lines for people, one JSON object for programs.

Pure. A sign stands before each line, so that colour says nothing that the sign does not. What
follows from a failure already told is skipped, and told in one line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from proxy.config.document import dotted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.commands.doctor.places import Places
    from proxy.config.document import KeyPath

Result = Literal["ok", "warning", "failure", "skipped"]

SIGNS: dict[Result, str] = {
    "ok": "\N{SQUARE ROOT}",
    "warning": "!",
    "failure": "\N{MULTIPLICATION SIGN}",
    "skipped": "-",
}
PLAIN_SIGNS: dict[Result, str] = {"ok": "ok", "warning": "!!", "failure": "XX", "skipped": "--"}
"""For a stream that cannot encode the others."""
_COLOURS: dict[Result, str] = {"ok": "32", "warning": "33", "failure": "31", "skipped": "2"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `subject` is the key path of the section that it is about.

    `hint` says what to do about a failure or a warning, and `key` which key may have to change.
    """

    subject: KeyPath
    check: str
    result: Result
    detail: str
    hint: str = ""
    key: KeyPath | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """What is told together: a client with its audiences, or an upstream."""

    title: str
    checks: list[Check] = field(default_factory=list)


class Style:
    """How lines look on one stream: which signs it can show, and whether in colour."""

    def __init__(self, *, encoding: str | None, colour: bool) -> None:
        self._encoding = encoding or "ascii"
        self._colour = colour
        self.signs = SIGNS
        try:
            "".join(SIGNS.values()).encode(self._encoding)
        except (UnicodeEncodeError, LookupError):
            self.signs = PLAIN_SIGNS
            self._encoding = "ascii"

    def sign(self, result: Result) -> str:
        """Return the sign of a result."""
        sign = self.signs[result]
        return f"\x1b[{_COLOURS[result]}m{sign}\x1b[0m" if self._colour else sign

    def shown(self, text: str) -> str:
        """Return text that the stream can encode, and that steers no terminal."""
        text = "".join(each if each.isprintable() else "?" for each in text)
        return text.encode(self._encoding, "replace").decode(self._encoding)


def lines(group: Group, style: Style, places: Places) -> list[str]:
    """Return a group's lines, the empty one before it included."""
    found = ["", style.shown(group.title)]
    skipped: dict[str, list[str]] = {}
    for check in group.checks:
        if check.result == "skipped":
            skipped.setdefault(check.detail, []).append(_named(check))
            continue
        found.append(f"  {style.sign(check.result)} {style.shown(_told(check))}")
        if check.hint:
            found.append(f"      hint: {style.shown(check.hint)}")
        if check.key is not None and check.hint:
            found.append(f"      key:  {style.shown(places.told(check.key))}")
    for reason, names in skipped.items():
        found.append(f"  {style.sign('skipped')} {style.shown(_listed(names, reason))}")
    return found


def summary(groups: Iterable[Group]) -> str:
    """Count all results in one line."""
    counts = dict.fromkeys(SIGNS, 0)
    for group in groups:
        for check in group.checks:
            counts[check.result] += 1
    failures, warnings = counts["failure"], counts["warning"]
    parts = [
        f"{failures or 'no'} failure{'' if failures == 1 else 's'}",
        f"{warnings or 'no'} warning{'' if warnings == 1 else 's'}",
        f"{counts['ok']} fine",
    ]
    if counts["skipped"]:
        parts.append(f"{counts['skipped']} not checked")
    return ", ".join(parts)


def is_well(groups: Iterable[Group]) -> bool:
    """Say whether nothing failed."""
    return not any(check.result == "failure" for group in groups for check in group.checks)


def to_json(groups: Iterable[Group], places: Places) -> dict[str, Any]:
    """Return the report for programs; `docs/doctor.md` says what each member is."""
    groups = list(groups)
    return {
        "ok": is_well(groups),
        "checks": [
            {
                "subject": dotted(check.subject),
                "check": check.check,
                "result": check.result,
                "detail": check.detail,
                "hint": check.hint or None,
                "key": None if check.key is None else places.name(check.key),
            }
            for group in groups
            for check in group.checks
        ],
    }


def skipped(subject: KeyPath, names: Iterable[str], reason: str) -> list[Check]:
    """Return checks that could not be made for one reason."""
    return [Check(subject, name, "skipped", reason) for name in names]


def _named(check: Check) -> str:
    """Name a check within its group: a token is one of several."""
    return f"{check.check} for {check.subject[-1]}" if _of_audience(check) else check.check


def _of_audience(check: Check) -> bool:
    return check.subject[0] == "audiences"


def _told(check: Check) -> str:
    return f"{_named(check)}: {check.detail}"


def _listed(names: list[str], reason: str) -> str:
    listed = ", ".join(dict.fromkeys(names))
    return f"{listed}: {reason}"
