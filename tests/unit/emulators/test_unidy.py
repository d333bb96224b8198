"""The emulator of Unidy refuses what Unidy's documentation does not allow."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from emulators.processes import FORM, JSON, Request, basic, form, running, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulators.processes import RunningEmulator

FIELDS = {
    "grant_type": "client_credentials",
    "client_id": "unidy-application",
    "client_secret": "unidy-secret",
    "response_type": "client_credentials",
    "scope": "users:read users:write",
}
ACCEPT = ("Accept", "application/json")
RIGHT = Request("/oauth/token", (ACCEPT, JSON), json.dumps(FIELDS).encode())
BASIC = basic("unidy-application", "unidy-secret")


def holding(**changes: object) -> Request:
    """Return the right request with other fields; None takes one away."""
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    return replace(RIGHT, body=json.dumps(fields).encode())


WRONG = {
    "GET": (405, "invalid_request", replace(RIGHT, method="GET")),
    "a query": (400, "invalid_request", replace(RIGHT, target="/oauth/token?scope=users:read")),
    "no Accept": (406, "invalid_request", replace(RIGHT, headers=(JSON,))),
    "another Accept": (
        406,
        "invalid_request",
        replace(RIGHT, headers=(("Accept", "text/html"), JSON)),
    ),
    "a form": (415, "invalid_request", replace(RIGHT, headers=(ACCEPT, FORM), body=form(FIELDS))),
    "no media type": (415, "invalid_request", replace(RIGHT, headers=(ACCEPT,))),
    "no JSON": (400, "invalid_request", replace(RIGHT, body=b"{")),
    "a field given twice": (
        400,
        "invalid_request",
        replace(RIGHT, body=RIGHT.body[:-1] + b', "scope": "users:read"}'),
    ),
    "Basic only": (
        400,
        "invalid_request",
        replace(holding(client_id=None, client_secret=None), headers=(ACCEPT, JSON, BASIC)),
    ),
    "Basic and the body": (400, "invalid_request", replace(RIGHT, headers=(ACCEPT, JSON, BASIC))),
    "no grant type": (400, "invalid_request", holding(grant_type=None)),
    "no scope": (400, "invalid_request", holding(scope=None)),
    "a list of scopes": (400, "invalid_request", holding(scope=["users:read", "users:write"])),
    "an audience": (400, "invalid_request", holding(audience="https://example.unidy.de")),
    "another response type": (400, "unsupported_response_type", holding(response_type="token")),
    "another grant": (400, "unsupported_grant_type", holding(grant_type="authorization_code")),
    "an unknown scope": (400, "invalid_scope", holding(scope="users:read users:delete")),
    "scopes with a comma": (400, "invalid_scope", holding(scope="users:read,users:write")),
    "scopes with two spaces": (400, "invalid_scope", holding(scope="users:read  users:write")),
    "one scope twice": (400, "invalid_scope", holding(scope="users:read users:read")),
    "a wrong secret": (401, "invalid_client", holding(client_secret="guessed")),
}


@pytest.fixture(scope="module")
def unidy() -> Iterator[RunningEmulator]:
    with running("unidy") as emulator:
        yield emulator


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_documented_is_refused(unidy: RunningEmulator, what: str) -> None:
    status, error, request = WRONG[what]
    before = unidy.counts()
    answer = request.send(unidy.port)
    assert (answer.status, answer.body["error"]) == (status, error)
    after = unidy.counts()
    assert after["granted"] == before["granted"]
    assert len(after["refused"]) == len(before["refused"]) + 1


@pytest.mark.parametrize(
    "request_", [RIGHT, holding(response_type=None)], ids=["the table's", "the example's"]
)
def test_the_documented_request_is_granted_as_documented(
    unidy: RunningEmulator, request_: Request
) -> None:
    answer = request_.send(unidy.port)
    assert answer.status == 200
    assert set(answer.body) == {
        "access_token",
        "token_type",
        "expires_in",
        "scope",
        "created_at",
    }
    assert answer.body["token_type"] == "Bearer"
    assert answer.body["expires_in"] == 7200
    assert answer.body["scope"] == "users:read users:write"
    assert isinstance(answer.body["created_at"], int)


def test_the_api_stands_at_the_same_origin_and_wants_a_token(unidy: RunningEmulator) -> None:
    assert unidy.api_port == unidy.port
    headers = [("Authorization", f"bearer {RIGHT.send(unidy.port).body['access_token']}")]
    assert send(unidy.port, "GET", "/api/v1/users", headers).status == 200
    assert send(unidy.port, "GET", "/api/v1/users").status == 401
