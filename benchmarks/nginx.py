"""nginx, twice: as the upstream of every contestant, and as a contestant with a static header."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from process import running
from surroundings import BODY, TOKEN, Contestant, Surroundings, found, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def upstream(folder: Path, cpus: set[int]) -> Iterator[int]:
    """Start the upstream, which wants the credential and returns a small body; yield its port."""
    server = f"""
        default_type application/json;
        location / {{
            if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}
            return 200 '{BODY}';
        }}
    """
    with _nginx(folder / "upstream", cpus, server) as (_, port):
        yield port


@contextmanager
def static_header(around: Surroundings) -> Iterator[Contestant]:
    """Start nginx with the header in its configuration: forwarding with no tokens to look after."""
    pool = f"""
        upstream upstream {{
            server 127.0.0.1:{around.upstream_port};
            keepalive 256;
            keepalive_requests 1000000000;
        }}
    """
    server = f"""
        location / {{
            proxy_pass http://upstream;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "Bearer {TOKEN}";
        }}
    """
    with _nginx(around.folder / "nginx", around.cpus, server, pool) as (pid, port):
        yield Contestant("nginx", pid, port)


@contextmanager
def _nginx(home: Path, cpus: set[int], server: str, pool: str = "") -> Iterator[tuple[int, int]]:
    """Start nginx with `server` as its server block; yield its worker's pid, and its port."""
    home.mkdir()
    # nginx can't ask the kernel for a port, but it takes over the listening sockets of a
    # predecessor, which names them in the variable NGINX: that predecessor is us.
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        listening.setblocking(False)
        port = listening.getsockname()[1]
        (home / "nginx.conf").write_text(_configuration(home, port, server, pool))
        command: list[str | Path] = [
            found("nginx"),
            "-p",
            home,
            "-e",
            home / "error.log",
            "-c",
            home / "nginx.conf",
        ]
        inherited = listening.fileno()
        with running(
            command, cpus, pass_fds=[inherited], environment={"NGINX": f"{inherited};"}
        ) as process:
            worker = wait_for("nginx", lambda: _child(process.pid), process)
            yield worker, port


def _child(pid: int) -> int | None:
    """Return the process that does nginx's work, once the one that we started has begun it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def _configuration(home: Path, port: int, server: str, pool: str) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "\n".join(f"{kind}_temp_path {home}/{kind};" for kind in kinds)
    return f"""
        daemon off;
        worker_processes 1;
        pid {home}/nginx.pid;
        events {{ worker_connections 1024; }}
        http {{
            access_log off;
            keepalive_requests 1000000000;
            {folders}
            {pool}
            server {{
                listen 127.0.0.1:{port};
                {server}
            }}
        }}
    """
