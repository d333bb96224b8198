"""Client assertions on token requests (RFC 7523 §2.2), and certificates instead (RFC 8705)."""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from faults.stepped_time import stepped
from faults.token_server import Asked, TokenServer, http_answer, refusal
from joserfc import jwt
from joserfc.jwk import OctKey
from unit.config import some_keys
from unit.config.some_keys import P256
from unit.tokens import some
from unit.tokens.cache_bench import STOCK, WALL_AT_START, bench

from proxy.config.proof import Proof, understand
from proxy.config.secrets import SecretSource
from proxy.model import Secret
from proxy.tokens.client_authentication import AssertionTerms, TokenRequest, build

if TYPE_CHECKING:
    from pathlib import Path

TERMS = AssertionTerms("https://auth.example.com", 1_760_000_000.9, "a-jti")
SECRET = "s" * 40
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def request(authentication: str, text: str | None, **keys: Any) -> TokenRequest:
    client = some.client(secret=None, authentication=authentication, **keys)
    proof = None
    if text is not None:
        proof = understand(Secret(text), authentication=authentication, algorithm=client.algorithm)
    return build(client, proof, {"grant_type": "client_credentials"}, TERMS)


def fields(asked: TokenRequest) -> dict[str, str]:
    assert "Authorization" not in asked.headers
    pairs = parse_qsl(asked.body.decode(), strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_a_key_signs_an_assertion_that_says_who_we_are_to_whom_and_for_how_long() -> None:
    """A-60, A-61, A-62."""
    sent = fields(request("private_key_jwt", some_keys.pem(P256), key_id="k1"))
    assert sent.keys() == {"grant_type", "client_id", "client_assertion_type", "client_assertion"}
    assert sent["client_id"] == "billing"
    assert sent["client_assertion_type"] == ASSERTION_TYPE
    token = jwt.decode(sent["client_assertion"], some_keys.jose(P256), algorithms=["ES256"])
    assert token.header == {"alg": "ES256", "typ": "JWT", "kid": "k1"}
    assert token.claims == {
        "iss": "billing",
        "sub": "billing",
        "aud": "https://auth.example.com",
        # A little in the past, for a server whose clock is a little slow.
        "iat": 1_759_999_995,
        "exp": 1_760_000_055,
        "jti": "a-jti",
    }


@pytest.mark.parametrize(("seconds", "whole"), [(300, 300), (1, 1), (1.5, 2)])
def test_the_assertions_life_is_configured_in_whole_seconds(seconds: float, whole: int) -> None:
    asked = request("client_secret_jwt", SECRET, assertion_lifetime_seconds=seconds)
    key = OctKey.import_key(SECRET)
    claims = jwt.decode(fields(asked)["client_assertion"], key, algorithms=["HS256"]).claims
    assert claims["exp"] - claims["iat"] == whole


def test_a_ready_made_assertion_goes_out_as_it_is() -> None:
    text = some.jwt({"sub": "system:serviceaccount:shop:orders"})
    sent = fields(request("client_assertion_file", f" {text}\n"))
    assert sent["client_assertion"] == text
    assert sent["client_assertion_type"] == ASSERTION_TYPE
    assert sent["client_id"] == "billing"


@pytest.mark.parametrize("authentication", ["tls_client_auth", "self_signed_tls_client_auth"])
def test_with_a_certificate_the_request_names_the_client_and_no_more(authentication: str) -> None:
    """A-04, RFC 8705 §2."""
    assert fields(request(authentication, None)) == {
        "grant_type": "client_credentials",
        "client_id": "billing",
    }


def test_in_json_an_assertion_is_a_member() -> None:
    asked = request("client_secret_jwt", SECRET, token_request="json")
    assert json.loads(asked.body).keys() == {
        "grant_type",
        "client_id",
        "client_assertion_type",
        "client_assertion",
    }


def test_what_a_server_may_quote_of_an_assertion_is_known() -> None:
    asked = request("private_key_jwt", some_keys.pem(P256))
    assert fields(asked)["client_assertion"] in asked.secrets
    assert repr(asked) == "TokenRequest()"
    assert SECRET in request("client_secret_jwt", SECRET).secrets


def test_a_proof_without_a_key_is_never_taken_for_a_signature() -> None:
    client = some.client(secret=None, authentication="tls_client_auth")
    asked = build(client, Proof(Secret("x")), {}, TERMS)
    assert fields(asked) == {"client_id": "billing"}


# In the life of a client.


def signing(tmp_path: Path, **keys: Any) -> dict[str, Any]:
    (tmp_path / "key.pem").write_text(some_keys.pem(P256))
    return {
        "client_id": "billing",
        "authentication": "private_key_jwt",
        "private_key_file": str(tmp_path / "key.pem"),
    } | keys


def claims(asked: Asked) -> dict[str, Any]:
    signed = asked.fields["client_assertion"][0]
    return dict(jwt.decode(signed, some_keys.jose(P256), algorithms=["ES256"]).claims)


@stepped
async def test_every_attempt_has_an_assertion_of_its_own(tmp_path: Path) -> None:
    """T-11: a new jti and a new iat, whether the last attempt succeeded or not."""
    async with TokenServer(lifetime_seconds=100) as server:
        audiences = {"stock": {"client": "signs", "prefetch": False}}
        client = signing(tmp_path, token_endpoint=server.url)
        async with bench(clients={"signs": client}, audiences=audiences) as the:
            the.servers.append(server)
            server.answer = lambda _: http_answer("", status="503 Service Unavailable")
            await the.refusal(STOCK)
            server.answer = None
            await the.advance(1)
            await the.token(STOCK)
            await the.advance(90)
            sent = [claims(asked) for asked in server.requests]
            assert len(sent) == 3
            assert len({each["jti"] for each in sent}) == 3
            assert sent[0]["iat"] == int(WALL_AT_START) - 5 < sent[2]["iat"]
            assert {each["aud"] for each in sent} == {server.url}


@stepped
@pytest.mark.parametrize("known", ["issuer", "discovery", "configured"])
async def test_the_issuer_is_the_audience_where_it_is_known(known: str, tmp_path: Path) -> None:
    """A-61: one string; the token endpoint only where no issuer is known."""
    async with TokenServer() as server:

        def answer(asked: Asked) -> bytes:
            if asked.method == "GET":
                return http_answer({"issuer": server.issuer, "token_endpoint": server.url})
            return server.grant(asked)

        server.answer = answer
        client = signing(tmp_path)
        if known == "configured":
            client |= {"issuer": server.issuer, "assertion_audience": "urn:as"}
        else:
            suffix = "/.well-known/openid-configuration" if known == "discovery" else ""
            client[known] = server.issuer + suffix
        audiences = {"stock": {"client": "signs", "prefetch": False}}
        async with bench(clients={"signs": client}, audiences=audiences) as the:
            the.servers.append(server)
            await the.token(STOCK)
        [asked] = server.token_requests
        assert claims(asked)["aud"] == ("urn:as" if known == "configured" else server.issuer)


@stepped
@pytest.mark.parametrize(
    ("offset", "told"), [(95, "95 s ahead of the server's"), (-95, "95 s behind"), (1, None)]
)
async def test_a_refused_assertion_makes_one_look_at_the_clock(
    offset: int, told: str | None, tmp_path: Path
) -> None:
    """A-62: what the server's `Date` says of our clock is in the log."""
    async with TokenServer() as server:
        date = formatdate(WALL_AT_START - offset, usegmt=True)
        refused = refusal("invalid_client", status="401 Unauthorized")
        server.answer = lambda _: refused.replace(b"\r\n", f"\r\nDate: {date}\r\n".encode(), 1)
        client = signing(tmp_path, token_endpoint=server.url)
        audiences = {"stock": {"client": "signs", "prefetch": False}}
        async with bench(clients={"signs": client}, audiences=audiences) as the:
            the.servers.append(server)
            await the.refusal(STOCK)
            [event] = the.events("token_fetch_failed")
            if told is None:
                assert "clock" not in event["detail"]
            else:
                assert told in event["detail"]


def test_a_source_of_a_key_says_what_it_is(tmp_path: Path) -> None:
    source = SecretSource(file=tmp_path / "none", what="private key")
    assert "the private key file" in source.unusable("is empty").detail
