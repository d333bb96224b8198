"""Assertions that the authorization server refuses, and methods that it does not offer.

With npm's oidc-provider, which says `invalid_client` to all of them and why to nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration import client_keys
from integration.many_clients import codes, config_of_clients, warnings
from integration.oidc_provider import Provider, start

if TYPE_CHECKING:
    from integration.foreign_server import StartServer
    from integration.proxy_process import StartProxy
    from integration.recording_upstream import RecordingUpstream

SECRET = "s:e+c%r/e t&=%2B?'~ of more than 32 bytes"
OTHER_SECRET = "not the one, though it has more than 32 bytes"


async def test_an_assertion_that_is_refused_is_502_grant_refused_and_nothing_is_sent_upstream(
    provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    right, wrong = client_keys.MAKERS["rsa"](), client_keys.MAKERS["rsa"]()
    key = {"authentication": "private_key_jwt", "private_key": client_keys.private(right, "pkcs8")}
    secret = {"authentication": "client_secret_jwt", "client_secret": SECRET}
    clients = {
        "wrong-key": key | {"private_key": client_keys.private(wrong, "pkcs8")},
        "wrong-kid": key | {"key_id": "another"},
        "wrong-audience": key | {"assertion_audience": "https://elsewhere.example"},
        "not-offered": key | {"algorithm": "RS384"},
        "wrong-secret": secret | {"client_secret": OTHER_SECRET},
        "secret-for-key": secret,
    }
    for name, keys in clients.items():
        keys |= {"issuer": provider.issuer, "client_id": name}
        if name == "wrong-secret":
            await provider.register(name, "client_secret_jwt", client_secret=SECRET)
        else:
            jwks = client_keys.public(right, kids=("one",))
            await provider.register(name, "private_key_jwt", jwks=jwks)
    proxy = await start_proxy(config_of_clients(clients, upstream))

    assert await codes(proxy, *clients) == dict.fromkeys(clients, (502, "grant_refused"))

    assert upstream.requests == []
    for name in clients:
        # The credential is what it was, so that nothing is tried twice.
        assert [each.status for each in await provider.asked(name)] == [401]
    log = proxy.log_file.read_text()
    assert "invalid_client" in log
    for unwanted in ("eyJ", "PRIVATE KEY", SECRET, OTHER_SECRET):
        assert unwanted not in log


async def test_a_method_that_the_server_does_not_offer_is_tried_and_warned_of(
    start_oidc_provider: StartServer, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    """A-73: `token_endpoint_auth_methods_supported` says what is offered."""
    metadata = {"token_endpoint_auth_method": "client_secret_post", "client_secret": SECRET}
    names = ("offered", "taken", "refused")
    provider = start(
        start_oidc_provider,
        methods=("client_secret_post", "none"),
        clients=[{"client_id": name} | metadata for name in names],
    )
    methods = ("client_secret_post", "client_secret_basic", "client_secret_jwt")
    clients = {
        name: {
            "issuer": provider.issuer,
            "client_id": name,
            "client_secret": SECRET,
            "authentication": method,
        }
        for name, method in zip(names, methods, strict=True)
    }
    proxy = await start_proxy(config_of_clients(clients, upstream))

    assert await codes(proxy, "offered") == {"offered": (200, "")}
    assert warnings(proxy) == []
    # This server takes Basic from whoever may send the secret in the body.
    assert await codes(proxy, "taken") == {"taken": (200, "")}
    assert await codes(proxy, "refused") == {"refused": (502, "grant_refused")}
    for warning, name, method in zip(warnings(proxy), names[1:], methods[1:], strict=True):
        assert name in warning
        assert method in warning
        assert "client_secret_post, none" in warning
    provider.server.stop()
