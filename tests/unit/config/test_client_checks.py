"""`proxy.config.client_checks` and `credentials`: what each method of authentication needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trustme
from unit.config import some_keys
from unit.config.some_keys import ED25519, P256, RSA
from unit.tokens import some

from proxy.config.display import to_display
from proxy.config.secrets import SecretSource

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Inspector, Reader

LONG = "a secret of at least thirty-two bytes"


def client(lines: str) -> str:
    body = "".join(f"    {line}\n" for line in lines.split("; "))
    if "token_endpoint" not in body:
        body += "    token_endpoint: https://a.example/t\n"
    return (
        f"clients:\n  billing:\n    client_id: x\n{body}"
        "audiences: {orders: {client: billing}}\n"
        "upstreams: {orders: {url: 'https://api.example.com', audience: orders}}\n"
    )


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "rsa.pem").write_text(some_keys.pem(RSA))
    (tmp_path / "ec.jwk").write_text(json.dumps(some_keys.jwk(P256, kid="k")))
    (tmp_path / "half.pem").write_text(some_keys.pem(ED25519)[:50])
    (tmp_path / "assertion").write_text(some.jwt({}))
    (tmp_path / "long").write_text(LONG)
    (tmp_path / "short").write_text("hunter2")
    issued = trustme.CA().issue_cert("client.example")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))


@pytest.mark.parametrize(
    "lines",
    [
        "authentication: client_secret_jwt; client_secret_file: long",
        "authentication: client_secret_jwt; client_secret_file: long; algorithm: HS256; key_id: k",
        "authentication: private_key_jwt; private_key_file: rsa.pem",
        "authentication: private_key_jwt; private_key_file: rsa.pem; algorithm: PS256",
        "authentication: private_key_jwt; private_key_file: ec.jwk; key_id: other",
        "authentication: private_key_jwt; private_key: ${KEY}; assertion_audience: urn:as",
        "authentication: private_key_jwt; private_key: ${KEY}; assertion_lifetime_seconds: 30",
        "authentication: client_assertion_file; client_assertion_file: assertion",
        "authentication: tls_client_auth; tls: {certificate_file: client.pem}",
        "authentication: self_signed_tls_client_auth; tls: {certificate_file: client.pem}",
        "client_secret: ${S}; tls: {certificate_file: client.pem}",
    ],
)
def test_each_method_is_content_with_what_it_needs(read: Reader, lines: str) -> None:
    assert read(client(lines), KEY=some_keys.pem(P256), S="s").clients["billing"]


@pytest.mark.parametrize(
    ("lines", "path", "message"),
    [
        ("authentication: client_secret_jwt", "client_secret", "is required"),
        ("authentication: private_key_jwt", "private_key", "or its _file twin"),
        ("authentication: client_assertion_file", "client_assertion_file", "is required"),
        ("authentication: tls_client_auth", "tls.certificate_file", "is required"),
        (
            "authentication: self_signed_tls_client_auth; tls: {ca_file: client.pem}",
            "tls.certificate_file",
            "is required",
        ),
        (
            "authentication: tls_client_auth; tls: {certificate_file: client.pem}; "
            "token_endpoint: http://127.0.0.1:1/t",
            "token_endpoint",
            "no certificate can be shown",
        ),
        ("authentication: none; private_key_file: rsa.pem", "private_key_file", "of no use"),
        ("authentication: none; client_assertion_file: assertion", "client_assertion_file",
         "no use"),
        ("authentication: none; key_id: k", "key_id", "of no use"),
        ("client_secret: ${S}; algorithm: RS256", "algorithm", "of no use"),
        ("client_secret: ${S}; assertion_audience: x", "assertion_audience", "of no use"),
        (
            "authentication: private_key_jwt; private_key_file: rsa.pem; client_secret: ${S}",
            "client_secret",
            "of no use",
        ),
        (
            "authentication: private_key_jwt; private_key_file: rsa.pem; algorithm: HS256",
            "algorithm",
            "does not go with",
        ),
        (
            "authentication: client_secret_jwt; client_secret_file: long; algorithm: RS256",
            "algorithm",
            "HS256, HS384 or HS512",
        ),
        (
            "authentication: private_key_jwt; private_key_file: rsa.pem; algorithm: ES256",
            "private_key_file",
            "signs with RS256",
        ),
        (
            "authentication: private_key_jwt; private_key_file: rsa.pem; algorithm: none",
            "algorithm",
            "should be one of",
        ),
        ("authentication: private_key_jwt; private_key_file: half.pem", "private_key_file",
         "the private key is PEM, but"),
        ("authentication: private_key_jwt; private_key_file: none.pem", "private_key_file",
         "the private key file cannot be read"),
        ("authentication: private_key_jwt; private_key_file: rsa.pem; private_key: ${KEY}",
         "private_key_file", "both given"),
        ("authentication: private_key_jwt; private_key: ${S}", "private_key", "neither PEM nor"),
        ("authentication: private_key_jwt; private_key: hunter2", "private_key",
         "use ${NAME} or private_key_file"),
        ("authentication: client_secret_jwt; client_secret_file: short", "client_secret_file",
         "shorter than the 32 bytes"),
        ("authentication: client_assertion_file; client_assertion_file: short",
         "client_assertion_file", "the client assertion is no JWT"),
        ("authentication: client_assertion_file; client_assertion_file: none",
         "client_assertion_file", "the client assertion file cannot be read"),
        ("authentication: client_assertion_file; client_assertion_file: 3",
         "client_assertion_file", "should be the path of a file"),
        ("client_secret: ${S}; token_endpoint: http://127.0.0.1:1/t; http_proxy: http://p:3128",
         "token_endpoint", "in clear"),
        ("client_secret: ${S}; tls: {certificate_file: client.pem}; http_proxy: https://p:3128",
         "http_proxy", "shown the certificate"),
        ("authentication: private_key_jwt; private_key_file: rsa.pem; "
         "assertion_lifetime_seconds: 3601", "assertion_lifetime_seconds", "at most 3600"),
        ("authentication: client_assertion_file; client_assertion: ${S}; "
         "client_assertion_file: assertion", "client_assertion", "is not a known key"),
    ],
)  # fmt: skip
def test_what_a_method_lacks_or_has_no_use_for_is_told_at_its_key(
    problems: Inspector, lines: str, path: str, message: str
) -> None:
    [problem] = problems(client(lines), S="hunter2", KEY=some_keys.pem(P256))
    assert problem.path == f"clients.billing.{path}"
    assert message in problem.message
    assert "hunter2" not in problem.message


def test_a_method_that_is_none_is_told_once_and_nothing_else(problems: Inspector) -> None:
    [problem] = problems(client("authentication: private_key; private_key_file: rsa.pem"))
    assert (problem.path, problem.suggestion) == (
        "clients.billing.authentication",
        "private_key_jwt",
    )
    [problem] = problems(client("authentication: [none]"))
    assert problem.path == "clients.billing.authentication"


def test_sources_are_read_once_more_where_they_are_and_shown_by_their_paths(
    read: Reader, tmp_path: Path
) -> None:
    lines = "authentication: client_assertion_file; client_assertion_file: assertion"
    config = read(client(lines))
    source = config.clients["billing"].client_assertion_file
    assert isinstance(source, SecretSource)
    assert source.read().reveal() == some.jwt({})
    shown = to_display(config)["clients"]["billing"]
    assert shown["client_assertion_file"] == str(tmp_path / "assertion")
    config = read(
        client("authentication: private_key_jwt; private_key: ${KEY}"), KEY=some_keys.pem(P256)
    )
    shown = to_display(config)["clients"]["billing"]
    assert shown["private_key"] == "***"
    config = read(client("authentication: private_key_jwt; private_key_file: rsa.pem"))
    shown = to_display(config)["clients"]["billing"]
    assert shown["private_key_file"] == str(tmp_path / "rsa.pem")
