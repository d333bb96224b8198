"""Private keys for tests, made once in each test process, and the forms that files have them in."""

from __future__ import annotations

import functools
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from joserfc.jwk import ECKey, OKPKey, RSAKey

RSA, P256, P384, ED25519 = "RSA", "P-256", "P-384", "Ed25519"
JoseKey = RSAKey | ECKey | OKPKey


@functools.cache
def private(kind: str, *, bits: int = 2048) -> Any:
    """Return a key of `cryptography`'s."""
    if kind == RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    if kind == ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    if kind in {"Ed448", "X25519"}:
        return {"Ed448": ed448.Ed448PrivateKey, "X25519": x25519.X25519PrivateKey}[kind].generate()
    curves = {
        P256: ec.SECP256R1(),
        P384: ec.SECP384R1(),
        "P-224": ec.SECP224R1(),
        "secp256k1": ec.SECP256K1(),
    }
    return ec.generate_private_key(curves[kind])


def pem(kind: str, *, traditional: bool = False, password: bytes | None = None, **of: Any) -> str:
    """Return the key as PEM: PKCS #8, or the older form of its kind (PKCS #1, SEC 1)."""
    form = serialization.PrivateFormat
    encryption = serialization.NoEncryption()
    return (
        private(kind, **of)
        .private_bytes(
            serialization.Encoding.PEM,
            form.TraditionalOpenSSL if traditional else form.PKCS8,
            serialization.BestAvailableEncryption(password) if password else encryption,
        )
        .decode()
    )


def public_pem(kind: str) -> str:
    return (
        private(kind)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def jose(kind: str) -> JoseKey:
    """Return the key of joserfc's, which judges signatures."""
    kinds: dict[str, type[JoseKey]] = {RSA: RSAKey, ED25519: OKPKey}
    return kinds.get(kind, ECKey).import_key(pem(kind))


def jwk(kind: str, **members: Any) -> dict[str, Any]:
    """Return the private JWK, with further members."""
    return dict(jose(kind).as_dict(private=True)) | members
