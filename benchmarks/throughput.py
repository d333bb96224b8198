"""Bytes per CPU second: large bodies down and up, to a plain and a TLS upstream.

    python benchmarks/throughput.py --rounds 9 --seconds 1

Each contestant forwards one body after another, for so many seconds, on one kept-alive connection;
the bytes of the bodies are divided by what its process used of its CPU meanwhile. As in
`compare.py` all contestants run at once, pinned to one CPU, and are loaded in turn; the client and
the upstreams share another CPU. All of them have their buffers as they come, but for nginx, which
is told to forward bodies as they arrive and not by way of a file. Nothing is asserted.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import body_upstream
import command
from contestants import CONTESTANTS, able
from process import choose_cpus, on_cpus
from report import complain, spread, table
from surroundings import (
    Surroundings,
    authorization_server,
    handshake,
    wait_until_it_forwards,
)
from transfer import DIRECTIONS, MIB, Transfers, transfer

if TYPE_CHECKING:
    from argparse import Namespace

    from surroundings import Contestant

PEERS = ("Envoy", "nginx")


@dataclass(frozen=True)
class Case:
    """One kind of upstream and one direction; `rounds` by the contestant's name."""

    kind: str
    direction: str
    handshakes: dict[str, str]
    """TLS version and cipher suite by the contestant's name; empty for a plain upstream."""
    rounds: dict[str, list[Transfers]]

    def ratios(self, name: str, peer: str) -> list[float]:
        """Return bytes per CPU second of one contestant to another's, for each round."""
        pairs = zip(self.rounds[name], self.rounds[peer], strict=True)
        return [mine.mib_per_cpu_second / theirs.mib_per_cpu_second for mine, theirs in pairs]

    @property
    def peers(self) -> list[str]:
        """Those that took part, of the ones that others are compared to."""
        return [peer for peer in PEERS if peer in self.rounds]


def main() -> int:
    """Measure and print; return the exit status."""
    parser = command.options(
        "MiB per CPU second of large bodies, down and up, beside nginx and Envoy.",
        "python benchmarks/throughput.py --rounds 3 --upstream tls --only envoy,token-proxy",
        seconds=1.0,
    )
    command.add_contestants(parser)
    parser.add_argument("--mib", type=command.positive, default=32, help="of each body (32)")
    settings = parser.parse_args()
    return command.run(settings, settings.only, _measure)


def _measure(settings: Namespace) -> str:
    contestant_cpus, other_cpus = choose_cpus()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        names, left_out = able(settings.only, folder)
        if left_out:
            complain(left_out)
        token_port = stack.enter_context(authorization_server(other_cpus))
        contestants: dict[str, list[Contestant]] = {}
        cases: list[Case] = []
        for kind in settings.upstream:
            upstream = stack.enter_context(body_upstream.upstream(folder, other_cpus, kind))
            around = Surroundings(folder, contestant_cpus, upstream, token_port)
            started = [stack.enter_context(CONTESTANTS[name](around)) for name in names]
            for contestant in started:
                wait_until_it_forwards(contestant)
            handshakes = {one.name: handshake(one) for one in started if kind == "tls"}
            cases += [
                Case(kind, direction, handshakes, {one.name: [] for one in started})
                for direction in DIRECTIONS
            ]
            contestants[kind] = started
        stack.enter_context(on_cpus(other_cpus))
        _rounds(settings, cases, contestants)
    return _as_json(settings, cases) if settings.json else _tables(settings, cases)


def _rounds(
    settings: Namespace, cases: list[Case], contestants: dict[str, list[Contestant]]
) -> None:
    for number in range(1, settings.rounds + 1):
        for case in cases:
            done = []
            for contestant in contestants[case.kind]:
                one = transfer(
                    contestant,
                    case.direction,
                    body_bytes=settings.mib * MIB,
                    seconds=settings.seconds,
                )
                case.rounds[contestant.name].append(one)
                done.append(f"{contestant.name} {one.mib_per_cpu_second:.0f}")
            line = f"round {number} of {settings.rounds}, {case.kind} {case.direction}: "
            line += f"{', '.join(done)} MiB per CPU second"
            print(line, file=sys.stderr, flush=True)


def _tables(settings: Namespace, cases: list[Case]) -> str:
    method = (
        f"bodies of {settings.mib} MiB, one at a time; median (smallest to largest); ratios are "
        "the median of each round's ratio."
    )
    parts = []
    for case in cases:
        suites = ", ".join(sorted(set(case.handshakes.values())))
        title = f"{case.direction.capitalize()}, {case.kind} upstream"
        parts.append(f"{title} ({suites})" if suites else title)
        parts.append(_table(case))
    return command.text(settings, method, parts)


def _table(case: Case) -> str:
    columns = ["", "MiB per CPU second", *(f"to {peer}" for peer in case.peers)]
    columns += ["MiB/s", "of its core", "waited", "MiB resident"]
    rows = []
    for name, rounds in case.rounds.items():
        ratios = [
            "1" if peer == name else spread(case.ratios(name, peer), ".2f") for peer in case.peers
        ]
        rows.append(
            [
                name,
                spread([one.mib_per_cpu_second for one in rounds], ".0f"),
                *ratios,
                f"{median(one.body_bytes / MIB / one.seconds for one in rounds):.0f}",
                f"{median(one.cpu_seconds / one.seconds for one in rounds):.0%}",
                f"{median(one.waited_seconds / one.seconds for one in rounds):.0%}",
                f"{max(one.resident_bytes for one in rounds) / MIB:.1f}",
            ]
        )
    return table(columns, rows)


def _as_json(settings: Namespace, cases: list[Case]) -> str:
    measured = {
        "cases": [
            {
                "upstream": case.kind,
                "direction": case.direction,
                "contestants": {
                    name: {
                        "rounds": [
                            asdict(one) | {"mib_per_cpu_second": one.mib_per_cpu_second}
                            for one in rounds
                        ],
                        "handshake": case.handshakes.get(name),
                        "ratios": {peer: case.ratios(name, peer) for peer in case.peers},
                    }
                    for name, rounds in case.rounds.items()
                },
            }
            for case in cases
        ],
    }
    return command.document(settings, measured)


if __name__ == "__main__":
    sys.exit(main())
