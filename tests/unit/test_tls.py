"""`proxy.tls`: what a context verifies, who shares one, and what a changed file does to it."""

from __future__ import annotations

import asyncio
import io
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import yaml
from cryptography.hazmat.primitives import serialization

from proxy.app import App
from proxy.config.loader import Loaded, load_text
from proxy.config.schema import Tls
from proxy.errors import Fault, ProxyError
from proxy.telemetry.log import Log
from proxy.tls import TlsContexts, tls_context

if TYPE_CHECKING:
    from pathlib import Path


def test_a_context_verifies_chain_and_name_and_speaks_nothing_older_than_1_2() -> None:
    context = tls_context(Tls())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_ca_file_is_trusted_instead_of_the_systems_authorities(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    assert len(tls_context(Tls(ca_file=str(file))).get_ca_certs()) == 1


@pytest.mark.parametrize("together", [True, False])
def test_a_client_certificate_is_loaded_from_one_file_or_two(
    tmp_path: Path, *, together: bool
) -> None:
    issued = trustme.CA().issue_cert("billing.example.com")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    if together:
        issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
        tls_context(Tls(certificate_file=str(certificate)))
    else:
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))
        tls_context(Tls(certificate_file=str(certificate), key_file=str(key)))


def test_an_encrypted_key_is_an_os_error_and_nobody_is_asked_for_its_password(
    tmp_path: Path,
) -> None:
    issued = trustme.CA().issue_cert("billing.example.com")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    file = tmp_path / "own.pem"
    file.write_bytes(encrypted + issued.cert_chain_pems[0].bytes())
    with pytest.raises(OSError, match="the private key is encrypted"):
        tls_context(Tls(certificate_file=str(file)))


def test_one_context_serves_all_who_trust_the_same(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    contexts = TlsContexts()
    plain, own = contexts.of(Tls()), contexts.of(Tls(ca_file=str(file)))
    assert contexts.of(Tls()) is contexts.of(Tls(server_name="a.example")) is plain
    assert contexts.of(Tls(ca_file=str(file), server_name="a.example")) is own
    assert own is not plain
    assert TlsContexts().of(Tls()) is not plain


def test_a_context_that_cannot_be_made_is_tried_anew_the_next_time(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    contexts, tls = TlsContexts(), Tls(ca_file=str(file))
    with pytest.raises(FileNotFoundError):
        _ = contexts.of(tls).current
    trustme.CA().cert_pem.write_to_path(str(file))
    assert len(contexts.of(tls).current.get_ca_certs()) == 1


async def test_twenty_upstreams_that_trust_the_same_cost_a_start_one_context(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = counted_contexts(monkeypatch)
    upstreams = {
        f"u{n}": {"url": f"https://u{n}.example", "audience": "none", "match": {"path": f"/{n}"}}
        for n in range(20)
    }
    config = load_text(yaml.safe_dump({"upstreams": upstreams}), "f.yaml", {}, tmp_path)
    log = Log(format="json", level="info", access="off", stream=io.StringIO(), wall=lambda: 0.0)
    app = App(Loaded(config, "f.yaml"), log=log)
    await app.close()
    assert len(made) == 1


async def test_upstreams_without_tls_cost_a_start_no_context(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = counted_contexts(monkeypatch)
    document = {"upstreams": {"u": {"url": "http://127.0.0.1:9", "audience": "none"}}}
    config = load_text(yaml.safe_dump(document), "f.yaml", {}, tmp_path)
    log = Log(format="json", level="info", access="off", stream=io.StringIO(), wall=lambda: 0.0)
    app = App(Loaded(config, "f.yaml"), log=log)
    await app.close()
    assert made == []


def counted_contexts(monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """Return a list that grows by each client context that is made."""
    made: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def count(*arguments: Any, **keywords: Any) -> ssl.SSLContext:
        made.append(make(*arguments, **keywords))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", count)
    return made


@pytest.mark.parametrize("content", [None, "", "no certificate"])
@pytest.mark.parametrize("key", ["ca_file", "certificate_file"])
def test_a_file_that_cannot_be_used_is_an_os_error(
    tmp_path: Path, key: str, content: str | None
) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OSError):  # noqa: PT011 - the kinds differ, the family is the contract
        tls_context(Tls.model_validate({key: str(file)}))


async def test_a_file_that_changed_makes_another_context_for_all_who_share_it(
    tmp_path: Path,
) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    contexts, tls = TlsContexts(), Tls(ca_file=str(file))
    shared = contexts.of(tls)
    first = await shared.ready()
    assert not await shared.reload()
    assert shared.current is first
    trustme.CA().cert_pem.write_to_path(str(file), append=True)
    assert await contexts.of(Tls(ca_file=str(file), server_name="a.example")).reload()
    assert shared.current is not first
    assert len(shared.current.get_ca_certs()) == 2


async def test_however_many_ask_files_are_read_once_and_the_newest_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    shared = TlsContexts().of(Tls(ca_file=str(file)))
    made = counted_contexts(monkeypatch)
    make = ssl.create_default_context

    def changed_meanwhile(*arguments: Any, **keywords: Any) -> ssl.SSLContext:
        context = make(*arguments, **keywords)
        if len(made) == 1:
            trustme.CA().cert_pem.write_to_path(str(file), append=True)
        return context

    monkeypatch.setattr(ssl, "create_default_context", changed_meanwhile)
    contexts = await asyncio.gather(*(shared.ready() for _ in range(8)))
    assert set(contexts) == {shared.current}
    assert len(made) == 2
    assert len(shared.current.get_ca_certs()) == 2


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("certificate", "no PEM, certificate and key are no pair"),
        ("", "no PEM"),
        (None, "No such file"),
        ("encrypted", "encrypted"),
    ],
)
async def test_a_certificate_that_cannot_be_used_leaves_the_old_one_in_use(
    tmp_path: Path, broken: str | None, reason: str
) -> None:
    """T-47, T-49: never a connection without the certificate that was configured."""
    issued, other = (trustme.CA().issue_cert(f"{name}.example") for name in ("one", "two"))
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    shared = TlsContexts().of(Tls(certificate_file=str(certificate), key_file=str(key)))
    first = shared.current
    match broken:
        case None:
            certificate.unlink()
        case "certificate":
            # The certificate is swapped already and the key is not.
            other.cert_chain_pems[0].write_to_path(str(certificate))
        case "encrypted":
            key.write_bytes(encrypted(issued.private_key_pem.bytes()))
        case text:
            certificate.write_text(text)
    for _ in range(2):
        with pytest.raises(ProxyError, match=reason) as caught:
            await shared.reload()
        assert caught.value.fault is Fault.CREDENTIAL_UNREADABLE
        assert str(tmp_path) not in caught.value.detail
    assert shared.current is first
    other.cert_chain_pems[0].write_to_path(str(certificate))
    other.private_key_pem.write_to_path(str(key))
    assert await shared.reload()
    assert shared.current is not first


def encrypted(pem: bytes) -> bytes:
    return serialization.load_pem_private_key(pem, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
