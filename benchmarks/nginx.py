"""nginx, twice: as the upstream of every contestant, and as a contestant with a static header."""

from __future__ import annotations

import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from certificate import SERVER_NAME, issue
from process import running
from surroundings import (
    BODY,
    HANDSHAKE_PATH,
    TOKEN,
    Contestant,
    Surroundings,
    Upstream,
    found,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Left to themselves the contestants' libraries prefer different ones. This one every TLS 1.3
# implementation has to have (RFC 8446, section 9.1).
CIPHER_SUITE = "TLS_AES_128_GCM_SHA256"


@contextmanager
def upstream(
    folder: Path, cpus: set[int], kind: str = "plain", locations: str = ""
) -> Iterator[Upstream]:
    """Start the upstream, which wants the credential and returns a small body.

    `kind` is "plain" or "tls": TLS 1.3 with a certificate of an authority made for this run.
    `locations` are further blocks of nginx's configuration.
    """
    home = Path(tempfile.mkdtemp(prefix=f"upstream-{kind}-", dir=folder))
    certificate = issue(home) if kind == "tls" else None
    server = f"""
        {_tls(certificate.server_file) if certificate else ""}
        default_type application/json;
        if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}
        location / {{ return 200 '{BODY}'; }}
        location = {HANDSHAKE_PATH} {{ return 200 '$ssl_protocol $ssl_cipher'; }}
        {locations}
    """
    with _nginx(home, cpus, server, listen="ssl" if certificate else "") as (_, port):
        yield Upstream(port, certificate.authority_file if certificate else None)


def _tls(server_file: Path) -> str:
    return f"""
        ssl_certificate {server_file};
        ssl_certificate_key {server_file};
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites {CIPHER_SUITE};
    """


@contextmanager
def static_header(around: Surroundings) -> Iterator[Contestant]:
    """Start nginx with the header in its configuration: forwarding with no tokens to look after."""
    home = Path(tempfile.mkdtemp(prefix="nginx-", dir=around.folder))
    pool = f"""
        upstream upstream {{
            server 127.0.0.1:{around.upstream.port};
            keepalive 256;
            keepalive_requests 1000000000;
            keepalive_timeout 1h;
        }}
    """
    # Bodies are forwarded as they come, like the others do it, not by way of a file.
    server = f"""
        location / {{
            proxy_pass {"https" if around.upstream.authority_file else "http"}://upstream;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "Bearer {TOKEN}";
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            {_verification(around.upstream.authority_file)}
        }}
    """
    with _nginx(home, around.cpus, server, pool) as (pid, port):
        yield Contestant("nginx", pid, port)


def _verification(authority_file: Path | None) -> str:
    if authority_file is None:
        return ""
    return f"""
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {authority_file};
            proxy_ssl_name {SERVER_NAME};
            proxy_ssl_server_name on;
            proxy_ssl_session_reuse on;
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
    """


@contextmanager
def _nginx(
    home: Path, cpus: set[int], server: str, pool: str = "", listen: str = ""
) -> Iterator[tuple[int, int]]:
    """Start nginx with `server` as its server block; yield its worker's pid, and its port."""
    # nginx can't ask the kernel for a port, but it takes over the listening sockets of a
    # predecessor, which names them in the variable NGINX: that predecessor is us.
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        listening.setblocking(False)
        port = listening.getsockname()[1]
        listen = f"127.0.0.1:{port} {listen}"
        (home / "nginx.conf").write_text(_configuration(home, listen, server, pool))
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


def _configuration(home: Path, listen: str, server: str, pool: str) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "\n".join(f"{kind}_temp_path {home}/{kind};" for kind in kinds)
    # No connection is closed for its age or its idleness between two rounds.
    return f"""
        daemon off;
        worker_processes 1;
        pid {home}/nginx.pid;
        events {{ worker_connections 1024; }}
        http {{
            access_log off;
            client_max_body_size 0;
            keepalive_requests 1000000000;
            keepalive_timeout 1h;
            {folders}
            {pool}
            server {{
                listen {listen};
                {server}
            }}
        }}
    """
