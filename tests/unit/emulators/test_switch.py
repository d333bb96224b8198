"""The emulator of Switch refuses what Switch's documentation does not allow."""

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
    "client_id": "switch-client",
    "client_secret": "switch-secret",
    "audience": "https://api.switchmarket.se",
}
RIGHT = Request("/oauth/token", (FORM,), form(FIELDS))
BASIC = basic("switch-client", "switch-secret")


def holding(**changes: str | None) -> Request:
    """Return the right request with other fields; None takes one away."""
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    return replace(RIGHT, body=form(fields))


WRONG = {
    "GET": (405, "invalid_request", replace(RIGHT, method="GET")),
    "a query": (400, "invalid_request", replace(RIGHT, target="/oauth/token?audience=a")),
    "JSON": (
        415,
        "invalid_request",
        replace(RIGHT, headers=(JSON,), body=json.dumps(FIELDS).encode()),
    ),
    "a media type with a parameter": (
        415,
        "invalid_request",
        replace(RIGHT, headers=((FORM[0], FORM[1] + "; charset=utf-8"),)),
    ),
    "no media type": (415, "invalid_request", replace(RIGHT, headers=())),
    "no form": (400, "invalid_request", replace(RIGHT, body=b"grant_type")),
    "a byte beyond ASCII": (400, "invalid_request", replace(RIGHT, body=RIGHT.body + b"\xff")),
    "a broken escape": (400, "invalid_request", replace(RIGHT, body=RIGHT.body + b"%ff")),
    "a field given twice": (
        400,
        "invalid_request",
        replace(RIGHT, body=RIGHT.body + b"&audience=https%3A%2F%2Fapi.switchmarket.se"),
    ),
    "Basic only": (
        400,
        "invalid_request",
        replace(holding(client_id=None, client_secret=None), headers=(FORM, BASIC)),
    ),
    "Basic and the body": (400, "invalid_request", replace(RIGHT, headers=(FORM, BASIC))),
    "no audience": (400, "invalid_request", holding(audience=None)),
    "an empty audience": (400, "invalid_request", holding(audience="")),
    "a scope": (400, "invalid_request", holding(scope="read")),
    "a resource": (400, "invalid_request", holding(resource="https://api.switchmarket.se")),
    "no grant type": (400, "invalid_request", holding(grant_type=None)),
    "another grant": (400, "unsupported_grant_type", holding(grant_type="password")),
    "a wrong secret": (401, "invalid_client", holding(client_secret="guessed")),
    "a secret with a line break": (
        401,
        "invalid_client",
        holding(client_secret="switch-secret\n"),
    ),
    "another audience": (403, "access_denied", holding(audience="https://api.example.com")),
}


@pytest.fixture(scope="module")
def switch() -> Iterator[RunningEmulator]:
    with running("switch") as emulator:
        yield emulator


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_documented_is_refused(switch: RunningEmulator, what: str) -> None:
    status, error, request = WRONG[what]
    before = switch.counts()
    answer = request.send(switch.port)
    assert (answer.status, answer.body["error"]) == (status, error)
    after = switch.counts()
    assert after["granted"] == before["granted"]
    assert len(after["refused"]) == len(before["refused"]) + 1


def test_the_documented_request_is_granted_as_documented(switch: RunningEmulator) -> None:
    answer = RIGHT.send(switch.port)
    assert answer.status == 200
    assert set(answer.body) == {"access_token", "token_type", "expires_in"}
    assert answer.body["token_type"] == "Bearer"
    assert answer.body["expires_in"] == 3600


def test_the_api_stands_below_its_path_and_wants_a_token(switch: RunningEmulator) -> None:
    headers = [("Authorization", f"Bearer {RIGHT.send(switch.port).body['access_token']}")]
    assert send(switch.api_port, "GET", "/api/me", headers).status == 200
    assert send(switch.api_port, "GET", "/me", headers).status == 404
    assert send(switch.api_port, "GET", "/api/me").status == 401
