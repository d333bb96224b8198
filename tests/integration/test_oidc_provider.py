"""End to end with npm's oidc-provider: an implementation of the RFCs that is not ours.

It takes a client's id and secret in Basic form-encoded only (RFC 6749 §2.3.1), and both hold
visible ASCII and spaces only (the VSCHAR of appendix A), so `é` is met with django-oauth-toolkit.
Its access tokens are JWTs (RFC 9068) where `resource` (RFC 8707) names the API.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from integration.oidc_provider import ORDERS, SHORT, TWENTY_SECONDS, Provider, config, start
from integration.proxy_process import StartProxy, get
from integration.recording_upstream import RecordedRequest, RecordingUpstream, answer_ok
from integration.steady_load import steady_load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.foreign_server import StartServer

ODD_ID = "orders:billing+1 50%/x"
ODD_SECRET = "s:e+c%r/e t&=%2B?'~"
COLONLESS_ID = "an id that raw Basic can carry"
POST_ID = "post:er+ %/"
POST_SECRET = "p:o+s%t/ &=%2F"

CLIENTS = [
    {
        "client_id": client_id,
        "client_secret": secret,
        "token_endpoint_auth_method": authentication,
    }
    for client_id, secret, authentication in (
        (ODD_ID, ODD_SECRET, "client_secret_basic"),
        (COLONLESS_ID, ODD_SECRET, "client_secret_basic"),
        (POST_ID, POST_SECRET, "client_secret_post"),
    )
]


@pytest.fixture(scope="session")
def provider(start_oidc_provider: StartServer) -> Iterator[Provider]:
    running = start(start_oidc_provider, clients=CLIENTS)
    yield running
    running.server.stop()


def client_of(provider: Provider, **keys: Any) -> dict[str, Any]:
    """Return the configuration of the client that authenticates with Basic, and `keys`."""
    return {
        "token_endpoint": provider.token_endpoint,
        "client_id": ODD_ID,
        "client_secret": ODD_SECRET,
    } | keys


async def test_a_plain_request_arrives_with_a_token_for_the_resource_and_scope_asked_for(
    provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    proxy = await start_proxy(config(client_of(provider), upstream, scope="orders:read"))

    assert await proxy.get("/invoices?page=2") == (200, b"ok\n")

    (request,) = upstream.requests
    assert request.target == b"/v1/invoices?page=2"
    claims = provider.claims(request)
    assert claims["aud"] == ORDERS
    assert claims["scope"] == "orders:read"
    assert claims["client_id"] == ODD_ID
    assert claims["iss"] == provider.server.url


async def test_post_carries_an_id_and_secret_of_reserved_characters(
    provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    client = client_of(
        provider, client_id=POST_ID, client_secret=POST_SECRET, authentication="client_secret_post"
    )
    proxy = await start_proxy(config(client, upstream))

    assert await proxy.get() == (200, b"ok\n")

    assert provider.claims(upstream.requests[0])["client_id"] == POST_ID


@pytest.mark.parametrize("known", ["issuer", "discovery"])
async def test_the_token_endpoint_is_found_in_the_servers_own_metadata(
    known: str, provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    client = client_of(provider)
    del client["token_endpoint"]
    suffix = "/.well-known/openid-configuration" if known == "discovery" else ""
    client[known] = provider.server.url + suffix
    proxy = await start_proxy(config(client, upstream))

    assert await proxy.get() == (200, b"ok\n")

    assert provider.claims(upstream.requests[0])["aud"] == ORDERS


@pytest.mark.parametrize(
    ("client", "audience"),
    [
        pytest.param({"client_secret": "wrong"}, {}, id="secret"),
        pytest.param({"client_id": COLONLESS_ID, "basic_encoding": "raw"}, {}, id="raw-basic"),
        pytest.param({}, {"resource": "urn:api:unknown"}, id="resource"),
    ],
)
async def test_what_the_server_refuses_is_502_grant_refused_and_nothing_is_sent_upstream(
    client: dict[str, Any],
    audience: dict[str, Any],
    provider: Provider,
    upstream: RecordingUpstream,
    start_proxy: StartProxy,
) -> None:
    proxy = await start_proxy(config(client_of(provider, **client), upstream, **audience))

    async with aiohttp.ClientSession() as session, session.get(proxy.url) as answer:
        problem = json.loads(await answer.read())

    assert answer.status == 502
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Proxy-Status"].startswith("token-proxy; error=")
    assert (problem["code"], problem["status"]) == ("grant_refused", 502)
    assert problem["upstream"] == "orders"
    assert upstream.requests == []
    assert "wrong" not in proxy.log_file.read_text()


async def test_a_hundred_first_callers_cost_one_token_request(
    start_oidc_provider: StartServer, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    # A server of its own: it is asked how many tokens it gave.
    provider = start(start_oidc_provider, clients=CLIENTS)
    proxy = await start_proxy(config(client_of(provider), upstream))

    answers = await asyncio.gather(*(proxy.get(f"/{number}") for number in range(100)))

    assert answers == [(200, b"ok\n")] * 100
    assert await get(f"{provider.server.url}/granted") == (200, b'{"granted":1}')
    assert len({provider.claims(request)["jti"] for request in upstream.requests}) == 1
    provider.server.stop()


@pytest.mark.slow
async def test_tokens_are_renewed_under_load_while_nobody_waits_and_none_is_sent_lapsed(
    provider: Provider, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    seen: dict[str, set[str]] = {TWENTY_SECONDS: set(), SHORT: set()}
    lapsed: list[tuple[str, float]] = []
    enough = asyncio.Event()

    async def judge(request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        claims = provider.claims(request)
        # As strict as an API can be: `exp` is in whole seconds, rounded down, no leeway.
        if (late := datetime.now(UTC).timestamp() - claims["exp"]) >= 0:
            lapsed.append((claims["aud"], late))
        seen[claims["aud"]].add(claims["jti"])
        if len(seen[TWENTY_SECONDS]) >= 2 and len(seen[SHORT]) >= 3:
            enough.set()
        await answer_ok(request, writer)

    upstream.answer = judge
    audience = {"client": "billing", "prefetch": False}
    proxy = await start_proxy(
        {
            "clients": {"billing": client_of(provider)},
            "audiences": {
                "twenty": audience | {"resource": TWENTY_SECONDS},
                # Renewed at half its life, so that a second lost to rounding does not matter.
                "short": audience | {"resource": SHORT, "renew_at": 0.5},
            },
            "upstreams": {
                name: {"url": upstream.url, "audience": name, "match": {"path": f"/{name}"}}
                for name in ("twenty", "short")
            },
        }
    )
    for name in ("twenty", "short"):
        assert await proxy.get(f"/{name}") == (200, b"ok\n")

    async with asyncio.timeout(60):
        loads = await asyncio.gather(
            *(
                steady_load(f"{proxy.url}/{name}", per_second=25, enough=enough)
                for name in ("twenty", "short")
            )
        )

    assert lapsed == []
    for name, statuses in zip(("twenty", "short"), loads, strict=True):
        assert set(statuses) == {200}
        lookups = "tokenproxy_token_lookups_total"
        assert await proxy.metric(lookups, audience=name, result="miss") == 1
        assert await proxy.metric(lookups, audience=name, result="joined") == 0
        assert await proxy.metric("tokenproxy_token_wait_seconds_count", audience=name) == 1


async def test_with_the_server_gone_live_tokens_serve_and_its_return_is_noticed(
    start_oidc_provider: StartServer, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    provider = start(start_oidc_provider, clients=CLIENTS)
    enough = asyncio.Event()
    # Renewal is due after 1 to 3 of 20 seconds: it fails while the token lives, and has the rest
    # of that life to succeed after the server's return.
    proxy = await start_proxy(
        config(client_of(provider), upstream, resource=TWENTY_SECONDS, renew_at=0.1)
    )
    assert await proxy.get() == (200, b"ok\n")
    provider.server.stop()

    async def outage() -> None:
        failures = "tokenproxy_token_consecutive_failures"
        while not await proxy.metric(failures, audience="orders"):
            await asyncio.sleep(0.1)
        await asyncio.to_thread(provider.server.start)
        first = provider.claims(upstream.requests[0])["jti"]
        while provider.claims(upstream.requests[-1])["jti"] == first:
            await asyncio.sleep(0.1)
        enough.set()

    async with asyncio.timeout(60):
        statuses, _ = await asyncio.gather(
            steady_load(f"{proxy.url}/", per_second=25, enough=enough), outage()
        )

    assert set(statuses) == {200}
    provider.server.stop()
