"""The figures of a run: medians, ratios round by round, as tables or as JSON."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from surroundings import found

if TYPE_CHECKING:
    from argparse import Namespace

    from load import Round
    from token_proxy import Start

MIB = 1024 * 1024
PEERS = ("Envoy", "nginx")


@dataclass
class Run:
    """All that was measured. `rounds` and `idle_bytes` by the contestant's name."""

    settings: Namespace
    rounds: dict[str, list[Round]]
    idle_bytes: dict[str, int]
    starts: list[Start]

    def ratios(self, name: str, peer: str) -> list[float]:
        """Return CPU time per request of one contestant to another's, for each round.

        Both halves of a ratio were measured seconds apart, so that what else the machine did
        weighs on both; hence ratios first, and then their median.
        """
        pairs = zip(self.rounds[name], self.rounds.get(peer, []), strict=False)
        return [mine.microseconds / theirs.microseconds for mine, theirs in pairs]

    @property
    def errors(self) -> int:
        """How many requests failed, whoever's they were."""
        return sum(one.errors for rounds in self.rounds.values() for one in rounds)


def tables(run: Run) -> str:
    """Return the figures as Markdown."""
    peers = [peer for peer in PEERS if peer in run.rounds]
    columns = ["", "CPU µs per request", *(f"to {peer}" for peer in peers)]
    columns += ["requests/s", "of its core", "MiB idle", "MiB under load"]
    rows = [_row(run, name, peers) for name in run.rounds]
    parts = [
        "\n".join(f"- {name}: {value}" for name, value in versions().items()),
        _settings(run.settings),
        _table(columns, rows),
    ]
    if run.starts:
        parts.append(_starts(run.starts))
    if run.errors:
        parts.append(f"{run.errors} requests failed: these figures say nothing.")
    return "\n\n".join(parts)


def as_json(run: Run) -> str:
    """Return every single measurement, and the machine, as JSON."""
    document: dict[str, Any] = {
        "versions": versions(),
        "settings": {key: value for key, value in vars(run.settings).items() if key != "json"},
        "contestants": {
            name: {
                "rounds": [
                    asdict(one) | {"microseconds_per_request": one.microseconds} for one in rounds
                ],
                "resident_idle_bytes": run.idle_bytes[name],
                "ratios": {peer: run.ratios(name, peer) for peer in PEERS if peer in run.rounds},
            }
            for name, rounds in run.rounds.items()
        },
        "starts": [
            asdict(start) | {"half_core_seconds": start.half_core_seconds} for start in run.starts
        ],
    }
    return json.dumps(document, indent=2)


def versions() -> dict[str, str]:
    """Return what the figures depend on."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    libraries = []
    for name in ("aiohttp", "httptools", "uvloop"):
        try:
            libraries.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            libraries.append(f"no {name}")
    return {
        "processor": processor[1] if processor else platform.machine(),
        "kernel": platform.release(),
        "Python": f"{platform.python_version()}, {', '.join(libraries)}",
        "nginx": _said("nginx", "-v", r"nginx/(\S+)"),
        "Envoy": _said("envoy", "--version", r"version: \S*?/([\d.]+)"),
        "wrk": _said("wrk", "--version", r"wrk (?:debian/)?(\S+)"),
    }


def _said(program: str, flag: str, pattern: str) -> str:
    answer = subprocess.run([found(program), flag], capture_output=True, check=False, text=True)
    match = re.search(pattern, answer.stdout + answer.stderr)
    return match[1] if match else "unknown"


def _settings(settings: Namespace) -> str:
    return (
        f"{settings.rounds} rounds of {settings.seconds:g} s, {settings.connections} connections; "
        "median (smallest to largest); ratios are the median of each round's ratio."
    )


def _row(run: Run, name: str, peers: list[str]) -> list[str]:
    rounds = run.rounds[name]
    return [
        name,
        _spread([one.microseconds for one in rounds], ".1f"),
        *("1" if peer == name else _spread(run.ratios(name, peer), ".2f") for peer in peers),
        f"{median(one.requests / one.seconds for one in rounds):.0f}",
        f"{median(one.cpu_seconds / one.seconds for one in rounds):.0%}",
        f"{run.idle_bytes[name] / MIB:.1f}",
        f"{max(one.resident_bytes for one in rounds) / MIB:.1f}",
    ]


def _starts(starts: list[Start]) -> str:
    first, *later = starts
    lines = [f"its first start, which compiles the byte code: {_start([first])}"]
    if later:
        lines.append(f"later ones: {_start(later)}")
    return "Token Proxy, from exec until it listens\n\n" + "\n".join(f"- {line}" for line in lines)


def _start(starts: list[Start]) -> str:
    wall = _spread([start.wall_seconds for start in starts], ".2f")
    cpu = _spread([start.cpu_seconds for start in starts], ".2f")
    half = _spread([start.half_core_seconds for start in starts], ".2f")
    return f"{wall} s, {cpu} s of it CPU time; with half a core {half} s"


def _spread(values: list[float], form: str) -> str:
    if len(values) == 1:
        return f"{values[0]:{form}}"
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    rule = ["-" * (widths[0]), *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [columns, rule, *rows]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    )


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    print(f"bench: {message}", file=sys.stderr)
