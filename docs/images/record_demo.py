"""Make docs/images/dashboard.png from two demonstrations and a real Prometheus; two minutes.

    uv run --no-project --with matplotlib python docs/images/record_demo.py

Run it in the repository after `make demo ARGS=--once`, with Debian's package `prometheus` there.
One demonstration stays healthy; the other one loses its authorization server, recovers, is started
anew, and loses it again. Both are called ten times a second. The picture is that of the moment when
the second outage has cost callers their first requests.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv" / "bin" / "token-proxy"
STEADY_SECONDS = 25
PAUSE_SECONDS = 0.1
wall = time.time  # noqa: TID251 - Prometheus is asked by the wall clock
CONFIGURATION = """
global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: token-proxy, file_sd_configs: [{{files: ["{targets}"]}}]}}]
"""


class Demonstration:
    """`token-proxy demo` as a process, and a caller of it."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [PROGRAM, "demo", *arguments], stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self.proxy = self._address("proxy")
        self.metrics = self._address("status")
        self._ended = threading.Event()
        self._caller = threading.Thread(target=self._call)
        self._caller.start()

    def wait_for(self, heading: str) -> str:
        """Return the line that begins with a heading, once it is printed."""
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(heading):
                return line
        raise RuntimeError(f"the demonstration ended before its {heading}")

    def stop(self) -> None:
        """End the calls, then the process."""
        self._ended.set()
        self._caller.join()
        self._process.terminate()
        self._process.wait()

    def _address(self, heading: str) -> str:
        found = re.search(r"http://\S+", self.wait_for(heading))
        assert found
        return urlsplit(found[0]).netloc

    def _call(self) -> None:
        connection = http.client.HTTPConnection(self.proxy)
        while not self._ended.wait(PAUSE_SECONDS):
            connection.request("GET", "/hello")
            connection.getresponse().read()
        connection.close()


@contextlib.contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """Run one that scrapes what `targets.json` in the folder names; give its URL."""
    file = folder / "prometheus.yml"
    file.write_text(CONFIGURATION.format(targets=folder / "targets.json"))
    process = subprocess.Popen(  # noqa: S603 - as the distribution has it
        [
            *("prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"),
            "--web.listen-address=127.0.0.1:0",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    lines = iter(process.stderr)
    listening = next(line for line in lines if '"Listening on"' in line)
    drain = threading.Thread(target=lambda: [*lines])
    drain.start()
    try:
        yield "http://" + listening.rpartition("address=")[2].strip()
    finally:
        process.terminate()
        process.wait()
        drain.join()


def name_targets(folder: Path, *demonstrations: Demonstration) -> None:
    """Have them scraped as `demo-1` and so on, wherever they listen."""
    targets = [
        {"targets": [each.metrics], "labels": {"instance": f"demo-{number}"}}
        for number, each in enumerate(demonstrations, 1)
    ]
    new = folder / "targets.new"
    new.write_text(json.dumps(targets))
    new.rename(folder / "targets.json")


def main() -> None:
    """Let it happen, then have it drawn."""
    healthy, failing = Demonstration(), Demonstration("--outage")
    try:
        with tempfile.TemporaryDirectory() as name, prometheus(folder := Path(name)) as url:
            begun_at = wall()
            name_targets(folder, healthy, failing)
            failing.wait_for("recovery")
            time.sleep(STEADY_SECONDS)
            failing.stop()
            failing = Demonstration("--outage")
            name_targets(folder, healthy, failing)
            failing.wait_for("recovery")
            ended_at = wall()
            script = Path(__file__).with_name("draw_dashboard.py")
            arguments = [url, str(ended_at), str(int(ended_at - begun_at) - 6)]
            subprocess.run([sys.executable, script, *arguments], check=True)  # noqa: S603 - our own
    finally:
        failing.stop()
        healthy.stop()


if __name__ == "__main__":
    main()
