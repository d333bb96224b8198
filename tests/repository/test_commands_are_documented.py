"""docs/commands.md names each command, flag, variable and exit status, and no other."""

from __future__ import annotations

import argparse
import re
import signal
from pathlib import Path

from proxy.commands.command_line import build_parser
from proxy.commands.exit_status import ExitStatus
from proxy.commands.source_arguments import CONFIG_VARIABLE, SECRET_VARIABLE, SETTINGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """Return what stands under a heading; the top of the page has none."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(["", *parts[1::2]], parts[::2], strict=True))[heading]


def first_cells(heading: str) -> list[str]:
    return re.findall(r"^\| `?([a-z0-9]+)`? \|", section(heading), re.MULTILINE)


def commands() -> dict[str, argparse.ArgumentParser]:
    [subparsers] = [
        action
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    return dict(subparsers.choices)


def test_each_command_has_its_line_and_each_line_its_command() -> None:
    assert sorted(set(first_cells("")) - {"command"}) == sorted(commands())


def test_each_exit_status_has_its_line_and_each_line_its_status() -> None:
    listed = [cell for cell in first_cells("Exit status") if cell != "status"]
    assert listed == [str(int(status)) for status in ExitStatus]


def test_the_statuses_of_each_command_are_among_them() -> None:
    lines = re.findall(r"^\| `\w+` \|.*\| ([\d, ]+) \|$", section(""), re.MULTILINE)
    assert len(lines) == len(commands())
    said = {int(each) for line in lines for each in line.split(", ")}
    assert said == {int(status) for status in ExitStatus}


def test_the_statuses_of_signals_are_those_that_shells_know() -> None:
    assert ExitStatus.INTERRUPTED == 128 + signal.SIGINT
    assert ExitStatus.TERMINATED == 128 + signal.SIGTERM


def test_each_flag_is_named_and_each_named_flag_exists() -> None:
    flags = {
        flag
        for parser in commands().values()
        for action in parser._actions
        for flag in action.option_strings
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))
    assert named == (flags - {"-c", "-h"}) | {"--version"}


def test_each_variable_is_named_and_each_named_variable_exists() -> None:
    known = {CONFIG_VARIABLE, SECRET_VARIABLE, *(one.variable for one in SETTINGS)}
    assert set(re.findall(r"TOKEN_PROXY_[A-Z_]+", PAGE)) == known
    for one in SETTINGS:
        assert f"| `{one.flag} {one.metavar}` | `{one.variable}` |" in PAGE


def test_the_readme_leads_here() -> None:
    assert "(docs/commands.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
