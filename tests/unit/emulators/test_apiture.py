"""The emulator of Apiture refuses what Apiture's documentation does not allow."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlsplit

import pytest
from emulators.processes import FORM, JSON, Request, basic, form, running, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulators.processes import RunningEmulator

METADATA_PATH = "/oidc/.well-known/openid-configuration"
TOKEN_PATH = "/oidc/exchange/4f1c/token"
CLIENT = "apiture-client"
SECRET = "a+p/i%41t=u&r:e"
FIELDS = {
    "grant_type": "client_credentials",
    "client_id": CLIENT,
    "client_secret": SECRET,
    "scope": "banking/read banking/write",
}
BASIC = basic(CLIENT, SECRET)
RIGHT = Request(TOKEN_PATH, (FORM, BASIC), form(FIELDS))


def holding(**changes: str | None) -> Request:
    """Return the right request with other fields; None takes one away."""
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    return replace(RIGHT, body=form(fields))


def under(*credentials: tuple[str, str]) -> Request:
    """Return the right request with other `Authorization` lines."""
    return replace(RIGHT, headers=(FORM, *credentials))


WRONG = {
    "GET": (405, "invalid_request", replace(RIGHT, method="GET")),
    "a query": (400, "invalid_request", replace(RIGHT, target=TOKEN_PATH + "?a=b")),
    "the usual path": (404, "invalid_request", replace(RIGHT, target="/oauth/token")),
    "JSON": (
        415,
        "invalid_request",
        replace(RIGHT, headers=(JSON, BASIC), body=json.dumps(FIELDS).encode()),
    ),
    "no media type": (415, "invalid_request", replace(RIGHT, headers=(BASIC,))),
    "a field given twice": (
        400,
        "invalid_request",
        replace(RIGHT, body=RIGHT.body + b"&grant_type=client_credentials"),
    ),
    "the body only": (401, "invalid_client", under()),
    "Basic only": (400, "invalid_request", holding(client_id=None, client_secret=None)),
    "Basic, and only the name in the body": (400, "invalid_request", holding(client_secret=None)),
    "Basic twice": (401, "invalid_client", under(BASIC, BASIC)),
    "Bearer": (401, "invalid_client", under(("Authorization", "Bearer guessed"))),
    "no base64": (401, "invalid_client", under(("Authorization", "Basic %%%%"))),
    "base64 without a colon": (401, "invalid_client", under(("Authorization", "Basic YWJj"))),
    "Basic form-encoded": (
        401,
        "invalid_client",
        under(basic(quote_plus(CLIENT), quote_plus(SECRET))),
    ),
    "another secret in Basic": (401, "invalid_client", under(basic(CLIENT, "guessed"))),
    "another secret in the body": (401, "invalid_client", holding(client_secret="guessed")),
    "a wrong secret in both": (
        401,
        "invalid_client",
        replace(holding(client_secret="guessed"), headers=(FORM, basic(CLIENT, "guessed"))),
    ),
    "no scope": (400, "invalid_request", holding(scope=None)),
    "an unknown scope": (400, "invalid_scope", holding(scope="banking/read banking/all")),
    "an audience": (400, "invalid_request", holding(audience="banking")),
    "another grant": (400, "unsupported_grant_type", holding(grant_type="implicit")),
    "metadata by POST": (405, "invalid_request", Request(METADATA_PATH, (), b"")),
    "metadata with a query": (
        404,
        "invalid_request",
        Request(METADATA_PATH + "?a=b", (), b"", method="GET"),
    ),
}


@pytest.fixture(scope="module")
def apiture() -> Iterator[RunningEmulator]:
    with running("apiture") as emulator:
        yield emulator


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_documented_is_refused(apiture: RunningEmulator, what: str) -> None:
    status, error, request = WRONG[what]
    before = apiture.counts()
    answer = request.send(apiture.port)
    assert (answer.status, answer.body["error"]) == (status, error)
    after = apiture.counts()
    assert after["granted"] == before["granted"]
    assert len(after["refused"]) == len(before["refused"]) + 1


def test_the_documented_request_is_granted_where_the_metadata_says(
    apiture: RunningEmulator,
) -> None:
    metadata = send(apiture.port, "GET", METADATA_PATH).body
    assert metadata["issuer"] == f"{apiture.origin}/oidc"
    endpoint = metadata["token_endpoint"]
    assert endpoint.startswith(apiture.origin)
    answer = replace(RIGHT, target=urlsplit(endpoint).path).send(apiture.port)
    assert answer.status == 200
    assert set(answer.body) == {"access_token", "token_type", "expires_in"}


def test_the_api_stands_below_its_path_and_wants_a_token(apiture: RunningEmulator) -> None:
    headers = [("Authorization", f"Bearer {RIGHT.send(apiture.port).body['access_token']}")]
    assert send(apiture.api_port, "GET", "/banking/accounts", headers).status == 200
    assert send(apiture.api_port, "GET", "/accounts", headers).status == 404
    assert send(apiture.api_port, "GET", "/banking/accounts").status == 401
