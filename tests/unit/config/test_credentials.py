from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest
import trustme

from proxy.config.secrets import SecretSource
from proxy.model import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Inspector, Reader

TLS = "    tls: {%s}\n"


def test_a_secret_file_is_found_beside_the_configuration_file(
    read: Reader, valid: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("fr0m file\n")
    config = read(valid.replace("client_secret: ${SECRET}", "client_secret_file: secret"))
    source = config.clients["billing"].client_secret
    assert source == SecretSource(file=tmp_path / "secret")
    assert source.read() == source.first == Secret("fr0m file")


def test_a_file_that_cannot_be_read_is_reported_at_its_key(problems: Inspector, valid: str) -> None:
    [problem] = problems(valid.replace("client_secret: ${SECRET}", "client_secret_file: /none/x"))
    assert problem.path == "clients.billing.client_secret_file"
    assert (problem.line, problem.column) == (5, 25)
    assert problem.message == "the secret file cannot be read: No such file or directory"


@pytest.mark.parametrize("value", ["12", "''", "[a]", "true"])
def test_a_path_that_is_none_is_refused(problems: Inspector, valid: str, value: str) -> None:
    [problem] = problems(valid.replace("client_secret: ${SECRET}", f"client_secret_file: {value}"))
    assert problem.message == "should be the path of a file"


def test_a_secret_and_its_file_exclude_one_another(
    problems: Inspector, valid: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("x")
    text = valid.replace("client_secret:", "client_secret_file: secret\n    client_secret:")
    [problem] = problems(text)
    assert "both given" in problem.message
    (tmp_path / "secret").unlink()
    assert len(problems(text.replace("${SECRET}", "42"))) == 3


@pytest.mark.parametrize("secret", ["hunter2", "'hunter2'", "${NONE:-hunter2}", "$$hunter2"])
def test_a_secret_in_the_file_is_refused_unless_allowed(
    problems: Inspector, read: Reader, valid: str, secret: str
) -> None:
    text = valid.replace("${SECRET}", secret)
    [problem] = problems(text)
    assert problem.path == "clients.billing.client_secret"
    allowed = read("allow_inline_secrets: true\n" + text).clients["billing"].client_secret
    assert allowed is not None
    assert allowed.read().reveal().endswith("hunter2")
    assert read("allow_inline_secrets: ${YES}\n" + text, YES="true")


def test_a_default_that_was_not_needed_is_no_literal_secret(read: Reader, valid: str) -> None:
    config = read(valid.replace("${SECRET}", "${SECRET:-fallback}"))
    assert config.clients["billing"].client_secret == SecretSource(value=Secret("s3cr3t"))


@pytest.mark.parametrize(
    "secret",
    ["hunter2", "8128128128", "[hunter2]", "{hunter2: hunter2}", "2024-hunter2", "!hunter2 x",
     "${hunter2", "1985-10-26", "${PW}x${NONE}", "hunter2: x", "'hunter2", "*hunter2", "%hunter2"],
)  # fmt: skip
def test_no_message_repeats_a_secret(problems: Inspector, valid: str, secret: str) -> None:
    text = valid.replace("${SECRET}", secret).replace("client_id: billing", "client_id: 8128128128")
    text = text.replace("api.example.com/v1", "hunter2@api.example.com/?hunter2")
    found = problems(text + "    set_headers: {X-Key: [hunter2]}\n", PW="hunter2")
    assert found
    # A key is no value: that an unknown one is named is what makes the message of use.
    report = json.dumps([asdict(problem) for problem in found]).replace("client_secret.hunter2", "")
    assert "hunter2" not in report
    assert "8128128128" not in report
    assert "1985" not in report


def test_an_empty_secret_is_refused(problems: Inspector, valid: str) -> None:
    [problem] = problems(valid.replace("${SECRET}", "${EMPTY}"), EMPTY="")
    assert problem.message == "is empty"


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """Return a directory with `ca.pem`, `client.pem`, `client.key` and another `other.key`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client, other = authority.issue_cert("client.example"), authority.issue_cert("other.example")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    other.private_key_pem.write_to_path(tmp_path / "other.key")
    (tmp_path / "no.pem").write_text("no certificate")
    return tmp_path


def test_tls_files_are_read_and_their_paths_made_absolute(
    read: Reader, valid: str, pem: Path
) -> None:
    files = "ca_file: ca.pem, certificate_file: client.pem, key_file: client.key"
    tls = read(valid + TLS % files).upstreams["orders"].tls
    assert tls.ca_file == str(pem / "ca.pem")
    assert tls.certificate_file == str(pem / "client.pem")
    assert tls.key_file == str(pem / "client.key")
    assert read(valid + TLS % "certificate_file: both.pem")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("ca_file: none.pem", ("ca_file", "cannot be read")),
        ("ca_file: no.pem", ("ca_file", "holds no PEM certificates")),
        ("ca_file: ''", ("ca_file", "should be the path of a file")),
        ("key_file: client.key", ("key_file", "no certificate_file")),
        ("certificate_file: client.pem", ("certificate_file", "no pair")),
        ("certificate_file: client.pem, key_file: other.key", ("certificate_file", "no pair")),
        ("certificate_file: client.pem, key_file: none", ("key_file", "cannot be read")),
        ("certificate_file: none, key_file: client.key", ("certificate_file", "cannot be read")),
        ("ca_file: '${UNSET}'", ("ca_file", "not set")),
    ],
)
def test_tls_files_that_would_fail_later_fail_now(
    problems: Inspector, valid: str, pem: Path, files: str, expected: tuple[str, str]
) -> None:
    assert pem.is_dir()
    [problem] = problems(valid + TLS % files)
    key, message = expected
    assert problem.path == f"upstreams.orders.tls.{key}"
    assert message in problem.message


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(
    problems: Inspector, valid: str, pem: Path
) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((pem / "client.key").read_bytes(), None)
    (pem / "client.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    text = valid + TLS % "certificate_file: client.pem, key_file: client.key"
    [problem] = problems(text)
    assert "encrypted" in problem.message
