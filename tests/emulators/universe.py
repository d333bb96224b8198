"""Universe's authorization server and API, as its documentation has them.

Source: developers.universe.com, "Client Credentials Flow". The body is JSON; `grant_type`,
`client_id` and `client_secret` are its members and nothing else is. A refresh token comes along;
with this flow there is nothing to do with it, so the emulator takes none.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from strict_server import Provider, serve
from token_request import (
    Asked,
    Registered,
    demand_client_credentials,
    demand_fields,
)


def check(asked: Asked, registered: Registered) -> dict[str, Any]:
    """Refuse what is not documented; answer with a refresh token, a scope and the time."""
    asked.refuse_authorization()
    fields = asked.json_fields()
    demand_fields(fields, {"grant_type", "client_id", "client_secret"})
    demand_client_credentials(fields, registered)
    return {
        "refresh_token": secrets.token_urlsafe(32),
        "scope": "public",
        "created_at": int(datetime.now(UTC).timestamp()),
    }


if __name__ == "__main__":
    serve(
        Provider("universe", "/oauth/token", 2592000, api_prefix="/", check=check),
        Registered("universe-application", "universe-secret"),
    )
