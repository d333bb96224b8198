"""Client authentication by mutual TLS (RFC 8705), end to end with npm's oidc-provider.

Its issuer is on plain http, its TLS port is in `mtls_endpoint_aliases` alone: a token request that
arrives with a certificate went to the alias. All tokens are bound to the certificate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trustme
from integration.client_certificates import ClientCertificate, issued, self_signed
from integration.many_clients import (
    codes,
    config_of_audiences,
    config_of_clients,
    logged,
    warnings,
    well_again,
)
from integration.mounted_files import Mount
from integration.oidc_provider import Provider, config, start

if TYPE_CHECKING:
    from pathlib import Path

    from integration.foreign_server import StartServer
    from integration.proxy_process import StartProxy
    from integration.recording_upstream import RecordingUpstream

CA_AUTH = "tls_client_auth"
SELF_SIGNED_AUTH = "self_signed_tls_client_auth"


async def register(
    provider: Provider, client_id: str, *shown: ClientCertificate, by: str = "subject"
) -> None:
    """Register a client of which these are the certificates, known by `by`."""
    known: dict[str, Any] = {
        "subject": {"tls_client_auth_subject_dn": shown[0].subject},
        "name": {"tls_client_auth_san_dns": "billing.example"},
        "itself": {"jwks": {"keys": [each.jwk for each in shown]}},
    }[by]
    authentication = SELF_SIGNED_AUTH if by == "itself" else CA_AUTH
    await provider.register(
        client_id, authentication, tls_client_certificate_bound_access_tokens=True, **known
    )


@pytest.fixture
def trust(provider: Provider, tmp_path: Path) -> dict[str, str]:
    """Give the `tls` keys that trust the server."""
    file = tmp_path / "authority.pem"
    provider.authority.cert_pem.write_to_path(str(file))
    return {"ca_file": str(file)}


def files(folder: Path, shown: ClientCertificate, *, together: bool = False) -> dict[str, str]:
    """Write the certificate and its key; return the `tls` keys that name the files."""
    folder.mkdir()
    if together:
        (folder / "both.pem").write_text(shown.key + shown.chain)
        return {"certificate_file": str(folder / "both.pem")}
    (folder / "certificate.pem").write_text(shown.chain)
    (folder / "key.pem").write_text(shown.key)
    return {
        "certificate_file": str(folder / "certificate.pem"),
        "key_file": str(folder / "key.pem"),
    }


async def test_a_certificate_gets_a_token_that_is_bound_to_it_at_the_alias(
    provider: Provider,
    upstream: RecordingUpstream,
    start_proxy: StartProxy,
    trust: dict[str, str],
    tmp_path: Path,
) -> None:
    """RFC 8705 §2, §3.1 and §5; A-04, A-13."""
    known_by_authority = issued(provider.client_authority, "billing.example")
    known_by_itself = self_signed("billing")
    alias = (await provider.metadata())["mtls_endpoint_aliases"]["token_endpoint"]
    at_issuer, at_alias = {"issuer": provider.issuer}, {"token_endpoint": alias}
    by_document = {"discovery": provider.metadata_url}
    ways = {
        "known-by-subject": (known_by_authority, "subject", at_issuer, False),
        "known-by-name": (known_by_authority, "name", by_document, True),
        "at-endpoint": (known_by_authority, "subject", at_alias, True),
        "known-by-itself": (known_by_itself, "itself", at_issuer, True),
        "known-by-itself-too": (known_by_itself, "itself", by_document, False),
    }
    clients = {}
    for name, (shown, by, found, together) in ways.items():
        await register(provider, name, shown, by=by)
        clients[name] = found | {
            "client_id": name,
            "authentication": SELF_SIGNED_AUTH if by == "itself" else CA_AUTH,
            "tls": trust | files(tmp_path / name, shown, together=together),
        }
    proxy = await start_proxy(config_of_clients(clients, upstream))

    assert await codes(proxy, *clients) == dict.fromkeys(clients, (200, ""))

    for request, (name, (shown, *_)) in zip(upstream.requests, ways.items(), strict=True):
        claims = provider.claims(request)
        assert claims["client_id"] == name
        assert claims["cnf"] == {"x5t#S256": shown.thumbprint}
        (asked,) = await provider.asked(name)
        assert asked.certificate == shown.thumbprint
        assert asked.claims == {}
    assert warnings(proxy) == []


async def test_a_wrong_certificate_is_502_grant_refused_and_nothing_is_sent_upstream(
    provider: Provider,
    upstream: RecordingUpstream,
    start_proxy: StartProxy,
    trust: dict[str, str],
    tmp_path: Path,
) -> None:
    right = issued(provider.client_authority, "billing.example")
    wrong = {
        "other-authority": (issued(trustme.CA(), "billing.example"), "subject"),
        "other-subject": (issued(provider.client_authority, "other.example"), "subject"),
        "other-self": (self_signed("billing"), "itself"),
    }
    clients = {}
    for name, (shown, by) in wrong.items():
        await register(provider, name, self_signed("billing") if by == "itself" else right, by=by)
        clients[name] = {
            "issuer": provider.issuer,
            "client_id": name,
            "authentication": SELF_SIGNED_AUTH if by == "itself" else CA_AUTH,
            "tls": trust | files(tmp_path / name, shown),
        }
    proxy = await start_proxy(config_of_clients(clients, upstream))

    assert await codes(proxy, *clients) == dict.fromkeys(clients, (502, "grant_refused"))

    assert upstream.requests == []
    for name, (shown, _) in wrong.items():
        asked = await provider.asked(name)
        assert [(each.certificate, each.status) for each in asked] == [(shown.thumbprint, 401)]


async def test_a_new_certificate_is_shown_without_a_restart_and_half_a_one_never(
    provider: Provider,
    upstream: RecordingUpstream,
    start_proxy: StartProxy,
    trust: dict[str, str],
    tmp_path: Path,
) -> None:
    """A-13, T-47: what cannot be used leaves the old certificate in use, and never none."""
    old, new = self_signed("billing"), self_signed("billing")
    client_id = "rotating"
    await register(provider, client_id, old, new, by="itself")
    mount = Mount(tmp_path / "mount", certificate=old.chain, key=old.key)
    client = {
        "issuer": provider.issuer,
        "client_id": client_id,
        "authentication": SELF_SIGNED_AUTH,
        "tls": trust | {"certificate_file": mount["certificate"], "key_file": mount["key"]},
    }
    proxy = await start_proxy(config_of_audiences(client, upstream, "first", "half", "gone", "new"))

    assert await codes(proxy, "first") == {"first": (200, "")}
    # A certificate beside the key of another one, as when the two are written one by one.
    mount.swap(certificate=new.chain, key=old.key)
    await logged(proxy, "file_unusable")
    assert await codes(proxy, "half") == {"half": (200, "")}
    mount.swap()
    await logged(proxy, "file_unusable", times=2)
    assert await codes(proxy, "gone") == {"gone": (200, "")}
    mount.swap(certificate=new.chain, key=new.key)
    await logged(proxy, "file_read_again")
    assert await codes(proxy, "new") == {"new": (200, "")}

    shown = [old.thumbprint, old.thumbprint, old.thumbprint, new.thumbprint]
    assert [each.certificate for each in await provider.asked(client_id)] == shown
    bound = [provider.claims(request)["cnf"]["x5t#S256"] for request in upstream.requests]
    assert bound == shown
    assert "PRIVATE KEY" not in proxy.log_file.read_text()


@pytest.mark.parametrize("refused_before", [True, False])
async def test_a_certificate_that_is_right_at_last_ends_the_refusals_at_once(
    refused_before: bool,  # noqa: FBT001 - a case
    provider: Provider,
    upstream: RecordingUpstream,
    start_proxy: StartProxy,
    trust: dict[str, str],
    tmp_path: Path,
) -> None:
    """Read again when it changes, and when the one that was read before is refused."""
    wrong = issued(trustme.CA(), "billing.example")
    right = issued(provider.client_authority, "billing.example")
    client_id = f"late certificate, {refused_before}"
    await register(provider, client_id, right)
    mount = Mount(tmp_path / "mount", certificate=wrong.chain, key=wrong.key)
    client = {
        "issuer": provider.issuer,
        "client_id": client_id,
        "authentication": CA_AUTH,
        "tls": trust | {"certificate_file": mount["certificate"], "key_file": mount["key"]},
    }
    proxy = await start_proxy(config(client, upstream))
    if refused_before:
        assert await codes(proxy, "") == {"": (502, "grant_refused")}
        mount.swap(certificate=right.chain, key=right.key)
        await well_again(proxy, "")
    else:
        mount.swap(certificate=right.chain, key=right.key)
        assert await codes(proxy, "") == {"": (200, "")}

    *refused, granted = await provider.asked(client_id)
    assert (granted.certificate, granted.status) == (right.thumbprint, 200)
    assert [(each.certificate, each.status) for each in refused] in ([], [(wrong.thumbprint, 401)])
    assert refused or not refused_before


async def test_where_no_certificate_can_be_shown_nothing_is_asked(
    start_oidc_provider: StartServer,
    upstream: RecordingUpstream,
    start_proxy: StartProxy,
    tmp_path: Path,
) -> None:
    """T-47: this server's metadata names a token endpoint on plain http, and no alias."""
    provider = start(start_oidc_provider, methods=("client_secret_basic",), tls=False)
    client = {
        "issuer": provider.issuer,
        "client_id": "in clear",
        "authentication": CA_AUTH,
        "tls": files(tmp_path / "shown", issued(provider.client_authority, "billing.example")),
    }
    proxy = await start_proxy(config(client, upstream))

    ((status, code),) = (await codes(proxy, "")).values()

    assert (status, code) == (502, "authorization_server_misspoke")
    assert await provider.asked("in clear") == []
    assert upstream.requests == []
    provider.server.stop()
