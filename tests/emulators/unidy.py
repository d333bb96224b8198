"""Unidy's authorization server and API, as its documentation has them.

Source: docs.unidy.de, "Authentication". The body is JSON and `Accept: application/json` is sent.
The documentation's table names `response_type: client_credentials` and no `grant_type`, its
example `grant_type` and no `response_type`. So the emulator demands `grant_type` (RFC 6749 §4.4.2
does too) and takes a `response_type` of exactly that value, or none.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from strict_server import Provider, serve
from token_request import (
    JSON,
    Asked,
    RefusedError,
    Registered,
    demand_client_credentials,
    demand_fields,
    demand_scope,
)

SCOPES = frozenset(
    {
        "custom_attributes:read",
        "custom_attributes:write",
        "newsletter_subscriptions:write",
        "subscriptions:read",
        "subscriptions:write",
        "subscriptions_batch:write",
        "users:change_email",
        "users:read",
        "users:read_by_email",
        "users:write",
    }
)


def check(asked: Asked, registered: Registered) -> dict[str, Any]:
    """Refuse what is not documented; answer with the scope asked for and the time."""
    asked.demand_accept(JSON)
    asked.refuse_authorization()
    fields = asked.json_fields()
    demand_fields(fields, {"grant_type", "client_id", "client_secret", "scope"}, {"response_type"})
    demand_client_credentials(fields, registered)
    if fields.get("response_type", "client_credentials") != "client_credentials":
        raise RefusedError("unsupported_response_type", "only client_credentials")
    demand_scope(fields["scope"], SCOPES)
    return {"scope": fields["scope"], "created_at": int(datetime.now(UTC).timestamp())}


if __name__ == "__main__":
    serve(
        Provider(
            "unidy", "/oauth/token", 7200, api_prefix="/api/v1/", check=check, one_origin=True
        ),
        Registered("unidy-application", "unidy-secret"),
    )
