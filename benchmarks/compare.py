"""`make bench`: CPU time per forwarded request, beside nginx, Envoy and Go on the same upstreams.

    python benchmarks/compare.py --rounds 9 --seconds 3

All contestants run at once, each kind once for a plain upstream and once for one with TLS, pinned
to one CPU, and are loaded in turn: nginx, Go, Envoy, Token Proxy, nginx, and so on. What else the
machine does in those minutes so falls on all of them, and ratios hold where microseconds do not.
wrk, the upstreams and the authorization server share another CPU. Nothing is asserted;
docs/performance.md explains how to read the tables.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import command
import token_proxy
from contestants import CONTESTANTS, UPSTREAMS, able, surroundings
from load import load
from process import choose_cpus, resident_bytes
from report import Comparison, Run, as_json, complain, tables
from surroundings import handshake, wait_until_it_forwards

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from surroundings import Contestant, Surroundings

SETTLE_SECONDS = 2


def main() -> int:
    """Run the comparison; return the exit status: 0, 69 if something needed is missing, 1, 130."""
    settings = _arguments()
    errors = 0

    def measure(settings: argparse.Namespace) -> str:
        nonlocal errors
        run = _compare(settings)
        errors = run.errors
        return as_json(run) if settings.json else tables(run)

    return command.run(settings, settings.only, measure) or int(bool(errors))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="CPU time per forwarded request, beside nginx, Envoy and Go.",
        epilog="example: make bench ARGS='--rounds 3 --seconds 1 --upstream tls'",
    )
    parser.add_argument("--rounds", type=command.positive, default=9)
    parser.add_argument("--seconds", type=command.positive, default=3, help="of load, each round")
    parser.add_argument(
        "--connections", type=command.positive, default=32, help="kept alive by wrk"
    )
    parser.add_argument("--starts", type=int, default=6, help="how often to time a start")
    for option, known in (("--only", list(CONTESTANTS)), ("--upstream", list(UPSTREAMS))):
        command.add_choice(parser, option, known, known)
    parser.add_argument("--json", action="store_true", help="print every measurement")
    return parser.parse_args()


def _compare(settings: argparse.Namespace) -> Run:
    contestant_cpus, other_cpus = choose_cpus()
    if contestant_cpus == other_cpus:
        complain("there is one CPU only: the load shares it with the contestants")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        names, left_out = able(settings.only, folder)
        if left_out:
            complain(left_out)
        arounds = stack.enter_context(
            surroundings(folder, contestant_cpus, other_cpus, settings.upstream)
        )
        run = Run(settings, left_out)
        if "token-proxy" in names:
            first = next(iter(arounds.values()))
            run.starts = [token_proxy.measure_start(first) for _ in range(settings.starts)]
        contestants = {
            kind: [stack.enter_context(CONTESTANTS[name](around)) for name in names]
            for kind, around in arounds.items()
        }
        _make_ready(run, contestants, arounds)
        _rounds(run, contestants, other_cpus)
    return run


def _make_ready(
    run: Run, contestants: Mapping[str, Sequence[Contestant]], arounds: Mapping[str, Surroundings]
) -> None:
    """Wait until all of them forward; note what they use at rest, and how they are connected."""
    for each in contestants.values():
        for contestant in each:
            wait_until_it_forwards(contestant)
    time.sleep(SETTLE_SECONDS)
    for kind, each in contestants.items():
        idle = {one.name: resident_bytes(one.pid) for one in each}
        run.comparisons[kind] = Comparison({one.name: [] for one in each}, idle)
    for kind, each in contestants.items():
        if arounds[kind].upstream.authority_file:
            run.comparisons[kind].handshakes = {one.name: handshake(one) for one in each}


def _rounds(run: Run, contestants: Mapping[str, Sequence[Contestant]], load_cpus: set[int]) -> None:
    """Load every contestant once to warm it up, then in turn, as often as asked."""
    settings = run.settings
    for each in contestants.values():
        for contestant in each:
            load(contestant, load_cpus, seconds=1, connections=settings.connections)
    for number in range(1, settings.rounds + 1):
        for kind, each in contestants.items():
            done = []
            for contestant in each:
                one = load(
                    contestant,
                    load_cpus,
                    seconds=settings.seconds,
                    connections=settings.connections,
                )
                run.comparisons[kind].rounds[contestant.name].append(one)
                done.append(f"{contestant.name} {one.microseconds:.1f}")
            line = f"round {number} of {settings.rounds}, {kind}: {', '.join(done)} µs per request"
            print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
