"""One round of load: wrk against one contestant, and what the contestant used meanwhile."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from process import cpu_seconds, resident_bytes, running, waited_seconds
from surroundings import PATH, Contestant, NotReadyError, found

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Round:
    """What one contestant did in one round."""

    requests: int
    errors: int
    """Answers other than 2xx and 3xx, and failures of sockets."""
    seconds: float
    cpu_seconds: float
    waited_seconds: float
    """Ready to run, while something else had its CPU: how much of it is not the contestant's."""
    resident_bytes: int
    """In the middle of the round, under load."""

    @property
    def microseconds(self) -> float:
        """CPU time of the contestant per request."""
        return self.cpu_seconds / self.requests * 1e6


def load(contestant: Contestant, cpus: set[int], *, seconds: float, connections: int) -> Round:
    """Send small GETs over kept-alive connections, each as soon as the last one is answered."""
    command: list[str | Path] = [found("wrk"), "--threads", "1", "--connections", str(connections)]
    # wrk takes whole seconds.
    command += ["--duration", f"{max(1, round(seconds))}s"]
    command += [f"http://127.0.0.1:{contestant.port}{PATH}"]
    pid = contestant.pid
    began_at, cpu_before, waited_before = time.monotonic(), cpu_seconds(pid), waited_seconds(pid)
    with running(command, cpus, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as wrk:
        time.sleep(seconds / 2)
        resident = resident_bytes(pid)
        report = wrk.communicate()[0].decode()
    used, waited = cpu_seconds(pid) - cpu_before, waited_seconds(pid) - waited_before
    took = time.monotonic() - began_at
    requests = re.search(r"(\d+) requests in", report)
    if not requests or not int(requests[1]):
        raise NotReadyError(f"wrk completed nothing against {contestant.name}: {report}")
    return Round(
        requests=int(requests[1]),
        errors=_errors(report),
        seconds=took,
        cpu_seconds=used,
        waited_seconds=waited,
        resident_bytes=resident,
    )


def _errors(report: str) -> int:
    lines = re.findall(r"(?:Non-2xx or 3xx responses|Socket errors):(.*)", report)
    return sum(int(count) for line in lines for count in re.findall(r"\d+", line))
