"""Apiture's authorization server and API, as its documentation has them.

Source: dx.apiture.com, "Authenticate using OAuth 2.0 Client Credentials Flow". The token endpoint
is found in the OpenID configuration, so it stands at a path that nobody would guess. The client's
name and secret come twice: as Basic, plain base64 of `client-id:client-secret`, and in the form.
Both are wanted, and both must be the same, byte for byte; the secret that is registered here holds
characters that form-encoding would change.
"""

from __future__ import annotations

from typing import Any

from strict_server import Provider, serve
from token_request import (
    Asked,
    RefusedError,
    Registered,
    demand_client_credentials,
    demand_fields,
    demand_scope,
)

SCOPES = frozenset({"banking/read", "banking/write"})


def check(asked: Asked, registered: Registered) -> dict[str, Any]:
    """Refuse what is not documented; the token is opaque and nothing else comes along."""
    basic = asked.basic_credentials()
    fields = asked.form_fields()
    demand_fields(fields, {"grant_type", "client_id", "client_secret", "scope"})
    if Registered(fields["client_id"], fields["client_secret"]) != basic:
        raise RefusedError("invalid_client", "Basic and body differ", status=401)
    demand_client_credentials(fields, registered)
    demand_scope(fields["scope"], SCOPES)
    return {}


if __name__ == "__main__":
    serve(
        Provider(
            "apiture",
            "/oidc/exchange/4f1c/token",
            3600,
            api_prefix="/banking/",
            check=check,
            metadata_path="/oidc/.well-known/openid-configuration",
        ),
        Registered("apiture-client", "a+p/i%41t=u&r:e"),
    )
