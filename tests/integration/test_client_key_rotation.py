"""Keys, secrets and assertions that change under the running proxy, with npm's oidc-provider.

The server knows the new key and refuses the old one, or an assertion for its second use, as any
server does; nothing is restarted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from integration import client_keys
from integration.many_clients import codes, config_of_audiences, warnings, well_again
from integration.mounted_files import Mount, replace
from integration.oidc_provider import Provider, config
from integration.recording_upstream import RecordedRequest, RecordingUpstream, response

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from integration.proxy_process import StartProxy

OLD_SECRET = "the old secret, which has more than 32 bytes"
NEW_SECRET = "the new secret, which has more than 32 bytes"


async def test_an_assertion_of_somebody_else_is_read_for_each_request(
    provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    """RFC 7523 with a ready-made JWT, swapped as Kubernetes does with a projected token."""
    key = client_keys.MAKERS["rsa"]()
    await provider.register("projected", "private_key_jwt", jwks=client_keys.public(key))

    def projected(jti: str) -> str:
        return client_keys.assertion(key, "RS256", "projected", provider.issuer, jti=jti)

    mount = Mount(tmp_path / "serviceaccount", token=projected("first"))
    client = {
        "token_endpoint": provider.token_endpoint,
        "client_id": "projected",
        "authentication": "client_assertion_file",
        "client_assertion_file": mount["token"],
    }
    proxy = await start_proxy(config_of_audiences(client, upstream, "one", "two", "three"))
    assert await codes(proxy, "one") == {"one": (200, "")}
    mount.swap(token=projected("second"))
    assert await codes(proxy, "two") == {"two": (200, "")}
    # Nobody has swapped it since: the server refuses it, and a fresh one ends that at once.
    assert await codes(proxy, "three") == {"three": (502, "grant_refused")}
    mount.swap(token=projected("third"))
    await well_again(proxy, "three")

    assert [(each.claims["jti"], each.status) for each in await provider.asked("projected")] == [
        ("first", 200),
        ("second", 200),
        ("second", 401),
        ("third", 200),
    ]
    assert {provider.claims(each)["client_id"] for each in upstream.requests} == {"projected"}
    assert "eyJ" not in proxy.log_file.read_text()


async def test_a_new_key_is_used_from_the_next_token_request_on(
    provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    """A-64: half a key changes nothing but the log; the server knows both keys meanwhile."""
    old, new = client_keys.MAKERS["p256"](), client_keys.MAKERS["ed25519"]()
    jwks = client_keys.public(old, new, kids=("old", "new"))
    await provider.register("both keys", "private_key_jwt", jwks=jwks)
    old_text = client_keys.private(old, "jwk", kid="old")
    new_text = client_keys.private(new, "jwk", kid="new")
    mount = Mount(tmp_path / "keys", key=old_text)
    client = {
        "issuer": provider.issuer,
        "client_id": "both keys",
        "authentication": "private_key_jwt",
        "private_key_file": mount["key"],
    }
    proxy = await start_proxy(config_of_audiences(client, upstream, "one", "two", "three"))
    assert await codes(proxy, "one") == {"one": (200, "")}
    mount.swap(key=new_text[: len(new_text) // 2])
    assert await codes(proxy, "two") == {"two": (200, "")}
    mount.swap(key=new_text)
    assert await codes(proxy, "three") == {"three": (200, "")}

    asked = await provider.asked("both keys")
    assert [(each.header["kid"], each.header["alg"], each.status) for each in asked] == [
        ("old", "ES256", 200),
        ("old", "ES256", 200),
        ("new", "EdDSA", 200),
    ]
    assert any("the value read last is still used" in each for each in warnings(proxy))
    assert new_text[10:50] not in proxy.log_file.read_text()


@pytest.mark.parametrize("authentication", ["private_key_jwt", "client_secret_jwt"])
async def test_a_key_replaced_under_way_is_read_again_at_once_and_no_caller_notices(
    authentication: str,
    provider: Provider,
    upstream: RecordingUpstream,
    start_proxy: StartProxy,
    tmp_path: Path,
) -> None:
    """SPEC §3: `invalid_client` makes the file be read again at once; changed, one more try."""
    client_id = f"replaced {authentication}"
    file = tmp_path / "credential"
    if authentication == "private_key_jwt":
        old, new = client_keys.MAKERS["p256"](), client_keys.MAKERS["p256"]()
        await provider.register(client_id, authentication, jwks=client_keys.public(new))
        old_text, new_text = (client_keys.private(key, "pkcs8") for key in (old, new))
        key = "private_key_file"
    else:
        await provider.register(client_id, authentication, client_secret=NEW_SECRET)
        old_text, new_text, key = OLD_SECRET, NEW_SECRET, "client_secret_file"
    file.write_text(old_text)
    async with RecordingUpstream() as between:
        # The key changes when the request that it signed is out already.
        between.answer = passing_on(provider.token_endpoint, lambda: replace(file, new_text))
        client = {
            "token_endpoint": f"{between.url}/token",
            "assertion_audience": provider.issuer,
            "client_id": client_id,
            "authentication": authentication,
            key: str(file),
        }
        proxy = await start_proxy(config(client, upstream))
        assert await proxy.get() == (200, b"ok\n")

    assert [each.status for each in await provider.asked(client_id)] == [401, 200]


def passing_on(url: str, meanwhile: Callable[[], None]) -> Any:
    """Return what passes requests on to `url`, after calling `meanwhile`."""

    async def answer(request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        meanwhile()
        (media_type,) = request.values("Content-Type")
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                url, data=request.body, headers={"Content-Type": media_type.decode()}
            ) as passed,
        ):
            body = await passed.read()
            status = f"{passed.status} {passed.reason}"
        writer.write(response(body, status=status, fields=("Content-Type: application/json",)))

    return answer


async def test_a_key_that_the_server_has_learnt_ends_the_refusals(
    provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    """The server changed first, the file follows: the backoff of a refusal is not waited for."""
    old, new = client_keys.MAKERS["p256"](), client_keys.MAKERS["p256"]()
    await provider.register("late file", "private_key_jwt", jwks=client_keys.public(new))
    mount = Mount(tmp_path / "keys", key=client_keys.private(old, "pkcs8"))
    client = {
        "issuer": provider.issuer,
        "client_id": "late file",
        "authentication": "private_key_jwt",
        "private_key_file": mount["key"],
    }
    proxy = await start_proxy(config(client, upstream))
    assert await codes(proxy, "") == {"": (502, "grant_refused")}
    assert upstream.requests == []
    mount.swap(key=client_keys.private(new, "pkcs8"))
    await well_again(proxy, "")

    assert [each.status for each in await provider.asked("late file")] == [401, 200]
