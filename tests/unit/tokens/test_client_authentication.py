"""`proxy.tokens.client_authentication`: RFC 6749 §2.3.1 to the letter, and the ways round it."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.tokens import some

from proxy.config.proof import Proof
from proxy.model import Secret
from proxy.tokens import grant
from proxy.tokens.client_authentication import AssertionTerms, TokenRequest, build

ID = "a:b c"
SECRETS = [
    "a+b",
    "a%2Bb",
    "a%b",
    "p%2B+s:x%",
    "é",
    "ключ",
    " ",
    "&=?/#",
    "§ßñ",
    "\N{GRINNING FACE}",
]
ASKED: dict[str, str | list[str]] = {
    "grant_type": "client_credentials",
    "scope": "a b",
    "resource": ["https://a.example/?x=1&y=2", "https://b.example/"],
    "x": "ü+%",
}
PAIRS = [
    ("grant_type", "client_credentials"),
    ("scope", "a b"),
    ("resource", "https://a.example/?x=1&y=2"),
    ("resource", "https://b.example/"),
    ("x", "ü+%"),
]
TERMS = AssertionTerms(some.ENDPOINT, 1_760_000_000.9, "a-jti")
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20
)


def request(secret: str | None, **keys: Any) -> TokenRequest:
    client = some.client(secret=None, **({"client_id": ID} | keys))
    return build(client, None if secret is None else Proof(Secret(secret)), ASKED, TERMS)


def basic(asked: TokenRequest) -> str:
    scheme, _, encoded = asked.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(encoded, validate=True).decode()


def pairs(asked: TokenRequest) -> list[tuple[str, str]]:
    return parse_qsl(asked.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)


@pytest.mark.parametrize(
    ("secret", "encoded"),
    [
        ("a+b", "a%2Bb"),
        ("a%2Bb", "a%252Bb"),
        ("a%b", "a%25b"),
        ("p%2B+s:x%", "p%252B%2Bs%3Ax%25"),
        ("é", "%C3%A9"),
        ("ключ", "%D0%BA%D0%BB%D1%8E%D1%87"),
        ("a b", "a+b"),
    ],
)
def test_basic_form_encodes_id_and_secret_each(secret: str, encoded: str) -> None:
    """RFC 6749 §2.3.1 and Appendix B (A-02)."""
    assert basic(request(secret)) == f"a%3Ab+c:{encoded}"


@pytest.mark.parametrize("secret", SECRETS)
def test_raw_basic_is_utf_8_and_nothing_more(secret: str) -> None:
    assert basic(request(secret, basic_encoding="raw")) == f"a:b c:{secret}"


@pytest.mark.parametrize("secret", SECRETS)
def test_basic_leaves_the_body_alone(secret: str) -> None:
    """RFC 6749 §2.3: one method of authentication in a request."""
    assert pairs(request(secret)) == PAIRS


@pytest.mark.parametrize("secret", SECRETS)
def test_post_puts_id_and_secret_behind_the_other_fields(secret: str) -> None:
    asked = request(secret, authentication="client_secret_post")
    assert pairs(asked) == [*PAIRS, ("client_id", ID), ("client_secret", secret)]
    assert "Authorization" not in asked.headers


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("encoding", ["form", "raw"])
def test_basic_and_post_does_both(secret: str, encoding: str) -> None:
    keys = {"authentication": "client_secret_basic_and_post", "basic_encoding": encoding}
    asked = request(secret, **keys)
    assert pairs(asked) == [*PAIRS, ("client_id", ID), ("client_secret", secret)]
    assert basic(asked) == basic(request(secret, basic_encoding=encoding))


def test_none_names_the_client_and_shows_nothing() -> None:
    asked = request(None, authentication="none")
    assert pairs(asked) == [*PAIRS, ("client_id", ID)]
    assert "Authorization" not in asked.headers
    assert asked.secrets == ()


def test_a_form_is_called_a_form_and_json_is_asked_for_uncompressed() -> None:
    headers = request("s").headers
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["Accept"] == "application/json"
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("authentication", "added"),
    [
        ("client_secret_basic", {}),
        ("client_secret_post", {"client_id": ID, "client_secret": "ключ+%"}),
        ("client_secret_basic_and_post", {"client_id": ID, "client_secret": "ключ+%"}),
        ("none", {"client_id": ID}),
    ],
)
def test_a_json_body_holds_the_same_fields_with_lists_as_arrays(
    authentication: str, added: dict[str, str]
) -> None:
    asked = request("ключ+%", authentication=authentication, token_request="json")
    assert asked.headers["Content-Type"] == "application/json"
    assert ("Authorization" in asked.headers) is ("basic" in authentication)
    assert json.loads(asked.body) == ASKED | added


def test_a_list_of_one_is_an_array_in_json_and_one_field_in_a_form() -> None:
    audience = some.audience(audience="orders", parameters={"x": ["1"], "y": "1"})
    client = some.client(token_request="json")
    asked = build(client, Proof(Secret("s")), grant.fields(client, audience), TERMS)
    assert json.loads(asked.body) == {
        "grant_type": "client_credentials",
        "audience": "orders",
        "x": ["1"],
        "y": "1",
    }
    as_form = build(some.client(), Proof(Secret("s")), grant.fields(client, audience), TERMS)
    assert pairs(as_form)[-2:] == [("x", "1"), ("y", "1")]


def test_a_request_names_every_form_of_its_secret_and_prints_none() -> None:
    asked = request("p+é\\")
    basic_value = asked.headers["Authorization"].removeprefix("Basic ")
    assert set(asked.secrets) == {
        *(basic_value, "p+é\\", "p%2B%C3%A9%5C", "p+\\u00e9\\\\"),
        base64.b64encode("p+é\\".encode()).decode(),
    }
    assert repr(asked) == "TokenRequest()"


@given(TEXT, TEXT)
def test_what_basic_encodes_a_server_decodes(client_id: str, secret: str) -> None:
    sent = basic(
        build(
            some.client(client_id="x").model_copy(update={"client_id": client_id}),
            Proof(Secret(secret)),
            ASKED,
            TERMS,
        )
    )
    left, colon, right = sent.partition(":")
    assert (unquote_plus(left), colon, unquote_plus(right)) == (client_id, ":", secret)
    assert sent.isascii()


@given(TEXT, TEXT, st.lists(TEXT, min_size=2, max_size=3))
def test_what_a_form_or_json_encodes_a_server_decodes(
    secret: str, value: str, values: list[str]
) -> None:
    asked: dict[str, str | list[str]] = {"one": value, "many": values}
    credentials = {"client_id": "billing", "client_secret": secret}
    post = some.client(authentication="client_secret_post")
    flat = [("one", value), *(("many", each) for each in values), *credentials.items()]
    assert pairs(build(post, Proof(Secret(secret)), asked, TERMS)) == flat
    as_json = some.client(authentication="client_secret_post", token_request="json")
    assert (
        json.loads(build(as_json, Proof(Secret(secret)), asked, TERMS).body) == asked | credentials
    )
