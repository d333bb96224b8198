"""Switch's authorization server and API, as its documentation has them.

Source: developer.switchmarket.se, "Client Credentials Flow" and "Token Endpoint". The body is a
form; all four fields are required, `audience` among them, and it must be the API's identifier.
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
)

AUDIENCE = "https://api.switchmarket.se"


def check(asked: Asked, registered: Registered) -> dict[str, Any]:
    """Refuse what is not documented, another audience included; add nothing to the answer."""
    asked.refuse_authorization()
    fields = asked.form_fields()
    demand_fields(fields, {"grant_type", "client_id", "client_secret", "audience"})
    demand_client_credentials(fields, registered)
    if fields["audience"] != AUDIENCE:
        raise RefusedError("access_denied", "no such audience", status=403)
    return {}


if __name__ == "__main__":
    serve(
        Provider("switch", "/oauth/token", 3600, api_prefix="/api/", check=check),
        Registered("switch-client", "switch-secret"),
    )
