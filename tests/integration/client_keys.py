"""Keys of clients that prove themselves by JWT, in every form that a key comes in; assertions.

The assertions made here are the tests' own (joserfc, RFC 7523 §3): what a server takes of them it
must take of the proxy, and what it refuses of them it really checks.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Callable

    Key = RSAKey | ECKey | OKPKey

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

MAKERS: dict[str, Callable[[], Key]] = {
    "rsa": lambda: RSAKey.generate_key(2048, auto_kid=False),
    "p256": lambda: ECKey.generate_key("P-256", auto_kid=False),
    "ed25519": lambda: OKPKey.generate_key("Ed25519", auto_kid=False),
}
ALGORITHMS = {"rsa": "RS256", "p256": "ES256", "ed25519": "EdDSA"}
"""What a key signs with when nothing else is said."""


def private(key: Key, form: str, *, kid: str | None = None) -> str:
    """Return the private key as text: `pkcs8`, `traditional` (PKCS1 or SEC1), or `jwk`."""
    if form == "jwk":
        return json.dumps(key.as_dict(private=True) | ({"kid": kid} if kid else {}))
    layout = PrivateFormat.PKCS8 if form == "pkcs8" else PrivateFormat.TraditionalOpenSSL
    pem = key.private_key.private_bytes(Encoding.PEM, layout, NoEncryption())
    return str(pem.decode())


def public(*keys: Key, kids: tuple[str | None, ...] = ()) -> dict[str, Any]:
    """Return the key set that a client registers; `kids` name the keys, in their order."""
    return {
        "keys": [
            key.as_dict(private=False) | ({"kid": kid} if kid else {})
            for key, kid in zip(keys, kids or (None,) * len(keys), strict=True)
        ]
    }


def assertion(
    key: Key,
    algorithm: str,
    client_id: str,
    audience: str,
    *,
    kid: str | None = None,
    **claims: Any,
) -> str:
    """Return an assertion that is good for a minute, with a `jti` of its own."""
    now = int(datetime.now(UTC).timestamp())
    return jwt.encode(
        {"alg": algorithm} | ({"kid": kid} if kid else {}),
        {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "iat": now,
            "exp": now + 60,
            "jti": uuid.uuid4().hex,
        }
        | claims,
        key,
        algorithms=[algorithm],
    )


async def ask(url: str, **fields: str) -> tuple[int, dict[str, Any]]:
    """Ask for a token, as a client that is not the proxy; return status and answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data={"grant_type": "client_credentials"} | fields) as answer,
    ):
        return answer.status, dict(await answer.json())


async def ask_with(url: str, assertion: str) -> tuple[int, dict[str, Any]]:
    """Ask for a token with this assertion."""
    return await ask(url, client_assertion=assertion, client_assertion_type=ASSERTION_TYPE)
