"""End to end with django-oauth-toolkit: an independent server whose tokens are opaque.

It reads Basic form-encoded (it applies `unquote_plus` to both halves), in UTF-8, so an id and a
secret may hold any character; `raw` works only for those that hold no `+`, no `%`, and no `:` in
the id. It judges the tokens itself: by its introspection (RFC 7662), and in a view that it
protects, where a lapsed token is a 403.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from integration.logged import PATIENCE_SECONDS, logged_once
from integration.proxy_process import StartProxy, get
from integration.steady_load import steady_load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration.foreign_server import ForeignServer, StartServer
    from integration.recording_upstream import RecordingUpstream

ODD_ID = "é:b+c %/d%2B"
ODD_SECRET = "é:s+e%c/r e&t=%C3%A9 ü"
COLONLESS_ID = "an id that raw Basic can carry"
LONG_SECRET = "as long as a key of HS256 has to be"
PLAIN_ID = "reporting"
PLAIN_SECRET = "é/plain:enough for raw"


def start(start_django_oauth_toolkit: StartServer, lifetime_seconds: int) -> ForeignServer:
    return start_django_oauth_toolkit(
        {
            "lifetime_seconds": lifetime_seconds,
            "clients": [
                {"client_id": ODD_ID, "client_secret": ODD_SECRET},
                {"client_id": COLONLESS_ID, "client_secret": ODD_SECRET},
                {"client_id": PLAIN_ID, "client_secret": PLAIN_SECRET},
            ],
        }
    )


@pytest.fixture(scope="session")
def server(start_django_oauth_toolkit: StartServer) -> Iterator[ForeignServer]:
    running = start(start_django_oauth_toolkit, 20)
    yield running
    running.stop()


def client(server: ForeignServer, **keys: Any) -> dict[str, Any]:
    return {
        "token_endpoint": f"{server.url}/o/token/",
        "client_id": ODD_ID,
        "client_secret": ODD_SECRET,
    } | keys


def config(client: dict[str, Any], url: str, **audience: Any) -> dict[str, Any]:
    return {
        "clients": {"billing": client},
        "audiences": {
            "orders": {"client": "billing", "scope": "orders:read", "prefetch": False} | audience
        },
        "upstreams": {"orders": {"url": url, "audience": "orders"}},
    }


async def introspect(server: ForeignServer, token: bytes) -> dict[str, Any]:
    form = {"token": token.decode(), "client_id": PLAIN_ID, "client_secret": PLAIN_SECRET}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/o/introspect/", data=form) as answer,
    ):
        assert answer.status == 200
        return dict(await answer.json())


def sent_token(upstream: RecordingUpstream) -> bytes:
    (value,) = upstream.requests[-1].values("Authorization")
    assert value.startswith(b"Bearer ")
    return value.removeprefix(b"Bearer ")


@pytest.mark.parametrize(
    "authentication",
    ["client_secret_basic", "client_secret_post", "client_secret_basic_and_post"],
)
async def test_the_server_itself_vouches_for_the_token_that_arrives_upstream(
    authentication: str, server: ForeignServer, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    wanted = config(client(server, authentication=authentication), upstream.url)
    proxy = await start_proxy(wanted)

    assert await proxy.get("/invoices") == (200, b"ok\n")

    said = await introspect(server, sent_token(upstream))
    assert said["active"] is True
    assert said["client_id"] == ODD_ID
    assert said["scope"] == "orders:read"


@pytest.mark.parametrize(
    ("scope", "status"), [(["orders:read", "orders:write"], 200), ("orders:write", 403)]
)
async def test_the_servers_own_protected_view_judges_token_and_scope(
    scope: str | list[str], status: int, server: ForeignServer, start_proxy: StartProxy
) -> None:
    proxy = await start_proxy(config(client(server), server.url, scope=scope))

    seen, _ = await proxy.get("/protected/")

    assert seen == status
    requests = "tokenproxy_requests_total"
    assert await proxy.metric(requests, code=str(status), origin="upstream") == 1


async def test_raw_basic_serves_an_id_and_secret_that_decoding_leaves_alone(
    server: ForeignServer, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    plain = client(server, client_id=PLAIN_ID, client_secret=PLAIN_SECRET, basic_encoding="raw")
    proxy = await start_proxy(config(plain, upstream.url))

    assert await proxy.get() == (200, b"ok\n")

    assert (await introspect(server, sent_token(upstream)))["client_id"] == PLAIN_ID


async def test_the_token_endpoint_is_found_by_an_issuer_with_a_path(
    server: ForeignServer, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    """RFC 8414 §3.1: the well-known part stands between the host and the issuer's path."""
    found = client(server, issuer=f"{server.url}/o")
    del found["token_endpoint"]
    proxy = await start_proxy(config(found, upstream.url))

    assert await proxy.get() == (200, b"ok\n")

    assert (await introspect(server, sent_token(upstream)))["active"] is True


@pytest.mark.parametrize(
    ("keys", "audience"),
    [
        pytest.param({"client_secret": "wrong"}, {}, id="basic-secret"),
        pytest.param(
            {"client_secret": "wrong", "authentication": "client_secret_post"}, {}, id="post-secret"
        ),
        pytest.param({"client_id": COLONLESS_ID, "basic_encoding": "raw"}, {}, id="raw-basic"),
        pytest.param({}, {"scope": "orders:delete"}, id="scope"),
    ],
)
async def test_what_the_server_refuses_is_502_grant_refused_and_nothing_is_sent_upstream(
    keys: dict[str, Any],
    audience: dict[str, Any],
    server: ForeignServer,
    upstream: RecordingUpstream,
    start_proxy: StartProxy,
) -> None:
    proxy = await start_proxy(config(client(server, **keys), upstream.url, **audience))

    async with aiohttp.ClientSession() as session, session.get(proxy.url) as answer:
        problem = json.loads(await answer.read())

    assert answer.status == 502
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Proxy-Status"].startswith("token-proxy; error=")
    assert (problem["code"], problem["status"]) == ("grant_refused", 502)
    assert problem["upstream"] == "orders"
    assert upstream.requests == []


