"""Added latency at a fixed rate: p50 and p99 through each contestant, less those without it.

    python benchmarks/latency.py --rounds 9 --seconds 3 --rate 500

A client sends small GETs at times that are fixed beforehand (`open_loop.py`), to the upstream
itself, then through nginx, Envoy, Token Proxy, and so on in turn; the pauses between requests are
part of what is measured, as they are part of a sidecar's day. What was added is the difference to
the same round's direct requests. The contestants have one CPU, client and upstream share another.
Nothing is asserted.
"""

from __future__ import annotations

import ssl
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import command
from contestants import CONTESTANTS, able, surroundings
from open_loop import CONNECTIONS, OpenLoop, percentile
from process import choose_cpus, cpu_seconds, on_cpus, resident_bytes, waited_seconds
from report import complain, spread, table
from surroundings import wait_until_it_forwards

if TYPE_CHECKING:
    from argparse import Namespace

    from surroundings import Contestant, Surroundings

DIRECT = "direct"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Round:
    """What was seen of one contestant, or of the upstream itself, in one round."""

    requests: int
    seconds: float
    p50_seconds: float
    p99_seconds: float
    largest_seconds: float
    cpu_seconds: float = 0.0
    """Of the contestant; 0 without one."""
    waited_seconds: float = 0.0
    """Ready to run, while something else had its CPU."""
    resident_bytes: int = 0


@dataclass(frozen=True)
class Way:
    """A way to the upstream, and what was measured on it."""

    client: OpenLoop
    contestant: Contestant | None
    rounds: list[Round] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As in the tables."""
        return self.contestant.name if self.contestant else DIRECT


def main() -> int:
    """Measure and print; return the exit status."""
    parser = command.options(
        "p50 and p99 at a fixed rate, through nginx, Envoy and Token Proxy, and without them.",
        "python benchmarks/latency.py --rounds 3 --upstream plain --rate 1000",
        seconds=3.0,
    )
    command.add_contestants(parser)
    parser.add_argument("--rate", type=command.positive, default=500, help="requests/s (500)")
    settings = parser.parse_args()
    return command.run(settings, settings.only, _measure)


def _measure(settings: Namespace) -> str:
    contestant_cpus, other_cpus = choose_cpus()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        names, left_out = able(settings.only, folder)
        if left_out:
            complain(left_out)
        arounds = stack.enter_context(
            surroundings(folder, contestant_cpus, other_cpus, settings.upstream)
        )
        ways: dict[str, list[Way]] = {}
        for kind, around in arounds.items():
            ways[kind] = [Way(stack.enter_context(closing(_direct(around))), None)]
            for name in names:
                contestant = stack.enter_context(CONTESTANTS[name](around))
                wait_until_it_forwards(contestant)
                client = stack.enter_context(closing(OpenLoop(contestant.port)))
                ways[kind].append(Way(client, contestant))
        stack.enter_context(on_cpus(other_cpus))
        _rounds(settings, ways)
    return _as_json(settings, ways) if settings.json else _tables(settings, ways)


def _direct(around: Surroundings) -> OpenLoop:
    authority_file = around.upstream.authority_file
    tls = ssl.create_default_context(cafile=authority_file) if authority_file else None
    return OpenLoop(around.upstream.port, tls)


def _rounds(settings: Namespace, ways: dict[str, list[Way]]) -> None:
    """Send for a second on every way to warm it up, then on each in turn, as often as asked."""
    for each in ways.values():
        for way in each:
            way.client.run(per_second=settings.rate, seconds=1)
    for number in range(1, settings.rounds + 1):
        for kind, each in ways.items():
            done = []
            for way in each:
                one = _round(way, settings)
                way.rounds.append(one)
                done.append(f"{way.name} {one.p50_seconds * 1e6:.0f}/{one.p99_seconds * 1e6:.0f}")
            line = f"round {number} of {settings.rounds}, {kind}: {', '.join(done)} µs (p50/p99)"
            print(line, file=sys.stderr, flush=True)


def _round(way: Way, settings: Namespace) -> Round:
    contestant = way.contestant
    pid = contestant.pid if contestant else None
    cpu_before, waited_before = (cpu_seconds(pid), waited_seconds(pid)) if pid else (0.0, 0.0)
    began_at = time.monotonic()
    latencies = way.client.run(per_second=settings.rate, seconds=settings.seconds)
    return Round(
        requests=len(latencies),
        seconds=time.monotonic() - began_at,
        p50_seconds=percentile(latencies, 0.5),
        p99_seconds=percentile(latencies, 0.99),
        largest_seconds=max(latencies),
        cpu_seconds=cpu_seconds(pid) - cpu_before if pid else 0.0,
        waited_seconds=waited_seconds(pid) - waited_before if pid else 0.0,
        resident_bytes=resident_bytes(pid) if pid else 0,
    )


def _added(direct: Way, way: Way, field_name: str) -> list[float]:
    """Return by how many microseconds the way is longer than the direct one, for each round."""
    pairs = zip(way.rounds, direct.rounds, strict=True)
    return [1e6 * (getattr(one, field_name) - getattr(base, field_name)) for one, base in pairs]


def _tables(settings: Namespace, ways: dict[str, list[Way]]) -> str:
    method = (
        f"{settings.rate} requests/s at fixed times, {CONNECTIONS} connections in turn; median "
        "(smallest to largest) of each round's; added: less the direct requests of the same round."
    )
    parts = []
    for kind, each in ways.items():
        parts += [f"Upstream: {kind}", _table(each)]
    return command.text(settings, method, parts)


def _table(ways: list[Way]) -> str:
    columns = ["", "p50 µs", "added p50 µs", "p99 µs", "added p99 µs", "CPU µs per request"]
    columns += ["waited", "MiB resident"]
    rows = []
    for way in ways:
        cells = [way.name]
        for field_name in ("p50_seconds", "p99_seconds"):
            cells.append(spread([1e6 * getattr(one, field_name) for one in way.rounds], ".0f"))
            added = spread(_added(ways[0], way, field_name), ".0f")
            cells.append(added if way.contestant else "")
        if way.contestant:
            cells.append(
                f"{median(1e6 * one.cpu_seconds / one.requests for one in way.rounds):.0f}"
            )
            waited = (one.waited_seconds / one.seconds for one in way.rounds)
            cells.append(f"{median(waited):.0%}")
            cells.append(f"{max(one.resident_bytes for one in way.rounds) / MIB:.1f}")
        rows.append(cells + [""] * (len(columns) - len(cells)))
    return table(columns, rows)


def _as_json(settings: Namespace, ways: dict[str, list[Way]]) -> str:
    measured = {
        "upstreams": {
            kind: {
                way.name: {
                    "rounds": [asdict(one) for one in way.rounds],
                    "added_p50_microseconds": _added(each[0], way, "p50_seconds"),
                    "added_p99_microseconds": _added(each[0], way, "p99_seconds"),
                }
                for way in each
            }
            for kind, each in ways.items()
        },
    }
    return command.document(settings, measured)


if __name__ == "__main__":
    sys.exit(main())
