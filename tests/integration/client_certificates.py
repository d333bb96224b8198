"""Certificates that clients show at the token endpoint (RFC 8705), and how a server knows them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc.jwk import ECKey

if TYPE_CHECKING:
    import trustme


@dataclass(frozen=True)
class ClientCertificate:
    chain: str
    """PEM, the certificate itself first."""
    key: str
    """PEM."""

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.chain.encode())

    @property
    def subject(self) -> str:
        """What is registered as `tls_client_auth_subject_dn` (RFC 4514)."""
        return self.certificate.subject.rfc4514_string()

    @property
    def thumbprint(self) -> str:
        """What a token that is bound to it holds as `cnf.x5t#S256` (RFC 8705 §3.1)."""
        digest = hashlib.sha256(self.certificate.public_bytes(Encoding.DER)).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    @property
    def jwk(self) -> dict[str, Any]:
        """What is registered for `self_signed_tls_client_auth` (RFC 8705 §2.2.2)."""
        key = ECKey.import_key(load_pem_private_key(self.key.encode(), None))
        der = self.certificate.public_bytes(Encoding.DER)
        return key.as_dict(private=False) | {"x5c": [base64.b64encode(der).decode()]}


def issued(authority: trustme.CA, name: str) -> ClientCertificate:
    """Return a certificate of `authority` for `name`, which is its DNS name and in its subject."""
    leaf = authority.issue_cert(
        name, common_name=name, organization_name="Orders", organization_unit_name="Billing"
    )
    chain = "".join(part.bytes().decode() for part in leaf.cert_chain_pems)
    return ClientCertificate(chain, leaf.private_key_pem.bytes().decode())


def self_signed(name: str) -> ClientCertificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, SHA256())
    )
    return ClientCertificate(
        certificate.public_bytes(Encoding.PEM).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )
