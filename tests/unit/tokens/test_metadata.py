"""`proxy.tokens.metadata`: where a document is looked for, and which documents are believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from unit.config import some_keys
from unit.config.some_keys import RSA
from unit.tokens import some

from proxy.config.proof import understand
from proxy.errors import Fault
from proxy.model import Secret
from proxy.tokens.endpoint import Answer
from proxy.tokens.metadata import Located, discrepancy, read_document, well_known
from proxy.tokens.outcome import FetchFailed

ISSUER = "https://auth.example.com/tenant"
OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


def read(document: Any, *, status: int = 200, **keys: Any) -> str:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    document = read_document(some.client(**(keys or {"issuer": ISSUER})), Answer(status, body))
    return document.token_endpoint


def refused(document: Any, **keywords: Any) -> FetchFailed:
    with pytest.raises(FetchFailed) as caught:
        read(document, **keywords)
    return caught.value


# Where to look.


@pytest.mark.parametrize(
    ("issuer", "oauth", "openid"),
    [
        ("https://a.example", f"https://a.example{OAUTH}", f"https://a.example{OPENID}"),
        ("https://a.example/", f"https://a.example{OAUTH}", f"https://a.example{OPENID}"),
        (
            "https://a.example:8/t",
            f"https://a.example:8{OAUTH}/t",
            f"https://a.example:8/t{OPENID}",
        ),
        (
            "https://a.example/t/u/",
            f"https://a.example{OAUTH}/t/u",
            f"https://a.example/t/u{OPENID}",
        ),
        ("https://[::1]/t", f"https://[::1]{OAUTH}/t", f"https://[::1]/t{OPENID}"),
    ],
)
def test_both_well_known_forms_are_looked_for_in_order(
    issuer: str, oauth: str, openid: str
) -> None:
    """RFC 8414 §3 inserts before the path, OpenID Connect Discovery §4 appends."""
    assert well_known(some.client(issuer=issuer)) == [oauth, openid]


def test_a_documents_own_url_is_the_only_place() -> None:
    url = "https://a.example/metadata?x=1"
    assert well_known(some.client(discovery=url)) == [url]
    assert well_known(some.client(discovery=url, issuer=ISSUER)) == [url]


# What to believe.


@pytest.mark.parametrize(
    "issuer",
    [
        ISSUER + "/",
        "https://auth.example.com",
        "https://auth.example.com/Tenant",
        "https://AUTH.example.com/tenant",
        "https://auth.example.com:443/tenant",
        "http://auth.example.com/tenant",
        ISSUER + "/more",
        "",
        None,
        [ISSUER],
    ],
)
def test_another_issuer_is_not_believed_however_near(issuer: Any) -> None:
    """RFC 8414 §3.3: identical, by comparison of the strings."""
    document = {"issuer": issuer, "token_endpoint": some.ENDPOINT}
    failure = refused(document)
    assert failure.error.fault is Fault.AUTHORIZATION_SERVER_MISSPOKE
    assert "issuer" in failure.error.detail
    assert refused(document, issuer=ISSUER, discovery="https://a.example/m").result == "misspoke"


def test_the_issuer_to_the_letter_is_believed() -> None:
    assert read({"issuer": ISSUER, "token_endpoint": some.ENDPOINT}) == some.ENDPOINT


def test_by_url_alone_no_issuer_is_compared() -> None:
    document = {"issuer": "https://other.example", "token_endpoint": some.ENDPOINT}
    assert read(document, discovery="https://a.example/m") == some.ENDPOINT


@pytest.mark.parametrize(
    "endpoint",
    [
        None,
        "",
        5,
        [some.ENDPOINT],
        "token",
        "/token",
        "//auth.example.com/token",
        "ftp://auth.example.com/token",
        "https://user@auth.example.com/token",
        "https://auth.example.com/token#x",
        "https://auth.example.com/to ken",
        "https://ключ.example/token",
        "http://auth.example.com/token",
        "http://localhost.evil.example/token",
        "http://127.0.0.1.evil.example/token",
    ],
)
def test_a_token_endpoint_that_is_no_safe_url_is_refused(endpoint: Any) -> None:
    failure = refused({"issuer": ISSUER, "token_endpoint": endpoint})
    assert failure.result == "misspoke"
    assert "token_endpoint" in failure.error.detail
    assert "evil" not in failure.error.detail


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_plain_http_on_this_machine_is_fine(host: str) -> None:
    endpoint = f"http://{host}:8080/token"
    issuer = f"http://{host}:8080"
    assert read({"issuer": issuer, "token_endpoint": endpoint}, issuer=issuer) == endpoint


def test_plain_http_elsewhere_is_fine_where_it_is_allowed() -> None:
    endpoint = "http://auth.example.com/token?x=1"
    document = {"issuer": ISSUER, "token_endpoint": endpoint}
    assert read(document, issuer=ISSUER, allow_http=True) == endpoint


@pytest.mark.parametrize(
    ("tls", "found"),
    [
        ({}, some.ENDPOINT),
        ({"ca_file": "ca.pem"}, some.ENDPOINT),
        ({"certificate_file": "own.pem"}, "https://mtls.example.com/token"),
    ],
)
def test_who_shows_a_certificate_asks_at_the_endpoint_for_that(
    tls: dict[str, str], found: str
) -> None:
    """RFC 8705 §5."""
    document = {
        "issuer": ISSUER,
        "token_endpoint": some.ENDPOINT,
        "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.example.com/token"},
    }
    assert read(document, issuer=ISSUER, tls=tls) == found


@pytest.mark.parametrize("aliases", [None, [], "x", {}, {"revocation_endpoint": "https://x/"}])
def test_without_an_alias_the_endpoint_itself_serves_with_a_certificate_too(aliases: Any) -> None:
    document = {"token_endpoint": some.ENDPOINT, "mtls_endpoint_aliases": aliases}
    keys = {"discovery": "https://a.example/m", "tls": {"certificate_file": "own.pem"}}
    assert read(document, **keys) == some.ENDPOINT


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"\xff", b"[" * 60000, b'{"issuer"', b"\xef\xbb\xbf{}"]
)
def test_what_is_no_json_object_is_misspoken(body: bytes) -> None:
    assert refused(body).result == "misspoke"


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (404, Fault.AUTHORIZATION_SERVER_MISSPOKE),
        (401, Fault.AUTHORIZATION_SERVER_MISSPOKE),
        (302, Fault.AUTHORIZATION_SERVER_MISSPOKE),
        (201, Fault.AUTHORIZATION_SERVER_MISSPOKE),
        (408, Fault.AUTHORIZATION_SERVER_UNAVAILABLE),
        (429, Fault.AUTHORIZATION_SERVER_UNAVAILABLE),
        (503, Fault.AUTHORIZATION_SERVER_UNAVAILABLE),
    ],
)
def test_no_document_is_the_servers_trouble_by_its_status(status: int, fault: Fault) -> None:
    failure = refused({"issuer": ISSUER, "token_endpoint": some.ENDPOINT}, status=status)
    assert failure.error.fault is fault
    assert not failure.refusal


# What is offered.


def offered(document: dict[str, Any], **keys: Any) -> str | None:
    whole = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token"} | document
    client = some.client(issuer=ISSUER, **keys)
    located = read_document(client, Answer(200, json.dumps(whole).encode()))
    proof = None
    if client.authentication == "private_key_jwt":
        text = Secret(some_keys.pem(RSA))
        proof = understand(text, authentication="private_key_jwt", algorithm=client.algorithm)
    return discrepancy(client, located, proof)


@pytest.mark.parametrize(
    ("authentication", "methods", "fits"),
    [
        ("client_secret_basic", None, True),
        ("client_secret_post", None, False),
        ("client_secret_post", ["client_secret_basic", "client_secret_post"], True),
        ("client_secret_basic", ["client_secret_post"], False),
        ("client_secret_basic_and_post", ["client_secret_post"], True),
        ("client_secret_basic_and_post", ["private_key_jwt"], False),
        ("client_assertion_file", ["private_key_jwt"], True),
        ("client_assertion_file", ["client_secret_jwt"], False),
        ("none", ["none"], True),
        ("none", [], False),
        ("none", "none", False),
        ("none", [1, None], False),
    ],
)
def test_a_method_that_is_not_offered_is_told(
    authentication: str, methods: Any, *, fits: bool
) -> None:
    """A-73: absent means client_secret_basic (RFC 8414 §2), not any."""
    document = {} if methods is None else {"token_endpoint_auth_methods_supported": methods}
    told = offered(document, authentication=authentication)
    assert (told is None) is fits
    assert fits or f"`authentication: {authentication}`" in str(told)
    # What a document does not say is not put into its mouth.
    assert fits or methods not in (None, [], "none") or "it has no" in str(told)


def test_where_the_endpoint_is_configured_nothing_is_known_of_what_is_offered() -> None:
    client = some.client(authentication="client_secret_post")
    assert discrepancy(client, Located(some.ENDPOINT), None) is None


def test_an_algorithm_that_is_not_offered_is_told() -> None:
    document: dict[str, Any] = {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}
    keys = {"authentication": "private_key_jwt", "algorithm": "PS256"}
    assert offered(document, **keys) is None
    document["token_endpoint_auth_signing_alg_values_supported"] = ["RS256", "ES256"]
    assert "RS256, ES256" in str(offered(document, **keys))
    assert offered(document, authentication="private_key_jwt") is None
    document["token_endpoint_auth_signing_alg_values_supported"] = ["ES256"]
    # What the key signs with counts, not what is configured of it.
    assert "does not offer RS256" in str(offered(document, authentication="private_key_jwt"))


def test_what_the_server_lists_is_cut_and_cleaned() -> None:
    told = offered({"token_endpoint_auth_methods_supported": ["a\r\nb" * 1000]})
    assert told is not None
    assert len(told) < 400
    assert "\n" not in told


def test_a_long_list_costs_no_time() -> None:
    """R-07: whatever a server lists, it is looked at for a moment only."""
    lists = [["eyJ-" * 60_000], ["eyJ-"] * 60_000, ["access_token" + '"' * 240_000]]
    for methods in lists:
        told = offered({"token_endpoint_auth_methods_supported": methods})
        assert told is not None
        assert len(told) < 400


@pytest.mark.parametrize(
    ("keys", "issuer", "believed"),
    [
        ({"issuer": ISSUER}, ISSUER, ISSUER),
        ({"discovery": f"{ISSUER}{OPENID}"}, ISSUER, ISSUER),
        ({"discovery": "https://auth.example.com" + OAUTH + "/tenant"}, ISSUER, ISSUER),
        ({"discovery": f"https://evil.example{OPENID}"}, ISSUER, None),
        ({"discovery": f"{ISSUER}/other"}, ISSUER, None),
        ({"discovery": f"{ISSUER}{OPENID}"}, "http://user@evil.example", None),
        ({"discovery": f"{ISSUER}{OPENID}"}, ["x"], None),
        ({"discovery": f"{ISSUER}{OPENID}"}, "", None),
    ],
)
def test_an_issuer_is_known_only_where_its_own_document_says_so(
    keys: dict[str, str], issuer: Any, believed: str | None
) -> None:
    """A-61, RFC 10070: an assertion for one server must not be given to another."""
    document = {"issuer": issuer, "token_endpoint": "https://auth.example.com/token"}
    answer = Answer(200, json.dumps(document).encode())
    assert read_document(some.client(**keys), answer).issuer == believed


@pytest.mark.parametrize(
    ("keys", "fine"),
    [
        ({"issuer": "http://127.0.0.1:1"}, True),
        ({"issuer": "https://auth.example.com"}, False),
        ({"issuer": "https://auth.example.com", "allow_http": True}, True),
        ({"issuer": "http://127.0.0.1:1", "http_proxy": "http://proxy.example:3128"}, False),
    ],
)
def test_a_document_leads_to_nothing_less_safe_than_itself(
    keys: dict[str, Any], *, fine: bool
) -> None:
    """A-72; behind a proxy, `127.0.0.1` is not this machine."""
    document = {"issuer": keys["issuer"], "token_endpoint": "http://127.0.0.1:2/token"}
    answer = Answer(200, json.dumps(document).encode())
    if fine:
        assert read_document(some.client(**keys), answer).token_endpoint.startswith("http:")
    else:
        with pytest.raises(FetchFailed, match="plain http"):
            read_document(some.client(**keys), answer)


def test_a_certificate_is_shown_at_no_plain_endpoint() -> None:
    """T-47: a method that proves us by TLS fails closed where there is none."""
    client = some.client(
        secret=None,
        issuer="http://127.0.0.1",
        authentication="tls_client_auth",
        tls={"certificate_file": "/x"},
    )
    document = {"issuer": "http://127.0.0.1", "token_endpoint": "http://127.0.0.1/token"}
    with pytest.raises(FetchFailed, match="no certificate is shown"):
        read_document(client, Answer(200, json.dumps(document).encode()))
