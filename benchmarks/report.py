"""The figures of a run: medians, ratios round by round, as tables or as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from machine import versions

if TYPE_CHECKING:
    from argparse import Namespace

    from load import Round
    from token_proxy import Start

MIB = 1024 * 1024
# Whom the others are compared to, in the order of the columns.
PEERS = ("Envoy", "nginx", "Go")


@dataclass
class Comparison:
    """What was measured with one kind of upstream; everything by the contestant's name."""

    rounds: dict[str, list[Round]]
    idle_bytes: dict[str, int]
    handshakes: dict[str, str] = field(default_factory=dict)
    """TLS version and cipher suite; empty for a plain upstream."""

    def ratios(self, name: str, peer: str) -> list[float]:
        """Return CPU time per request of one contestant to another's, for each round.

        Both halves of a ratio were measured seconds apart, so that what else the machine did
        weighs on both; hence ratios first, and then their median.
        """
        pairs = zip(self.rounds[name], self.rounds.get(peer, []), strict=False)
        return [mine.microseconds / theirs.microseconds for mine, theirs in pairs]

    @property
    def peers(self) -> list[str]:
        """Those that took part, of the ones that others are compared to."""
        return [peer for peer in PEERS if peer in self.rounds]


@dataclass
class Run:
    """All that was measured; `comparisons` by the kind of upstream."""

    settings: Namespace
    left_out: str | None = None
    """A sentence on a contestant that this machine can't run."""
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    starts: list[Start] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """How many requests failed, whoever's they were."""
        return sum(
            one.errors
            for comparison in self.comparisons.values()
            for rounds in comparison.rounds.values()
            for one in rounds
        )


def tables(run: Run) -> str:
    """Return the figures as Markdown."""
    parts = [
        "\n".join(f"- {name}: {value}" for name, value in versions().items()),
        _settings(run.settings),
    ]
    for kind, comparison in run.comparisons.items():
        parts += [f"Upstream: {_upstream(kind, comparison)}", _figures(comparison)]
    if run.left_out:
        parts.append(run.left_out)
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
        "left_out": run.left_out,
        "upstreams": {
            kind: {name: _contestant(comparison, name) for name in comparison.rounds}
            for kind, comparison in run.comparisons.items()
        },
        "starts": [
            asdict(start) | {"half_core_seconds": start.half_core_seconds} for start in run.starts
        ],
    }
    return json.dumps(document, indent=2)


def _contestant(comparison: Comparison, name: str) -> dict[str, Any]:
    return {
        "rounds": [
            asdict(one) | {"microseconds_per_request": one.microseconds}
            for one in comparison.rounds[name]
        ],
        "resident_idle_bytes": comparison.idle_bytes[name],
        "handshake": comparison.handshakes.get(name),
        "ratios": {peer: comparison.ratios(name, peer) for peer in comparison.peers},
    }


def _settings(settings: Namespace) -> str:
    return (
        f"{settings.rounds} rounds of {settings.seconds:g} s, {settings.connections} connections; "
        "median (smallest to largest); ratios are the median of each round's ratio."
    )


def _upstream(kind: str, comparison: Comparison) -> str:
    """Return the kind, and what was negotiated: once, or by name where contestants differ."""
    negotiated = set(comparison.handshakes.values())
    if len(negotiated) == 1:
        return f"{kind} (all with {negotiated.pop()})"
    differing = ", ".join(f"{name} with {how}" for name, how in comparison.handshakes.items())
    return f"{kind} ({differing})" if differing else kind


def _figures(comparison: Comparison) -> str:
    peers = comparison.peers
    columns = ["", "CPU µs per request", *(f"to {peer}" for peer in peers)]
    columns += ["requests/s", "of its core", "waited", "MiB idle", "MiB under load"]
    return table(columns, [_row(comparison, name) for name in comparison.rounds])


def _row(comparison: Comparison, name: str) -> list[str]:
    rounds = comparison.rounds[name]
    ratios = [
        "1" if peer == name else spread(comparison.ratios(name, peer), ".2f")
        for peer in comparison.peers
    ]
    return [
        name,
        spread([one.microseconds for one in rounds], ".1f"),
        *ratios,
        f"{median(one.requests / one.seconds for one in rounds):.0f}",
        f"{median(one.cpu_seconds / one.seconds for one in rounds):.0%}",
        f"{median(one.waited_seconds / one.seconds for one in rounds):.0%}",
        f"{comparison.idle_bytes[name] / MIB:.1f}",
        f"{max(one.resident_bytes for one in rounds) / MIB:.1f}",
    ]


def _starts(starts: list[Start]) -> str:
    first, *later = starts
    lines = [f"its first start, which compiles the byte code: {_start([first])}"]
    if later:
        lines.append(f"later ones: {_start(later)}")
    return "Token Proxy, from exec until it listens\n\n" + "\n".join(f"- {line}" for line in lines)


def _start(starts: list[Start]) -> str:
    wall = spread([start.wall_seconds for start in starts], ".2f")
    cpu = spread([start.cpu_seconds for start in starts], ".2f")
    half = spread([start.half_core_seconds for start in starts], ".2f")
    return f"{wall} s, {cpu} s of it CPU time; with half a core {half} s"


def spread(values: list[float], form: str) -> str:
    """Return the median, with the smallest and the largest if there are several, as text."""
    if len(values) == 1:
        return f"{values[0]:{form}}"
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table, its columns aligned; all but the first hold numbers."""
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
