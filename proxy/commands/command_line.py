"""The parser, and the way from a command's name to its code and its exit status.

Everything a command needs is imported by the command: `healthcheck` runs every few seconds in
many a cluster, and is not to load a web server for it. Usage errors end with 64, argparse's too;
an exception that nobody foresaw is one line and 70.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from proxy import __version__
from proxy.commands.exit_status import ExitStatus, UsageError
from proxy.commands.source_arguments import add_source_arguments
from proxy.config.addresses import DEFAULT_ADMIN
from proxy.config.problem import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROGRAM = "token-proxy"
ENDED_BY_SIGNALS = ("run", "demo")
"""Commands that SIGINT ends well: there is no other way to end them."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitStatus.USAGE, f"{self.prog}: {message}; try {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; each command's namespace names the module that executes it."""
    parser = _Parser(
        prog=PROGRAM,
        description="Plain HTTP in, OAuth 2.0 client credentials out: a token-caching proxy.",
        epilog=f"Begin with: {PROGRAM} demo",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    command = partial(_add_command, commands)
    run = command("run", "serve", "start the proxy", "run -c config.yaml")
    add_source_arguments(run)
    validate = command(
        "validate",
        "validate",
        "say everything that is wrong with a configuration, and start nothing",
        "validate -c config.yaml --format json",
    )
    add_source_arguments(validate)
    validate.add_argument(
        "--format", choices=("text", "json"), default="text", help="how problems are written"
    )
    doctor = command(
        "doctor",
        "doctor.examination",
        "ask every server that a configuration names, and say what is wrong",
        "doctor -c config.yaml",
    )
    add_source_arguments(doctor)
    doctor.add_argument(
        "--format", choices=("text", "json"), default="text", help="how the findings are written"
    )
    demo = command(
        "demo",
        "demonstrate",
        "run an authorization server, an upstream and the proxy on this machine",
        "demo --once",
    )
    demo.add_argument("--once", action="store_true", help="make a few calls and end")
    demo.add_argument(
        "--outage", action="store_true", help="take the authorization server away for a while"
    )
    command(
        "schema",
        "schema",
        "print the JSON Schema of the configuration file",
        "schema > token-proxy.schema.json",
    )
    config = command(
        "config",
        "config",
        "print the effective configuration, with its defaults, secrets as ***",
        "config -c config.yaml",
    )
    add_source_arguments(config)
    _add_asking_commands(command)
    command("version", "version", "print the versions of the program and its parts", "version")
    return parser


def _add_command(
    commands: argparse._SubParsersAction[_Parser],
    name: str,
    module: str,
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    added = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {PROGRAM} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    added.set_defaults(module=f"proxy.commands.{module}")
    return added


def _add_asking_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add those that look at a running proxy, and what helps with typing."""
    _add_status_arguments(
        command("status", "status", "show how a running proxy stands", "status --watch")
    )
    healthcheck = command(
        "healthcheck",
        "healthcheck",
        "ask a running proxy's /livez: exit status 0 or 1",
        f"healthcheck --admin {DEFAULT_ADMIN}",
    )
    _add_admin_arguments(healthcheck)
    _add_completion_arguments(
        command(
            "completion",
            "completion",
            "print what makes a shell complete this program's commands and flags",
            "completion fish > ~/.config/fish/completions/token-proxy.fish",
        )
    )


def _add_admin_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--config", metavar="FILE", type=Path, help="read admin.listen from this file"
    )
    parser.add_argument(
        "--admin",
        metavar="ADDR",
        help=f"the admin listener's address, or TOKEN_PROXY_ADMIN; else {DEFAULT_ADMIN}",
    )


def _add_status_arguments(parser: argparse.ArgumentParser) -> None:
    _add_admin_arguments(parser)
    parser.add_argument(
        "--watch", action="store_true", help="show it again every two seconds, until Ctrl-C"
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="a table, or all that is known"
    )


def _add_completion_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell it is for")
    parser.epilog = (
        f"{parser.epilog}\n\nbash, in ~/.bashrc:\n"
        f'  eval "$({PROGRAM} completion bash)"\n\n'
        "zsh, in ~/.zshrc, after compinit:\n"
        f'  eval "$({PROGRAM} completion zsh)"'
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; `argv` is without the program's name."""
    try:
        arguments = build_parser().parse_args(argv)
    except SystemExit as leaving:
        # argparse leaves by itself after --help, --version and what it cannot read.
        return leaving.code if isinstance(leaving.code, int) else ExitStatus.USAGE
    if arguments.command == "run":
        # Who starts us may stop us while we load: nothing is open yet.
        signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(ExitStatus.OK))
    try:
        execute: Callable[[argparse.Namespace], int] = import_module(arguments.module).execute
        status = execute(arguments)
        sys.stdout.flush()
    except UsageError as error:
        print(f"{PROGRAM} {arguments.command}: {error}", file=sys.stderr)
        return ExitStatus.USAGE
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return ExitStatus.CONFIGURATION
    except BrokenPipeError:
        # The reader of `schema | head` has seen enough.
        _settle_output()
        return ExitStatus.OK
    except KeyboardInterrupt:
        # SIGINT before the event loop took it over, or in a command that has none.
        is_fine = arguments.command in ENDED_BY_SIGNALS
        return ExitStatus.OK if is_fine else ExitStatus.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last line of defence; reported, not swallowed
        print(f"{PROGRAM} {arguments.command}: internal error: {_summary(error)}", file=sys.stderr)
        _settle_output()
        return ExitStatus.INTERNAL
    return int(status)


def _settle_output() -> None:
    """Write what is left, or give it up: the interpreter would try once more and say so."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _summary(error: BaseException) -> str:
    """Say what and where, but not the exception's text: foreign ones quote what they choked on."""
    # Late: only who fails has to load it.
    from proxy.telemetry.log import places  # noqa: PLC0415

    return f"{type(error).__name__} at {places(error)}"
