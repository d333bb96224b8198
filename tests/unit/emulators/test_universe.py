"""The emulator of Universe refuses what Universe's documentation does not allow."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from emulators.processes import FORM, JSON, Request, basic, form, running, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulators.processes import RunningEmulator

FIELDS = {
    "grant_type": "client_credentials",
    "client_id": "universe-application",
    "client_secret": "universe-secret",
}
RIGHT = Request("/oauth/token", (JSON,), json.dumps(FIELDS).encode())


def holding(**changes: object) -> Request:
    """Return the right request with other fields; None takes one away."""
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    return replace(RIGHT, body=json.dumps(fields).encode())


WRONG = {
    "GET": (405, "invalid_request", replace(RIGHT, method="GET")),
    "another path": (404, "invalid_request", replace(RIGHT, target="/token")),
    "a query": (400, "invalid_request", replace(RIGHT, target="/oauth/token?a=b")),
    "fields in the query": (
        400,
        "invalid_request",
        replace(RIGHT, target="/oauth/token?" + form(FIELDS).decode(), body=b""),
    ),
    "a form": (415, "invalid_request", replace(RIGHT, headers=(FORM,), body=form(FIELDS))),
    "JSON called a form": (415, "invalid_request", replace(RIGHT, headers=(FORM,))),
    "no media type": (415, "invalid_request", replace(RIGHT, headers=())),
    "a coded body": (
        415,
        "invalid_request",
        replace(RIGHT, headers=(JSON, ("Content-Encoding", "gzip"))),
    ),
    "an array": (400, "invalid_request", replace(RIGHT, body=b"[]")),
    "no JSON": (400, "invalid_request", replace(RIGHT, body=form(FIELDS))),
    "no body": (400, "invalid_request", replace(RIGHT, body=b"")),
    "a field given twice": (
        400,
        "invalid_request",
        replace(RIGHT, body=RIGHT.body[:-1] + b', "client_id": "universe-application"}'),
    ),
    "a field that is no string": (400, "invalid_request", holding(client_secret=7)),
    "Basic only": (
        400,
        "invalid_request",
        replace(
            holding(client_id=None, client_secret=None),
            headers=(JSON, basic("universe-application", "universe-secret")),
        ),
    ),
    "Basic and the body": (
        400,
        "invalid_request",
        replace(RIGHT, headers=(JSON, basic("universe-application", "universe-secret"))),
    ),
    "no grant type": (400, "invalid_request", holding(grant_type=None)),
    "no secret": (400, "invalid_request", holding(client_secret=None)),
    "an empty secret": (400, "invalid_request", holding(client_secret="")),
    "a scope": (400, "invalid_request", holding(scope="public")),
    "an audience": (400, "invalid_request", holding(audience="https://api.universe.com")),
    "another grant": (400, "unsupported_grant_type", holding(grant_type="refresh_token")),
    "a wrong secret": (401, "invalid_client", holding(client_secret="guessed")),
    "another client": (401, "invalid_client", holding(client_id="guessed")),
}


@pytest.fixture(scope="module")
def universe() -> Iterator[RunningEmulator]:
    with running("universe") as emulator:
        yield emulator


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_documented_is_refused(universe: RunningEmulator, what: str) -> None:
    status, error, request = WRONG[what]
    before = universe.counts()
    answer = request.send(universe.port)
    assert (answer.status, answer.body["error"]) == (status, error)
    assert "access_token" not in answer.body
    after = universe.counts()
    assert after["granted"] == before["granted"]
    assert len(after["refused"]) == len(before["refused"]) + 1


def test_the_documented_request_is_granted_as_documented(universe: RunningEmulator) -> None:
    answer = RIGHT.send(universe.port)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert set(answer.body) == {
        "access_token",
        "refresh_token",
        "token_type",
        "expires_in",
        "scope",
        "created_at",
    }
    assert answer.body["token_type"] == "Bearer"
    assert answer.body["expires_in"] == 2592000
    assert answer.body["scope"] == "public"
    assert isinstance(answer.body["created_at"], int)


def test_the_refresh_token_is_no_access_token(universe: RunningEmulator) -> None:
    refresh_token = RIGHT.send(universe.port).body["refresh_token"]
    headers = [("Authorization", f"Bearer {refresh_token}")]
    answer = send(universe.api_port, "GET", "/graphql", headers)
    assert answer.status == 401


def test_the_api_answers_to_its_own_token_in_any_case_of_the_scheme(
    universe: RunningEmulator,
) -> None:
    """RFC 9110 §11.1: the scheme is a case-insensitive token."""
    token = RIGHT.send(universe.port).body["access_token"]
    for scheme in ("Bearer", "bearer", "BEARER"):
        headers = [("Authorization", f"{scheme} {token}")]
        answer = send(universe.api_port, "POST", "/graphql?a=b", headers, b"{}")
        assert answer.status == 200
        assert answer.body["provider"] == "universe"
        assert answer.body["target"] == "/graphql?a=b"
        assert answer.body["scheme"] == scheme
        assert answer.body["body"] == "{}"


@pytest.mark.parametrize(
    "credential", [[], ["Basic dTpw"], ["Bearer"], ["Bearer guessed"], ["TOKEN", "TOKEN"]]
)
def test_the_api_challenges_everything_else(
    universe: RunningEmulator, credential: list[str]
) -> None:
    """RFC 6750 §3: 401 with a Bearer challenge."""
    live = f"Bearer {RIGHT.send(universe.port).body['access_token']}"
    headers = [("Authorization", text.replace("TOKEN", live)) for text in credential]
    answer = send(universe.api_port, "GET", "/graphql", headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="universe"')


def test_a_token_ends_when_its_lifetime_does() -> None:
    with running("universe", "--lifetime-seconds", "0.5") as short:
        granted = RIGHT.send(short.port).body
        assert granted["expires_in"] == 0.5
        headers = [("Authorization", f"Bearer {granted['access_token']}")]
        deadline = time.monotonic() + 30
        while (answer := send(short.api_port, "GET", "/graphql", headers)).status == 200:
            assert time.monotonic() < deadline
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert short.counts()["api_refused"] == ["invalid_token: the token has expired"]
