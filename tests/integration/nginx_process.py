"""nginx as a proxy in a process of its own, set to change as little as its options allow.

It listens on a port of the kernel's choice, and forwards to a socket file that a test listens on.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from integration.foreign_server import STOP_SECONDS_MAX, require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """Where it listens, and the socket file it forwards to."""

    def __init__(self, port: int, upstream_path: Path) -> None:
        self.port = port
        self.upstream_path = upstream_path


@contextmanager
def run_nginx(home: Path, *, authority: str, credential: str) -> Iterator[Nginx]:
    """Run nginx in the folder `home`, whose path is short enough for a socket file.

    To its upstream it says `Host: authority` and `Authorization: credential`.
    """
    program = shutil.which("nginx", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")
    require(program, "nginx is missing: install the distribution's package")
    assert program
    upstream_path = home / "upstream.sock"
    # nginx can't ask the kernel for a port, but it takes over the listening sockets of a
    # predecessor, which names them in the variable NGINX: that predecessor is us.
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        listening.setblocking(False)
        port = listening.getsockname()[1]
        settings = home / "nginx.conf"
        settings.write_text(_settings(home, port, upstream_path, authority, credential))
        inherited = listening.fileno()
        process = subprocess.Popen(
            [program, "-p", home, "-e", home / "error.log", "-c", settings],
            env=os.environ | {"NGINX": f"{inherited};"},
            pass_fds=[inherited],
            stdin=subprocess.DEVNULL,
        )
    try:
        yield Nginx(port, upstream_path)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _settings(home: Path, port: int, upstream: Path, authority: str, credential: str) -> str:
    folders = "\n".join(f"{kind}_temp_path {home}/{kind};" for kind in TEMPORARY)
    return f"""
        daemon off;
        worker_processes 1;
        user {pwd.getpwuid(os.getuid()).pw_name} {grp.getgrgid(os.getgid()).gr_name};
        pid {home}/nginx.pid;
        events {{ worker_connections 128; }}
        http {{
            access_log off;
            {folders}
            upstream {authority} {{ server unix:{upstream}; }}
            client_max_body_size 0;
            large_client_header_buffers 8 64k;
            server_tokens off;
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://{authority};
                    proxy_http_version 1.1;
                    proxy_request_buffering off;
                    proxy_buffering off;
                    proxy_buffer_size 16k;
                    proxy_buffers 8 16k;
                    proxy_redirect off;
                    proxy_pass_request_headers on;
                    proxy_pass_header Server;
                    proxy_pass_header Date;
                    proxy_set_header Connection "";
                    proxy_set_header Authorization "{credential}";
                }}
            }}
        }}
    """
