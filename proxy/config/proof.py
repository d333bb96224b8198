"""What a client shows of itself: a secret, a key that signs, or a ready-made assertion. Pure.

The configuration is checked with the very function that reads a changed file later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from proxy.config.signing_keys import SigningKey
    from proxy.model import Secret

Authentication = Literal[
    "client_secret_basic",
    "client_secret_post",
    "client_secret_basic_and_post",
    "client_secret_jwt",
    "private_key_jwt",
    "client_assertion_file",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
]
Algorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
    "HS256",
    "HS384",
    "HS512",
]
"""RFC 7518 §3.1, RFC 8037, RFC 9864; `none` is not among them."""

PROOF_OF: dict[str, str] = {
    "client_secret_basic": "client_secret",
    "client_secret_post": "client_secret",
    "client_secret_basic_and_post": "client_secret",
    "client_secret_jwt": "client_secret",
    "private_key_jwt": "private_key",
    "client_assertion_file": "client_assertion_file",
}
"""The key of `clients.NAME` that holds what is shown; no key: it is a certificate, or nothing."""
SIGNING = ("client_secret_jwt", "private_key_jwt")
"""The methods whose assertions we make ourselves."""
CERTIFICATE = ("tls_client_auth", "self_signed_tls_client_auth")

_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof as it was read, and understood. `key` signs assertions, where they are ours."""

    text: Secret
    key: SigningKey | None = field(default=None, repr=False, compare=False)


def fits(algorithm: str, authentication: str) -> bool:
    """Say whether assertions of this method may be signed with this algorithm."""
    return algorithm.startswith("HS") == (authentication == "client_secret_jwt")


def understand(text: Secret, *, authentication: str, algorithm: str | None) -> Proof:
    """Return what `text` is for this method.

    Raises `ValueError`, whose sentence follows "the secret", "the private key" and the like and
    does not hold the text. A private key may take half a second.
    """
    plain = text.reveal()
    if authentication == "client_assertion_file" and not _JWT.match(plain.strip()):
        raise ValueError("is no JWT (three parts of base64url with dots between)")
    if authentication not in SIGNING:
        return Proof(text)
    # It costs 12 MiB and a fifth of a second, which only these two methods are to pay.
    from proxy.config import signing_keys  # noqa: PLC0415

    if authentication == "private_key_jwt":
        return Proof(text, signing_keys.from_private_key(plain, algorithm=algorithm))
    return Proof(text, signing_keys.from_secret(plain, algorithm=algorithm))
