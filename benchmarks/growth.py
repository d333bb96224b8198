"""What a request costs, and what is held, as upstreams and audiences grow in number.

    python benchmarks/growth.py --rounds 9 --seconds 3

One Token Proxy for each count, with so many upstreams and as many audiences: upstream `u0001` has
`match.path: /u0001`, a token of its own and connections of its own. All run at once, pinned to one
CPU, and are loaded in turn by wrk, which asks

- one upstream only: what does it cost that there are others?
- all of them, one after another, so that each of the connections to them has its turn.

Ratios to the first count are made round by round. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import command
from many_upstreams import ask_each, path_of, proxy_with, upstreams
from process import choose_cpus, cpu_seconds, resident_bytes, running, waited_seconds
from report import spread, table
from surroundings import NotReadyError, authorization_server, found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from surroundings import Contestant

MIB = 1024 * 1024
SETTLE_SECONDS = 2
ASKED = ("one", "all")


@dataclass(frozen=True)
class Round:
    """What one proxy did in one round."""

    requests: int
    seconds: float
    cpu_seconds: float
    waited_seconds: float
    """Ready to run, while something else had its CPU."""
    resident_bytes: int

    @property
    def microseconds(self) -> float:
        """CPU time of the proxy per request."""
        return self.cpu_seconds / self.requests * 1e6


@dataclass(frozen=True)
class Size:
    """A proxy with `count` upstreams and audiences, and what was measured."""

    count: int
    proxy: Contestant
    scripts: dict[str, Path]
    """What tells wrk which upstreams to ask, by `ASKED`."""
    idle_bytes: int
    """Resident when each upstream has had one request."""
    rounds: dict[str, list[Round]] = field(default_factory=lambda: {asked: [] for asked in ASKED})


def main() -> int:
    """Measure and print; return the exit status."""
    parser = command.options(
        "CPU time per request and memory, with ever more upstreams and audiences.",
        "python benchmarks/growth.py --rounds 3 --seconds 1 --counts 1,1000",
        seconds=3.0,
    )
    parser.add_argument("--counts", type=_counts, default=[1, 10, 100, 1000], metavar="NUMBERS")
    parser.add_argument("--connections", type=command.positive, default=32, help="of wrk (32)")
    return command.run(parser.parse_args(), ["token-proxy"], _measure)


def _counts(text: str) -> list[int]:
    counts = [command.positive(each) for each in text.split(",")]
    if max(counts) > 9999:
        raise argparse.ArgumentTypeError("at most 9999")
    return counts


def _measure(settings: argparse.Namespace) -> str:
    proxy_cpus, other_cpus = choose_cpus()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        token_port = stack.enter_context(authorization_server(other_cpus))
        sizes = []
        for count in settings.counts:
            origins = stack.enter_context(upstreams(folder, other_cpus, count))
            home = Path(tempfile.mkdtemp(prefix=f"growth-{count}-", dir=folder))
            proxy = stack.enter_context(
                proxy_with(count, origins, token_port, home=home, cpus=proxy_cpus)
            )
            ask_each(proxy, count)
            time.sleep(SETTLE_SECONDS)
            scripts = {"one": _script(home, 1), "all": _script(home, count)}
            sizes.append(Size(count, proxy, scripts, resident_bytes(proxy.pid)))
        _rounds(settings, sizes, other_cpus)
    return _as_json(settings, sizes) if settings.json else _tables(settings, sizes)


def _script(home: Path, count: int) -> Path:
    """Write a script for wrk that asks the first so many upstreams in turn."""
    script = home / f"{count}_in_turn.lua"
    paths = ", ".join(f'"{path_of(number)}"' for number in range(1, count + 1))
    script.write_text(
        f"""
        local paths = {{ {paths} }}
        local requests, at = {{}}, 0
        function init()
            for number, path in ipairs(paths) do
                requests[number] = wrk.format("GET", path)
            end
        end
        function request()
            at = at % #requests + 1
            return requests[at]
        end
        """
    )
    return script


def _rounds(settings: argparse.Namespace, sizes: Sequence[Size], cpus: set[int]) -> None:
    """Load every proxy once to warm it up, then in turn, as often as asked."""
    for size in sizes:
        _load(settings, size, "all", cpus)
    for number in range(1, settings.rounds + 1):
        for asked in ASKED:
            for size in sizes:
                size.rounds[asked].append(_load(settings, size, asked, cpus))
            done = [f"{size.count}: {size.rounds[asked][-1].microseconds:.1f}" for size in sizes]
            line = f"round {number} of {settings.rounds}, {asked} asked of {', '.join(done)} µs"
            print(line, file=sys.stderr, flush=True)


def _load(settings: argparse.Namespace, size: Size, asked: str, cpus: set[int]) -> Round:
    """Load one proxy. Raises `NotReadyError` when a request fails."""
    # wrk takes whole seconds.
    seconds = max(1, round(settings.seconds))
    command_line: list[str | Path] = [found("wrk"), "--threads", "1"]
    command_line += ["--script", size.scripts[asked]]
    command_line += ["--connections", str(settings.connections), "--duration", f"{seconds}s"]
    command_line += [f"http://127.0.0.1:{size.proxy.port}"]
    pid = size.proxy.pid
    began_at, cpu_before, waited_before = time.monotonic(), cpu_seconds(pid), waited_seconds(pid)
    with running(command_line, cpus, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as wrk:
        report = wrk.communicate()[0].decode()
    used, waited = cpu_seconds(pid) - cpu_before, waited_seconds(pid) - waited_before
    took = time.monotonic() - began_at
    requests = re.search(r"(\d+) requests in", report)
    if not requests or not int(requests[1]) or re.search(r"Non-2xx|Socket errors", report):
        raise NotReadyError(f"wrk against {size.count} upstreams: {report}")
    return Round(int(requests[1]), took, used, waited, resident_bytes(pid))


def _ratios(size: Size, first: Size, asked: str) -> list[float]:
    """Return the CPU time per request to that of the first, for each round."""
    pairs = zip(size.rounds[asked], first.rounds[asked], strict=True)
    return [one.microseconds / base.microseconds for one, base in pairs]


def _tables(settings: argparse.Namespace, sizes: Sequence[Size]) -> str:
    method = (
        f"{settings.connections} connections; median (smallest to largest); ratios are the median "
        "of each round's ratio."
    )
    parts = []
    for asked in ASKED:
        parts += [f"Asked: {asked} of the upstreams", _costs(sizes, asked)]
    parts += ["Memory, when each upstream has had its token and a connection", _memory(sizes)]
    return command.text(settings, method, parts)


def _costs(sizes: Sequence[Size], asked: str) -> str:
    first = sizes[0]
    columns = ["upstreams and audiences", "CPU µs per request", f"to {first.count}"]
    columns += ["requests/s", "of its core", "waited"]
    rows = []
    for size in sizes:
        rounds = size.rounds[asked]
        rows.append(
            [
                str(size.count),
                spread([one.microseconds for one in rounds], ".1f"),
                "1" if size is first else spread(_ratios(size, first, asked), ".2f"),
                f"{median(one.requests / one.seconds for one in rounds):.0f}",
                f"{median(one.cpu_seconds / one.seconds for one in rounds):.0%}",
                f"{median(one.waited_seconds / one.seconds for one in rounds):.0%}",
            ]
        )
    return table(columns, rows)


def _memory(sizes: Sequence[Size]) -> str:
    first = sizes[0]
    rows = []
    for size in sizes:
        largest = max(one.resident_bytes for rounds in size.rounds.values() for one in rounds)
        more, bytes_more = size.count - first.count, size.idle_bytes - first.idle_bytes
        each = f"{bytes_more / more / 1024:.1f}" if more > 0 else ""
        rows.append([str(size.count), f"{size.idle_bytes / MIB:.1f}", f"{largest / MIB:.1f}", each])
    columns = ["upstreams and audiences", "MiB idle", "MiB under load", "KiB for each more"]
    return table(columns, rows)


def _as_json(settings: argparse.Namespace, sizes: Sequence[Size]) -> str:
    measured = {
        "sizes": [
            {
                "count": size.count,
                "resident_idle_bytes": size.idle_bytes,
                "asked": {
                    asked: {
                        "rounds": [
                            asdict(one) | {"microseconds_per_request": one.microseconds}
                            for one in rounds
                        ],
                        "ratios": _ratios(size, sizes[0], asked),
                    }
                    for asked, rounds in size.rounds.items()
                },
            }
            for size in sizes
        ],
    }
    return command.document(settings, measured)


if __name__ == "__main__":
    sys.exit(main())
