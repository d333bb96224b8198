"""The certificate of the TLS upstream, and the authority that vouches for it: made for one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path

SERVER_NAME = "orders.example.com"
"""The name in the certificate; contestants are told to ask for it and to verify it."""


@dataclass(frozen=True)
class Certificate:
    """Two PEM files; the keys are on the curve P-256."""

    authority_file: Path
    """For the contestants: the only authority to believe."""
    server_file: Path
    """For the upstream: its certificate with its key."""


def issue(folder: Path) -> Certificate:
    """Make an authority and a certificate for `SERVER_NAME`; write both into the folder."""
    certificate = Certificate(folder / "authority.pem", folder / "server.pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(certificate.authority_file)
    key_and_chain = authority.issue_cert(SERVER_NAME).private_key_and_cert_chain_pem
    key_and_chain.write_to_path(certificate.server_file)
    return certificate
