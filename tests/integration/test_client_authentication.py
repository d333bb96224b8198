"""Client authentication by JWT (RFC 7523), end to end with npm's oidc-provider.

It checks every assertion: issuer, subject, audience, signature, `kid`, and that no `jti` comes
twice. What it refuses is in `test_client_refusals`, keys and files that change are in
`test_client_key_rotation`, certificates in `test_client_certificates`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from integration import client_keys
from integration.many_clients import codes, config_of_clients, warnings
from integration.oidc_provider import TWENTY_SECONDS, Provider, config
from integration.recording_upstream import RecordedRequest, RecordingUpstream, answer_ok
from integration.steady_load import steady_load

if TYPE_CHECKING:
    from pathlib import Path

    from integration.proxy_process import StartProxy

ODD_SECRET = "s:e+c%r/e t&=%2B?'~ of more than 32 bytes"

# kind of key, its form, whose `kid`, the configured algorithm
FORMS = [
    (kind, form, kid, None)
    for kind, forms in {
        "rsa": ("pkcs8", "traditional", "jwk"),
        "p256": ("pkcs8", "traditional", "jwk"),
        "ed25519": ("pkcs8", "jwk"),
    }.items()
    for form in forms
    for kid in ("no", "configured", *(("own", "overruled") if form == "jwk" else ()))
] + [("rsa", "pkcs8", "no", "PS256"), ("rsa", "jwk", "own", "PS256")]


async def test_the_server_takes_an_assertion_that_is_right_and_takes_it_once(
    provider: Provider,
) -> None:
    """Without this the other tests would prove little: RFC 7523 §3, items 1 to 7."""
    key, other = client_keys.MAKERS["p256"](), client_keys.MAKERS["p256"]()
    await provider.register("direct", "private_key_jwt", jwks=client_keys.public(key))
    minute_ago = int(datetime.now(UTC).timestamp()) - 60

    def made(signed_with: client_keys.Key = key, **claims: Any) -> str:
        return client_keys.assertion(signed_with, "ES256", "direct", provider.issuer, **claims)

    right = made()
    wrong = [
        right,
        made(other),
        made(aud="https://elsewhere.example"),
        made(iss="another"),
        made(exp=minute_ago),
    ]
    assert (await client_keys.ask_with(provider.token_endpoint, right))[0] == 200
    for each in wrong:
        status, answer = await client_keys.ask_with(provider.token_endpoint, each)
        assert (status, answer["error"]) == (401, "invalid_client")

    once_more = (await provider.asked("direct"))[1]
    assert once_more.detail == "client assertion tokens must only be used once"


async def test_a_key_of_every_kind_and_form_gets_a_token_and_the_upstream_gets_it(
    provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    """RFC 7523 §3; A-60, A-61, A-63: claims, one audience, `kid`, `alg`, PEM and JWK."""
    keys = {kind: make() for kind, make in client_keys.MAKERS.items()}
    clients, expected = {}, {}
    for kind, form, kid, algorithm in FORMS:
        name = "-".join(filter(None, (kind, form, kid, algorithm)))
        sent_kid = {"configured": "told", "overruled": "told", "own": "its own"}.get(kid)
        own_kid = "its own" if kid in ("own", "overruled") else None
        await provider.register(
            name, "private_key_jwt", jwks=client_keys.public(keys[kind], kids=(sent_kid,))
        )
        text = client_keys.private(keys[kind], form, kid=own_kid)
        client = {
            "issuer": provider.issuer,
            "client_id": name,
            "authentication": "private_key_jwt",
            "key_id": "told" if sent_kid == "told" else None,
            "algorithm": algorithm,
        }
        if kid == "no":
            client["private_key"] = text
        else:
            (tmp_path / name).write_text(f"{text}\n")
            client["private_key_file"] = str(tmp_path / name)
        clients[name] = {key: value for key, value in client.items() if value is not None}
        expected[name] = (algorithm or client_keys.ALGORITHMS[kind], sent_kid)
    proxy = await start_proxy(config_of_clients(clients, upstream))

    assert await codes(proxy, *clients) == dict.fromkeys(clients, (200, ""))

    assert [provider.claims(each)["client_id"] for each in upstream.requests] == list(clients)
    every_jti = set()
    for name, (algorithm, sent_kid) in expected.items():
        (asked,) = await provider.asked(name)
        assert (asked.header["alg"], asked.header.get("kid")) == (algorithm, sent_kid)
        claims = asked.claims
        assert claims["iss"] == claims["sub"] == name
        assert claims["aud"] == provider.issuer
        assert claims["exp"] - claims["iat"] == 60
        every_jti.add(claims["jti"])
    assert len(every_jti) == len(clients)
    assert warnings(proxy) == []


async def test_a_secret_signs_an_assertion_and_does_not_leave(
    provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    """OpenID Connect Core §9, `client_secret_jwt`."""
    client_id = "a secret that signs: 50%"
    await provider.register(client_id, "client_secret_jwt", client_secret=ODD_SECRET)
    client = {
        "issuer": provider.issuer,
        "client_id": client_id,
        "client_secret": ODD_SECRET,
        "authentication": "client_secret_jwt",
    }
    proxy = await start_proxy(config(client, upstream))

    assert await proxy.get() == (200, b"ok\n")

    assert provider.claims(upstream.requests[0])["client_id"] == client_id
    (asked,) = await provider.asked(client_id)
    assert asked.header["alg"] == "HS256"
    assert asked.claims["iss"] == asked.claims["sub"] == client_id
    assert asked.claims["aud"] == provider.issuer
    assert asked.claims["exp"] - asked.claims["iat"] == 60
    assert asked.claims["jti"]


async def test_the_assertion_is_meant_for_the_issuer_where_it_is_known(
    provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    """A-61: else for the token endpoint; and for whom it is said to be, for as long as said."""
    key = client_keys.MAKERS["p256"]()
    ways = {
        "by-issuer": ({"issuer": provider.issuer}, provider.issuer, 60),
        "by-discovery": ({"discovery": provider.metadata_url}, provider.issuer, 60),
        "by-endpoint": ({"token_endpoint": provider.token_endpoint}, provider.token_endpoint, 60),
        "as-told": (
            {"issuer": provider.issuer, "assertion_audience": provider.token_endpoint},
            provider.token_endpoint,
            60,
        ),
        "for-shorter": (
            {"issuer": provider.issuer, "assertion_lifetime_seconds": 20},
            provider.issuer,
            20,
        ),
    }
    for name in ways:
        await provider.register(name, "private_key_jwt", jwks=client_keys.public(key))
    clients = {
        name: {
            "client_id": name,
            "authentication": "private_key_jwt",
            "private_key": client_keys.private(key, "pkcs8"),
        }
        | keys
        for name, (keys, _, _) in ways.items()
    }
    proxy = await start_proxy(config_of_clients(clients, upstream))

    assert await codes(proxy, *clients) == dict.fromkeys(clients, (200, ""))

    for name, (_, audience, lifetime_seconds) in ways.items():
        (asked,) = await provider.asked(name)
        assert asked.claims["aud"] == audience
        assert asked.claims["exp"] - asked.claims["iat"] == lifetime_seconds


async def test_an_assertion_of_a_few_seconds_is_not_over_when_it_is_made(
    provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    """However far its `iat` is put back for clocks that differ (A-62)."""
    key = client_keys.MAKERS["p256"]()
    await provider.register("brief", "private_key_jwt", jwks=client_keys.public(key))
    client = {
        "issuer": provider.issuer,
        "client_id": "brief",
        "authentication": "private_key_jwt",
        "private_key": client_keys.private(key, "pkcs8"),
        "assertion_lifetime_seconds": 5,
    }
    proxy = await start_proxy(config(client, upstream))
    begun_at = datetime.now(UTC).timestamp()

    # Granted or not: on a busy machine five seconds may pass before the server looks at it.
    await proxy.get()

    (asked,) = await provider.asked("brief")
    assert asked.claims["exp"] > begun_at


@pytest.mark.slow
async def test_a_short_token_is_renewed_again_and_again_each_time_with_a_new_assertion(
    provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    """A-60: this server refuses a `jti` that it has seen. A 20-second token, five renewals."""
    key = client_keys.MAKERS["ed25519"]()
    await provider.register("renewing", "private_key_jwt", jwks=client_keys.public(key))
    seen: set[str] = set()
    lapsed: list[float] = []
    enough = asyncio.Event()

    async def judge(request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        claims = provider.claims(request)
        if (late := datetime.now(UTC).timestamp() - claims["exp"]) >= 0:
            lapsed.append(late)
        seen.add(claims["jti"])
        if len(seen) >= 6:
            enough.set()
        await answer_ok(request, writer)

    upstream.answer = judge
    client = {
        "issuer": provider.issuer,
        "client_id": "renewing",
        "authentication": "private_key_jwt",
        "private_key": client_keys.private(key, "jwk"),
    }
    # Renewed after 1 to 3 of 20 seconds.
    proxy = await start_proxy(config(client, upstream, resource=TWENTY_SECONDS, renew_at=0.1))
    async with asyncio.timeout(60):
        statuses = await steady_load(f"{proxy.url}/", per_second=25, enough=enough)

    assert set(statuses) == {200}
    assert lapsed == []
    asked = await provider.asked("renewing")
    assert len(asked) >= 6
    assert {each.status for each in asked} == {200}
    assert len({each.claims["jti"] for each in asked}) == len(asked)
    fetches = "tokenproxy_token_fetches_total"
    renewed = await proxy.metric(fetches, audience="orders", reason="renewal", result="success")
    assert renewed >= 5
