"""Keys that sign client assertions (RFC 7523): an RSA, EC or Ed25519 private key, or a secret.

Pure. Which algorithm a key signs with follows from its type (RFC 7518 §3.1, RFC 8037 §3.1) unless
another one is wanted. A key that this module returns has signed once, and its signature was right:
so one that cannot is found when it is read, and not when a token is needed. Messages of
`ValueError` say what is wrong and never hold what was read.

A PEM key is read without proving its primes, which would hold up the interpreter, all its threads,
for up to half a second; the trial signature shows as much. (joserfc does prove those of a JWK.)

This module alone knows joserfc and cryptography, and is imported only where a key is configured:
they cost 12 MiB.
"""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    PrivateKey = RSAKey | ECKey | OKPKey

RSA_BITS_MIN = 2048
"""RFC 7518 §3.3 and §3.5: a key of 2048 bits or larger MUST be used."""
RSA_BITS_MAX = 4096
"""Longer ones take so long to sign that everything else would wait."""

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_ED25519 = ("EdDSA", "Ed25519")
_SECRET_BYTES_MIN = {"HS256": 32, "HS384": 48, "HS512": 64}
"""RFC 7518 §3.2: a key of the hash's size or larger MUST be used."""
_PRIVATE = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL)


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

    def check(self) -> None:
        """Sign something and judge it. Raises `JoseError` or `ValueError` if it is not right."""
        signed = self.sign({})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            jwt.decode(signed, self._key, algorithms=[self.algorithm])

    def __reduce__(self) -> NoReturn:
        # A pickled key is a key on a disk.
        message = "a SigningKey cannot be pickled"
        raise TypeError(message)


def from_private_key(text: str, *, algorithm: str | None) -> SigningKey:
    """Return the key of a PEM or JWK text. Raises `ValueError`."""
    text = text.lstrip("\ufeff").strip()
    members: dict[str, Any] = {}
    if text.startswith("{"):
        key, members = _from_jwk(text)
    elif "-----BEGIN " in text:
        key = _from_pem(text)
    else:
        raise ValueError("is neither PEM nor a JWK")
    possible, kind = _possible(key.private_key)
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
    # Made, not imported: whatever a secret looks like, it is one.
    return _tried(SigningKey(chosen, None, OctKey(text.encode(), text.encode())))


def _possible(key: object) -> tuple[tuple[str, ...], str]:
    """Return what a key can sign with, the usual first, and what it is."""
    if isinstance(key, RSAPrivateKey):
        if not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
            raise ValueError(
                f"is an RSA key of {key.key_size} bits: {RSA_BITS_MIN} to {RSA_BITS_MAX} are wanted"
            )
        return _RSA, "an RSA key"
    if isinstance(key, Ed25519PrivateKey):
        return _ED25519, "an Ed25519 key"
    if isinstance(key, EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return (_CURVES[key.curve.name],), f"a key of the curve {key.curve.name}"
    raise ValueError("is a key of a kind or curve that is not supported: use RSA, P-256, Ed25519")


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
    # What it is to sign with is for us to say, and its `alg` one voice only.
    material = {name: value for name, value in members.items() if name != "alg"}
    if kind == "RSA" and len(str(members.get("n"))) > RSA_BITS_MAX // 6 + 2:
        raise ValueError(f"is an RSA key of more than {RSA_BITS_MAX} bits")
    try:
        return _quietly(types[kind], material), members
    except Exception:  # noqa: BLE001 - foreign parsers; what they raise may quote the key
        raise ValueError("is a JWK whose members are no key") from None


def _from_pem(text: str) -> PrivateKey:
    found = _PRIVATE.search(text)
    if found is None or "\\n" in found[0]:
        _refuse_pem(text)
    if "ENCRYPTED" in found[0]:
        raise ValueError("is encrypted; decrypt it first")
    try:
        key = load_pem_private_key(found[0].encode(), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is PEM, but no RSA, EC or Ed25519 private key") from None
    except TypeError:
        # OpenSSH's own form says only inside that it is.
        raise ValueError("is encrypted; decrypt it first") from None
    _possible(key)
    kinds: dict[type, type[PrivateKey]] = {RSAPrivateKey: RSAKey, Ed25519PrivateKey: OKPKey}
    kind = next((kind for of, kind in kinds.items() if isinstance(key, of)), ECKey)
    return _quietly(kind, key)


def _refuse_pem(text: str) -> NoReturn:
    if "\\n" in text:
        raise ValueError(r"has \n where its line breaks were: they were escaped on the way")
    if "PUBLIC KEY-----" in text:
        raise ValueError("is a public key: the private one is wanted")
    if "CERTIFICATE-----" in text:
        raise ValueError("is a certificate: its private key is wanted")
    raise ValueError("is PEM, but no whole private key")


def _quietly(kind: type[PrivateKey], value: Any) -> PrivateKey:
    with warnings.catch_warnings():
        # Short RSA keys are refused by ourselves, with a sentence of our own.
        warnings.simplefilter("ignore", SecurityWarning)
        return kind.import_key(value)


def _tried(key: SigningKey) -> SigningKey:
    try:
        key.check()
    except (JoseError, ValueError, TypeError):
        raise ValueError(
            f"is a key that does not sign with {key.algorithm}: see its `use` and `key_ops`"
        ) from None
    return key
