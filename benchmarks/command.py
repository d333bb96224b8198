"""A benchmark as a command: its options, what it needs installed, how it ends, what it prints.

What several benchmarks have is made here, so that it has one name and one meaning.
"""

from __future__ import annotations

import argparse
import json
import signal
from typing import TYPE_CHECKING, Any

from contestants import CONTESTANTS, UPSTREAMS, install_missing
from machine import versions
from report import complain
from surroundings import NotReadyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

EX_UNAVAILABLE = 69
# CPU time is counted in hundredths of a second.
SECONDS_MIN = 0.5
PEERS = ["nginx", "envoy", "token-proxy"]
"""Who takes part where nothing else is said: Go has to be installed first."""


def run(
    settings: argparse.Namespace, names: Sequence[str], measure: Callable[[argparse.Namespace], str]
) -> int:
    """Measure and print; return the exit status: 0, 69 if something needed is missing, 1, 130.

    `names` are the contestants that take part; `measure` returns what goes to standard output.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        missing = install_missing(names)
        if missing:
            complain(missing)
            return EX_UNAVAILABLE
        print(measure(settings))
    except KeyboardInterrupt:
        complain("interrupted; everything that it started has been stopped")
        return 128 + signal.SIGINT
    except (NotReadyError, OSError) as error:
        complain(str(error))
        return 1
    return 0


def options(description: str, example: str, *, seconds: float) -> argparse.ArgumentParser:
    """Return a parser with `--rounds`, `--seconds` (by default so many) and `--json`."""
    parser = argparse.ArgumentParser(description=description, epilog=f"example: {example}")
    parser.add_argument("--rounds", type=positive, default=9)
    parser.add_argument(
        "--seconds", type=_duration, default=seconds, help="of load, each time (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print every measurement")
    return parser


def add_contestants(parser: argparse.ArgumentParser) -> None:
    """Add `--only` and `--upstream`."""
    add_choice(parser, "--only", list(CONTESTANTS), PEERS)
    add_choice(parser, "--upstream", list(UPSTREAMS), list(UPSTREAMS))


def add_choice(
    parser: argparse.ArgumentParser, option: str, known: Sequence[str], usual: Sequence[str]
) -> None:
    """Add an option that takes some of the known names, divided by commas."""

    def some(text: str) -> list[str]:
        wanted = text.split(",")
        unknown = sorted(set(wanted) - set(known))
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return [name for name in known if name in wanted]

    parser.add_argument(
        option, type=some, default=usual, metavar="NAMES", help=f"some of {','.join(known)}"
    )


def positive(text: str) -> int:
    """Read a whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("should be at least 1")
    return number


def text(settings: argparse.Namespace, method: str, parts: Sequence[str]) -> str:
    """Return a report to read: the machine, how it was measured, then the parts."""
    machine = "\n".join(f"- {name}: {value}" for name, value in versions().items())
    rounds = f"{settings.rounds} rounds of {settings.seconds:g} s; {method}"
    return "\n\n".join([machine, rounds, *parts])


def document(settings: argparse.Namespace, measured: dict[str, Any]) -> str:
    """Return a report to reckon with, as JSON: the machine, the settings, what was measured."""
    used = {key: value for key, value in vars(settings).items() if key != "json"}
    return json.dumps({"versions": versions(), "settings": used, **measured}, indent=2)


def _duration(text: str) -> float:
    number = float(text)
    if not number >= SECONDS_MIN:
        raise argparse.ArgumentTypeError(f"should be at least {SECONDS_MIN}")
    return number


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C, so that what was started is stopped."""
    raise KeyboardInterrupt
