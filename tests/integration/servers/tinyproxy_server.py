"""tinyproxy as an egress proxy, on loopback.

The first line of standard input is its settings, as JSON:

- `port`: number; 0 lets us choose
- `folder`: where its files lie; `tinyproxy.log` in it has a line for each request
- `connect_ports`: which ports CONNECT may go to; none: any
- `filtered`: hosts that it refuses, as extended regular expressions
- `basic_auth`: `[name, password]`, when it is to ask for them

It answers with one line on standard output, `{"port": N}`, and ends when standard input does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from daemon import running, serve_until_standard_input_ends


def write_settings(file: Path, wanted: dict[str, Any], port: int) -> None:
    filtered = file.with_name("filtered")
    filtered.write_text("".join(f"{each}\n" for each in wanted.get("filtered", [])))
    lines = [
        f"Port {port}",
        "Listen 127.0.0.1",
        "Allow 127.0.0.1",
        "LogLevel Info",
        "MaxClients 50",
        "Timeout 60",
        f'Filter "{filtered}"',
        "FilterType ere",
        *(f"ConnectPort {each}" for each in wanted.get("connect_ports", [])),
    ]
    if "basic_auth" in wanted:
        lines.append("BasicAuth {} {}".format(*wanted["basic_auth"]))
    file.write_text("\n".join([*lines, ""]))


def main() -> None:
    wanted = json.loads(sys.stdin.readline())
    folder = Path(wanted["folder"])
    file = folder / "tinyproxy.conf"

    def command(port: int) -> list[str]:
        write_settings(file, wanted, port)
        return ["tinyproxy", "-d", "-c", str(file)]

    log, ready = folder / "tinyproxy.log", "Accepting connections"
    with running(command, port=wanted["port"], log=log, ready=ready) as port:
        serve_until_standard_input_ends(port)


if __name__ == "__main__":
    main()
