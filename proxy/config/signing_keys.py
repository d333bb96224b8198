"""Keys that sign client assertions (RFC 7523): an RSA, EC or Ed25519 private key, or a secret.

Pure. Which algorithm a key signs with follows from its type (RFC 7518 §3.1, RFC 8037 §3.1) unless
another one is wanted. A key that this module returns has signed once already, so that one that
cannot is found when it is read, and not when a token is needed. Messages of `ValueError` say what
is wrong and never hold what was read.

This module alone knows joserfc, and is imported only where a key is configured: it costs 12 MiB.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    PrivateKey = RSAKey | ECKey | OKPKey

RSA_BITS_MIN = 2048
"""RFC 7518 §3.3 and §3.5: a key of 2048 bits or larger MUST be used."""

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA", "Ed25519"),
}
_SECRET_BYTES_MIN = {"HS256": 32, "HS384": 48, "HS512": 64}
"""RFC 7518 §3.2: a key of the hash's size or larger MUST be used."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and what it signs with. It does not print itself."""

    algorithm: str
    key_id: str | None
    """The `kid` that a JWK brought along."""
    _key: PrivateKey | OctKey = field(repr=False)

    def sign(self, claims: Mapping[str, Any], *, key_id: str | None = None) -> str:
        """Return a JWT of `claims`; `key_id` goes before the key's own `kid`."""
        header = {"alg": self.algorithm, "typ": "JWT"}
        if key_id or self.key_id:
            header["kid"] = key_id or self.key_id or ""
        with warnings.catch_warnings():
            # RFC 9864 has another name for EdDSA, which servers have yet to learn.
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.encode(header, dict(claims), self._key, algorithms=[self.algorithm])


def from_private_key(text: str, *, algorithm: str | None) -> SigningKey:
    """Return the key of a PEM or JWK text. Raises `ValueError`."""
    text = text.strip()
    if text.startswith("{"):
        key, members = _from_jwk(text)
    elif text.startswith("-----BEGIN"):
        key, members = _from_pem(text), {}
    else:
        raise ValueError("is neither PEM nor a JWK")
    possible: tuple[str, ...]
    if isinstance(key, RSAKey):
        if key.private_key and key.private_key.key_size < RSA_BITS_MIN:
            raise ValueError(f"is an RSA key of fewer than {RSA_BITS_MIN} bits")
        possible, kind = _RSA, "an RSA key"
    else:
        possible, kind = _CURVES.get(key.curve_name, ()), f"a key of the curve {key.curve_name}"
    if not possible:
        raise ValueError("is of a curve that signs no assertion: use P-256 or Ed25519")
    own = members.get("alg")
    chosen = algorithm or (own if own in possible else possible[0])
    if chosen not in possible:
        raise ValueError(f"is {kind}, which signs with {' or '.join(possible)}, not with {chosen}")
    key_id = members.get("kid")
    return _tried(SigningKey(chosen, key_id if isinstance(key_id, str) else None, key))


def from_secret(text: str, *, algorithm: str | None) -> SigningKey:
    """Return the key that a client secret is (OpenID Connect Core §9). Raises `ValueError`."""
    chosen = algorithm or "HS256"
    wanted = _SECRET_BYTES_MIN[chosen]
    if len(text.encode()) < wanted:
        raise ValueError(f"is shorter than the {wanted} bytes that {chosen} asks for (RFC 7518)")
    with warnings.catch_warnings():
        # A secret may look like something else; how long it is we have seen to.
        warnings.simplefilter("ignore", SecurityWarning)
        return _tried(SigningKey(chosen, None, OctKey.import_key(text.encode())))


def _from_jwk(text: str) -> tuple[PrivateKey, dict[str, Any]]:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("is no JSON, so no JWK") from None
    if "keys" in members:
        raise ValueError("is a set of keys: one JWK is wanted")
    types: dict[Any, type[PrivateKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    kind = members.get("kty")
    if not isinstance(kind, str) or kind not in types:
        raise ValueError("is a JWK of another kind than RSA, EC and OKP (its `kty`)")
    if "d" not in members:
        raise ValueError("is a public key: the private one is wanted")
    try:
        return _quietly(types[kind], members), members
    except (JoseError, ValueError, TypeError, KeyError):
        raise ValueError("is a JWK whose members are no key") from None


def _from_pem(text: str) -> PrivateKey:
    if "ENCRYPTED" in text:
        raise ValueError("is encrypted; decrypt it first")
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            key = _quietly(kind, text)
        except (JoseError, ValueError, TypeError):
            continue
        if not key.is_private:
            raise ValueError("is a public key: the private one is wanted")
        return key
    raise ValueError("is PEM, but no RSA, EC or Ed25519 private key")


def _quietly(kind: type[PrivateKey], value: Any) -> PrivateKey:
    with warnings.catch_warnings():
        # Short RSA keys are refused by ourselves, with a sentence of our own.
        warnings.simplefilter("ignore", SecurityWarning)
        return kind.import_key(value)


def _tried(key: SigningKey) -> SigningKey:
    try:
        key.sign({})
    except (JoseError, ValueError, TypeError):
        raise ValueError(
            f"is a key that does not sign with {key.algorithm}: see its `use`, `key_ops`, `alg`"
        ) from None
    return key
