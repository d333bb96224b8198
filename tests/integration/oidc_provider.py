"""npm's oidc-provider as tests see it: clients made for one test, and what it was asked.

The server is `servers/oidc_provider.mjs`. Tests of one process share it, so each test registers
clients under ids of its own, and asks the server about those.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import trustme
from integration.proxy_process import get
from joserfc import jwt
from joserfc.jwk import ECKey

if TYPE_CHECKING:
    from integration.foreign_server import ForeignServer, StartServer
    from integration.recording_upstream import RecordedRequest, RecordingUpstream

METHODS = (
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
)
ORDERS = "urn:api:orders"
TWENTY_SECONDS = "urn:api:twenty-seconds"
SHORT = "urn:api:short"
SHORT_SECONDS = 6
RESOURCES = {
    ORDERS: {"scope": "orders:read orders:write", "ttl": 60},
    TWENTY_SECONDS: {"scope": "orders:read", "ttl": 20},
    SHORT: {"scope": "orders:read", "ttl": SHORT_SECONDS},
}


@dataclass(frozen=True)
class Asked:
    """A token request as the server saw it."""

    header: dict[str, Any]
    """Of the assertion; empty without one. So are the claims."""
    claims: dict[str, Any]
    certificate: str | None
    """The thumbprint of the certificate that the connection showed (`x5t#S256`)."""
    status: int
    detail: str | None
    """What the server found wrong, in its own words, which it keeps from the client."""


@dataclass(frozen=True)
class Provider:
    server: ForeignServer
    key: ECKey
    authority: trustme.CA
    """Who issued its certificate; who asks it over TLS must trust it."""
    client_authority: trustme.CA
    """Whom it trusts to issue certificates for clients."""

    @property
    def issuer(self) -> str:
        return self.server.url

    @property
    def token_endpoint(self) -> str:
        return f"{self.server.url}/token"

    @property
    def metadata_url(self) -> str:
        return f"{self.server.url}/.well-known/openid-configuration"

    def claims(self, request: RecordedRequest) -> dict[str, Any]:
        """Return the claims of the token that `request` brought; its signature must be good."""
        (value,) = request.values("Authorization")
        scheme, _, token = value.decode().partition(" ")
        assert scheme == "Bearer"
        return jwt.decode(token, self.key, algorithms=["ES256"]).claims

    async def metadata(self) -> dict[str, Any]:
        """Return what the server publishes about itself."""
        status, body = await get(self.metadata_url)
        assert status == 200
        return dict(json.loads(body))

    async def register(self, client_id: str, authentication: str, **metadata: Any) -> None:
        """Make the client known from now on, with this metadata (RFC 7591 §2) and no other."""
        async with (
            aiohttp.ClientSession() as session,
            session.put(
                f"{self.server.url}/clients/{quote(client_id, safe='')}",
                json={"token_endpoint_auth_method": authentication} | metadata,
            ) as answer,
        ):
            assert answer.status == 204

    async def asked(self, client_id: str) -> list[Asked]:
        """Return the token requests of that client so far, refused ones too."""
        status, body = await get(f"{self.server.url}/requests")
        assert status == 200
        return [
            Asked(
                **(each["assertion"] or {"header": {}, "claims": {}}),
                certificate=each["certificate"],
                status=each["status"],
                detail=each["detail"],
            )
            for each in json.loads(body)
            if each["client_id"] == client_id
        ]


def start(
    start_oidc_provider: StartServer,
    *,
    clients: list[dict[str, Any]] | None = None,
    methods: tuple[str, ...] = METHODS,
    tls: bool = True,
) -> Provider:
    """Start a server that has these clients and all of `RESOURCES`; with `tls` it serves it too."""
    # RFC 9068 has no algorithm that every server must take but RS256; EC keys are quicker to make.
    key = ECKey.generate_key(
        "P-256", private=True, auto_kid=True, parameters={"use": "sig", "alg": "ES256"}
    )
    authority, client_authority = trustme.CA(), trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    server = start_oidc_provider(
        {
            "jwks": {"keys": [key.as_dict(private=True)]},
            "clients": clients or [],
            "methods": methods,
            "resources": RESOURCES,
            "tls": {
                "certificate": "".join(part.bytes().decode() for part in own.cert_chain_pems),
                "key": own.private_key_pem.bytes().decode(),
                "ca": client_authority.cert_pem.bytes().decode(),
            }
            if tls
            else None,
        }
    )
    return Provider(server, key, authority, client_authority)


def config(client: dict[str, Any], upstream: RecordingUpstream, **audience: Any) -> dict[str, Any]:
    """Return a configuration of one client, one audience and one upstream."""
    return {
        "clients": {"billing": client},
        "audiences": {
            "orders": {"client": "billing", "resource": ORDERS, "prefetch": False} | audience
        },
        "upstreams": {"orders": {"url": f"{upstream.url}/v1", "audience": "orders"}},
    }
