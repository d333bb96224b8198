"""Clients and audiences to build tests from: only what matters to a test is said."""

from __future__ import annotations

import base64
import json
from typing import Any

from proxy.config.schema import Audience, Client
from proxy.config.secrets import SecretSource
from proxy.model import Secret

SECRET = "s3cr3t-canary"
ENDPOINT = "https://auth.example.com/token"


def client(*, secret: str | SecretSource | None = SECRET, **keys: Any) -> Client:
    """Return a client with a token endpoint, unless another way to it is given."""
    if not keys.keys() & {"token_endpoint", "issuer", "discovery"}:
        keys["token_endpoint"] = ENDPOINT
    if isinstance(secret, str):
        secret = SecretSource(value=Secret(secret))
    return Client.model_validate({"client_id": "billing", "client_secret": secret} | keys)


def audience(**keys: Any) -> Audience:
    return Audience.model_validate({"client": "billing"} | keys)


def jwt(claims: Any, *, payload: bytes | None = None) -> str:
    """Return a JWT with these claims, or this payload, and no signature to speak of."""
    raw = json.dumps(claims).encode() if payload is None else payload
    return f"e30.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}.c2ln"
