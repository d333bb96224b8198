"""The upstream of large bodies, as a process: `body_server.py`, with or without TLS."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from certificate import issue
from nginx import CIPHER_SUITE
from process import running
from surroundings import BODY, PATH, TOKEN, Upstream, printed_port

if TYPE_CHECKING:
    from collections.abc import Iterator

# Python cannot choose a cipher suite of TLS 1.3; OpenSSL's own configuration can.
OPENSSL_CONFIGURATION = f"""
openssl_conf = all
[all]
ssl_conf = tls
[tls]
system_default = one_suite
[one_suite]
MinProtocol = TLSv1.3
Ciphersuites = {CIPHER_SUITE}
"""


@contextmanager
def upstream(folder: Path, cpus: set[int], kind: str = "plain") -> Iterator[Upstream]:
    """Start it; `kind` is "plain" or "tls", as with `nginx.upstream`."""
    home = Path(tempfile.mkdtemp(prefix=f"bodies-{kind}-", dir=folder))
    configuration = home / "openssl.cnf"
    configuration.write_text(OPENSSL_CONFIGURATION)
    command: list[str | Path] = [sys.executable, Path(__file__).with_name("body_server.py")]
    command += ["--token", TOKEN, "--path", PATH, "--body", BODY]
    certificate = issue(home) if kind == "tls" else None
    if certificate:
        command += ["--certificate", certificate.server_file]
    with running(
        command, cpus, stdout=subprocess.PIPE, environment={"OPENSSL_CONF": str(configuration)}
    ) as process:
        port = printed_port("the upstream of large bodies", process)
        yield Upstream(port, certificate.authority_file if certificate else None)