async def test_a_method_that_the_servers_metadata_does_not_offer_is_named_in_the_log(
    server: ForeignServer, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    """A-73: the server itself says no more than that it does not know us."""
    keys = {"authentication": "client_secret_jwt", "client_secret": LONG_SECRET}
    by_assertion = client(server, issuer=f"{server.url}/o", **keys)
    del by_assertion["token_endpoint"]
    proxy = await start_proxy(config(by_assertion, upstream.url))

    assert (await proxy.get())[0] == 502

    detail = (await logged_once(proxy, "token_fetch_failed"))["detail"]
    assert "does not offer `authentication: client_secret_jwt`" in detail
    assert "client_secret_post, client_secret_basic" in detail
    assert LONG_SECRET not in proxy.log_file.read_text()
    assert upstream.requests == []


async def test_a_secret_that_is_corrected_in_its_file_is_used_without_a_restart(
    server: ForeignServer, upstream: RecordingUpstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("an old secret\n")
    rotating = client(server, client_secret_file=str(file))
    del rotating["client_secret"]
    proxy = await start_proxy(config(rotating, upstream.url))
    assert (await proxy.get())[0] == 502
    failed = await logged_once(proxy, "token_fetch_failed")

    new = tmp_path / "new"
    new.write_text(ODD_SECRET + "\n")
    new.replace(file)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await proxy.get())[0] != 200:
            await asyncio.sleep(0.1)

    assert (await introspect(server, sent_token(upstream)))["client_id"] == ODD_ID
    fetches = "tokenproxy_token_fetches_total"
    assert await proxy.metric(fetches, audience="orders", result="refused") == 1
    assert await proxy.metric(fetches, audience="orders", result="success") == 1
    assert "invalid_client" in failed["detail"]


@pytest.mark.slow
@pytest.mark.parametrize(("lifetime_seconds", "tokens"), [(5, 5), (20, 2)])
async def test_tokens_are_renewed_under_load_while_nobody_waits_and_none_is_refused(
    lifetime_seconds: int,
    tokens: int,
    start_django_oauth_toolkit: StartServer,
    start_proxy: StartProxy,
) -> None:
    # A server of its own: it has one lifetime for all its tokens, and counts them.
    server = await asyncio.to_thread(start, start_django_oauth_toolkit, lifetime_seconds)
    # So early that the rest of the life is seconds, however busy the machine.
    renew_at = 0.5 if lifetime_seconds < 20 else 0.75
    proxy = await start_proxy(config(client(server), server.url, renew_at=renew_at))
    assert (await proxy.get("/protected/"))[0] == 200
    enough = asyncio.Event()

    async def until_renewed() -> None:
        renewals = {"audience": "orders", "reason": "renewal", "result": "success"}
        while await proxy.metric("tokenproxy_token_fetches_total", **renewals) < tokens - 1:
            await asyncio.sleep(0.2)
        enough.set()

    async with asyncio.timeout(90):
        statuses, _ = await asyncio.gather(
            steady_load(f"{proxy.url}/protected/", per_second=25, enough=enough), until_renewed()
        )

    # The view answers 403 to a token that has lapsed by the server's own clock and records.
    assert set(statuses) == {200}
    assert (await proxy.get("/protected/"))[0] == 200
    _, counted = await get(f"{server.url}/granted")
    assert tokens <= json.loads(counted)["granted"] <= tokens + 1
    lookups = "tokenproxy_token_lookups_total"
    assert await proxy.metric(lookups, audience="orders", result="miss") == 1
    assert await proxy.metric(lookups, audience="orders", result="joined") == 0
    assert await proxy.metric("tokenproxy_token_wait_seconds_count", audience="orders") == 1
    server.stop()


@pytest.mark.slow
async def test_with_the_server_gone_live_tokens_serve_and_its_return_is_noticed(
    start_django_oauth_toolkit: StartServer, upstream: RecordingUpstream, start_proxy: StartProxy
) -> None:
    server = await asyncio.to_thread(start, start_django_oauth_toolkit, 20)
    # Renewal is due after 1 to 3 of 20 seconds: it fails while the token lives, and has the rest
    # of that life to succeed after the server's return.
    proxy = await start_proxy(config(client(server), upstream.url, renew_at=0.1))
    assert await proxy.get() == (200, b"ok\n")
    first = sent_token(upstream)
    server.stop()
    enough = asyncio.Event()

    async def outage() -> None:
        failures = "tokenproxy_token_consecutive_failures"
        while not await proxy.metric(failures, audience="orders"):
            await asyncio.sleep(0.1)
        await asyncio.to_thread(server.start)
        while sent_token(upstream) == first:
            await asyncio.sleep(0.1)
        enough.set()

    async with asyncio.timeout(60):
        statuses, _ = await asyncio.gather(
            steady_load(f"{proxy.url}/", per_second=25, enough=enough), outage()
        )

    assert set(statuses) == {200}
    assert (await introspect(server, sent_token(upstream)))["active"] is True
    server.stop()
