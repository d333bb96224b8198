"""`token-proxy completion bash|zsh|fish`: what to give a shell so that Tab knows our flags.

Made from the parser itself by shtab, which is loaded for this command only.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import shtab

from proxy.commands.command_line import build_parser
from proxy.commands.exit_status import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Iterator


def execute(arguments: argparse.Namespace) -> int:
    """Print the shell's own script on standard output."""
    parser = build_parser()
    for action in _actions(parser):
        if action.metavar == "FILE":
            # Where shtab looks for it; the parser itself is to load without shtab.
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, arguments.shell))
    return ExitStatus.OK


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield what a parser and its commands take."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            for command in action.choices.values():
                yield from _actions(command)
