"""`proxy.tokens.credential`: what is shown, when a file is read, and what an unusable one means."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from unit.config import some_keys
from unit.tokens import some

from proxy.config.secrets import SecretSource
from proxy.errors import Fault, ProxyError
from proxy.model import Secret
from proxy.telemetry.files import FileFacts
from proxy.telemetry.log import Log
from proxy.tls import TlsContexts
from proxy.tokens.credential import Credential
from proxy.tokens.outcome import FetchFailed

if TYPE_CHECKING:
    from pathlib import Path


def credential(**keys: Any) -> Credential:
    client = some.client(**keys)
    log = Log(format="json", level="info", access="off", stream=io.StringIO(), wall=lambda: 0.0)
    facts = FileFacts(log, monotonic=lambda: 0.0)
    return Credential("billing", client, TlsContexts().of(client.tls), facts)


def of_file(file: Path, authentication: str, **keys: Any) -> Credential:
    key = {"private_key_jwt": "private_key"}.get(authentication, authentication)
    source = SecretSource(file=file, what="private key")
    return credential(secret=None, authentication=authentication, **{key: source}, **keys)


async def test_a_secret_that_was_never_read_is_our_own_trouble_and_heals(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    own = credential(secret=SecretSource(file=file))
    with pytest.raises(FetchFailed) as caught:
        await own.read()
    assert caught.value.error.fault is Fault.CREDENTIAL_UNREADABLE
    assert caught.value.error.status == 503
    assert caught.value.awaits_credential
    assert str(tmp_path) not in caught.value.error.detail
    file.write_text("s3cr3t")
    proof = (await own.read()).proof
    assert proof is not None
    assert proof.text == Secret("s3cr3t")


async def test_a_key_that_is_half_written_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    """A-64: the old key is kept until the new one parses."""
    file = tmp_path / "key.pem"
    old, new = some_keys.pem(some_keys.P256), some_keys.pem(some_keys.ED25519)
    file.write_text(old)
    own = of_file(file, "private_key_jwt")
    first = await own.read()
    assert first.proof is not None
    assert first.proof.key is not None
    assert first.proof.key.algorithm == "ES256"
    file.write_text(new[:60])
    with pytest.raises(ProxyError) as caught:
        own.read_proof()
    assert "private key file" in caught.value.detail
    assert new[30:60] not in caught.value.detail
    again = await own.read()
    assert again.proof is first.proof
    assert "private key file" in str(again.stale)
    assert not await own.differs(first)
    file.write_text(new)
    assert await own.differs(first)
    after = await own.read()
    assert after.proof is not None
    assert after.proof.key is not None
    assert after.proof.key.algorithm == "EdDSA"
    assert after.stale is None


async def test_a_key_that_cannot_sign_as_configured_is_none(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(some_keys.pem(some_keys.P256))
    own = of_file(file, "private_key_jwt", algorithm="RS256")
    with pytest.raises(FetchFailed) as caught:
        await own.read()
    assert "ES256" in caught.value.error.detail


async def test_an_assertion_is_read_for_each_request_and_a_broken_one_leaves_the_last(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    file.write_text(some.jwt({"n": 1}) + "\n")
    own = of_file(file, "client_assertion_file")
    first = await own.read()
    file.write_text(some.jwt({"n": 2})[:8])
    again = await own.read()
    assert again.proof == first.proof
    assert again.stale
    file.write_text(some.jwt({"n": 2}))
    second = await own.read()
    assert second.proof is not None
    assert second.proof.text == Secret(some.jwt({"n": 2}))
    assert second.stale is None


async def test_a_key_that_is_the_same_is_not_worked_out_again(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(some_keys.jwk(some_keys.ED25519)))
    own = of_file(file, "private_key_jwt")
    first, again = await own.read(), await own.read()
    assert first.proof is not None
    assert again.proof is first.proof


async def test_a_certificate_that_was_swapped_is_another_credential(tmp_path: Path) -> None:
    authority = trustme.CA()
    file = tmp_path / "client.pem"
    authority.issue_cert("one.example").private_key_and_cert_chain_pem.write_to_path(str(file))
    own = credential(
        secret=None, authentication="tls_client_auth", tls={"certificate_file": str(file)}
    )
    shown = await own.read()
    assert shown.proof is None
    assert shown.tls is not None
    assert not await own.differs(shown)
    file.write_text("half a certif")
    assert not await own.differs(shown)
    assert (await own.read()).tls is shown.tls
    authority.issue_cert("two.example").private_key_and_cert_chain_pem.write_to_path(str(file))
    assert await own.differs(shown)


async def test_where_nothing_is_shown_nothing_can_change() -> None:
    own = credential(secret=None, authentication="none")
    shown = await own.read()
    assert (shown.proof, shown.tls) == (None, None)
    assert own.files == ()
    assert not await own.differs(shown)
