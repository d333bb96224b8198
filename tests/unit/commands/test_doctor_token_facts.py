from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from proxy.commands.doctor.token_facts import TokenFacts, oddities, shown
from proxy.config.schema import Audience
from proxy.tokens.grant import claims_of
from proxy.tokens.outcome import Grant

NOW = 1_760_000_000.0


def jwt(claims: Any) -> str:
    text = claims if isinstance(claims, str) else json.dumps(claims)
    return f"eyJhbGciOiJub25lIn0.{base64.urlsafe_b64encode(text.encode()).decode()}.c2ln"


def facts(claims: dict[str, Any] | None, *, scope: str | None = None) -> TokenFacts:
    grant = Grant("the-token", "Bearer", 3600, scope)
    return TokenFacts(grant, "Bearer", 3600, claims, ("the-token", "s3cr3t-canary"))


def odd(claims: dict[str, Any] | None, *, granted: str | None = None, **audience: Any) -> list[str]:
    wanted = Audience.model_validate({"client": "billing", **audience})
    found = oddities("orders", wanted, facts(claims, scope=granted), NOW)
    assert all(check.result == "warning" and check.hint and check.key for check in found)
    return [check.check for check in found]


def test_five_claims_are_told_and_no_other() -> None:
    claims = {"iss": "https://a", "aud": ["x", "y"], "exp": NOW, "azp": "b", "scope": "r w"}
    words = facts(claims | {"sub": "hidden", "email": "hidden"}).words
    assert words == (
        "Bearer, lasts 3600 s; "
        "JWT with iss=https://a aud=x y exp=2025-10-09T08:53:20Z azp=b scope=r w"
    )


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        jwt("[1]"),
        jwt("no json"),
        jwt("[" * 100_000),
    ],
    ids=["opaque", "two", "three", "five", "list", "text", "deep"],
)
def test_what_is_no_jwt_has_no_claims(token: str) -> None:
    assert claims_of(token) is None


def test_a_jwt_has_claims() -> None:
    assert claims_of(jwt({"iss": "a"})) == {"iss": "a"}
    assert facts(None).words == "Bearer, lasts 3600 s; no JWT that can be read"
    assert "none of the claims shown here" in facts({"sub": "x"}).words


@pytest.mark.parametrize("expiry", ["soon", True, float("nan"), 10**400, -1, [1]], ids=str)
def test_an_exp_that_is_none_is_said_to_be_none(expiry: Any) -> None:
    assert facts({"exp": expiry}).claim("exp") in {"(no number)", "(out of range)"}
    assert odd({"exp": expiry}) in ([], ["lifetime"])


def test_a_claim_is_cut_and_told_without_secrets() -> None:
    assert shown("a" * 1000, ()) == "a" * 200 + "..."
    assert shown("x\x1b[2J\n", ()) == "x?[2J?"
    assert shown(f"see {jwt({'iss': 'a'})}", ()) == "see ***"
    assert facts({"aud": "for s3cr3t-canary"}).claim("aud") == "(not told: it holds a secret)"
    assert facts({"aud": ["a", "the-token"]}).claim("aud") == "(not told: it holds a secret)"


def test_scope_is_missed_by_the_answer_or_else_by_the_jwt() -> None:
    assert odd(None, scope="a b") == []
    assert odd(None, scope="a b", granted="b a c") == []
    assert odd(None, scope="a b", granted="a") == ["scope"]
    assert odd({"scope": "a"}, scope="a b") == ["scope"]
    assert odd({"scp": ["a", "b"]}, scope="a b") == []
    assert odd({"scope": "a"}, scope="a b", granted="a b") == []
    assert odd(None, granted="") == []


def test_an_audience_counts_as_met_by_any_that_was_asked_for() -> None:
    assert odd({"aud": "x"}, audience="x") == []
    assert odd({"aud": ["y", "x"]}, audience=["x", "z"]) == []
    assert odd({"aud": "account"}, audience="x") == ["audience"]
    assert odd({"aud": "account"}, resource="https://a.example/") == ["audience"]
    assert odd({"aud": "account"}) == []
    assert odd({}, audience="x") == []


def test_a_token_that_ends_before_its_answer_says_is_odd() -> None:
    assert odd({"exp": NOW + 3600}) == []
    assert odd({"exp": NOW + 3500}) == ["lifetime"]
    assert odd({"exp": NOW + 9999}) == []
