from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import encode_basic_auth

from proxy.commands.demo_servers import (
    CLIENT_ID,
    TOKEN_PATH,
    AuthorizationServer,
    EchoUpstream,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
async def server() -> AsyncIterator[AuthorizationServer]:
    started = AuthorizationServer(lifetime_seconds=60, answer_seconds=0)
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def ask(
    session: aiohttp.ClientSession,
    server: AuthorizationServer,
    *,
    secret: str | None = None,
    client_id: str = CLIENT_ID,
    path: str = TOKEN_PATH,
    method: str = "POST",
    **request: Any,
) -> tuple[int, dict[str, Any]]:
    """Return status and JSON; everything not given is as it should be."""
    authorization = encode_basic_auth(client_id, secret or server.client_secret)
    request = {"headers": {"Authorization": authorization}, "data": GRANT} | request
    async with session.request(method, f"{server.url}{path}", **request) as answer:
        return answer.status, await answer.json()


async def test_the_right_client_gets_a_live_token(
    session: aiohttp.ClientSession, server: AuthorizationServer
) -> None:
    status, answer = await ask(session, server)
    assert status == 200
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 60)
    assert server.is_live(answer["access_token"])
    assert not server.is_live(answer["access_token"][:-1])
    assert server.granted == 1


async def test_each_token_is_another_one_and_the_older_lives_on(
    session: aiohttp.ClientSession, server: AuthorizationServer
) -> None:
    tokens = {(await ask(session, server))[1]["access_token"] for _ in range(3)}
    assert len(tokens) == 3
    assert all(map(server.is_live, tokens))


async def test_a_token_ends_with_its_lifetime(session: aiohttp.ClientSession) -> None:
    server = AuthorizationServer(lifetime_seconds=0, answer_seconds=0)
    await server.start()
    try:
        _, answer = await ask(session, server)
        assert not server.is_live(answer["access_token"])
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("request_parts", "status", "error"),
    [
        ({"secret": "guessed"}, 401, "invalid_client"),
        ({"client_id": "somebody"}, 401, "invalid_client"),
        ({"headers": {}}, 401, "invalid_client"),
        ({"headers": {"Authorization": "Basic ???"}}, 401, "invalid_client"),
        ({"headers": {"Authorization": "Basic w6k6w6k="}}, 401, "invalid_client"),
        ({"data": {"grant_type": "password"}}, 400, "unsupported_grant_type"),
        ({"data": {"grant": "client_credentials"}}, 400, "unsupported_grant_type"),
        ({"data": None, "json": GRANT}, 400, "invalid_request"),
        ({"method": "GET"}, 405, "invalid_request"),
        ({"path": "/"}, 404, "not_found"),
    ],
)
async def test_whoever_asks_otherwise_is_refused(
    session: aiohttp.ClientSession,
    server: AuthorizationServer,
    request_parts: dict[str, Any],
    status: int,
    error: str,
) -> None:
    assert await ask(session, server, **request_parts) == (status, {"error": error})
    assert server.granted == 0


async def test_a_server_that_was_taken_away_refuses_connections_and_comes_back_where_it_was(
    session: aiohttp.ClientSession, server: AuthorizationServer
) -> None:
    assert (await ask(session, server))[0] == 200
    url = server.url
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(
            (aiohttp.client.URL(url).host or "", aiohttp.client.URL(url).port or 0)
        )
    await server.start()
    assert server.url == url
    assert (await ask(session, server))[0] == 200


async def test_the_upstream_says_what_it_saw_but_for_the_token(
    session: aiohttp.ClientSession,
) -> None:
    upstream = EchoUpstream(lambda token: token == "a-token-that-is-live")
    await upstream.start()
    try:
        live = {"Authorization": "Bearer a-token-that-is-live", "X-Colour": "blue"}
        async with session.post(f"{upstream.url}/a%2Fb?c=d", headers=live) as answer:
            text = await answer.text()
            seen = await answer.json()
        assert answer.status == 200
        assert (seen["method"], seen["path"]) == ("POST", "/a%2Fb?c=d")
        assert seen["headers"]["X-Colour"] == "blue"
        assert seen["headers"]["Authorization"] == "Bearer a-toke…"
        assert "a-token-that-is-live" not in text
        for lapsed in ({}, {"Authorization": "Bearer lapsed"}, {"Authorization": "Basic bGl2ZQ=="}):
            async with session.get(upstream.url, headers=lapsed) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    finally:
        await upstream.stop()


async def test_servers_listen_on_the_loopback_interface_only(server: AuthorizationServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")
