"""The configuration is read again: what goes on, what is new, what ends, and what changes nothing.

On SPEC §2: a good one drops no request and keeps the tokens of unchanged audiences, a bad one keeps
the old configuration and says so.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from faults.token_server import (
    TokenServer,
    configuration,
    eventually,
    running,
    surroundings,
    token_of,
)
from integration.recording_upstream import RecordingUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from faults.token_server import Proxy

FAILED, RELOADED = "config_reload_failed", "config_reloaded"


async def test_what_is_unchanged_keeps_its_token_and_its_connection(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy:
            assert await proxy.status() == 200
            told = await proxy.reload(
                audiences=document["audiences"] | {"stock": {"client": "billing"}},
                upstreams=document["upstreams"]
                | {"stock": {"url": upstream.url, "audience": "stock", "match": {"path": "/s"}}},
            )
            assert (told["event"], told["changed"]) == (
                RELOADED,
                ["audiences.stock", "upstreams.stock"],
            )
            assert (await proxy.call())[2] == b"token-1"
            assert (await proxy.call("/s"))[2] == b"token-2"
            assert upstream.requests[0].connection == upstream.requests[1].connection
            assert proxy.facts().hits == 1
            assert len(server.token_requests) == 2


async def test_a_changed_audience_and_a_changed_client_get_tokens_of_their_own(
    tmp_path: Path,
) -> None:
    async with surroundings() as (server, upstream, _):
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy:
            assert (await proxy.call())[2] == b"token-1"
            await proxy.reload(audiences={"orders": {"client": "billing", "scope": "more"}})
            assert (await proxy.call())[2] == b"token-2"
            assert server.token_requests[-1].field("scope") == "more"
            client = document["clients"]["billing"] | {"client_id": "other"}
            await proxy.reload(clients={"billing": client})
            assert (await proxy.call())[2] == b"token-3"
            # What nobody has changed stays: none was asked for by the way.
            await proxy.reload(log={"format": "json", "level": "info"})
            assert (await proxy.call())[2] == b"token-3"
            assert len(server.token_requests) == 3


async def test_a_request_in_flight_ends_with_the_audience_it_began_with(tmp_path: Path) -> None:
    """Two audiences of one name are two: a token must never reach the other one's upstream."""
    async with surroundings() as (server, upstream, _), TokenServer() as other:
        server.hold()
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy, RecordingUpstream() as elsewhere:
            caller = asyncio.create_task(proxy.call("/old"))
            await eventually(lambda: proxy.facts().waiters == 1)
            client = document["clients"]["billing"] | {"token_endpoint": other.url}
            await proxy.reload(
                clients={"billing": client},
                upstreams={"api": {"url": elsewhere.url, "audience": "orders"}},
            )
            assert await proxy.status("/new") == 200
            assert token_of(elsewhere.requests[0]) in other.expiry
            server.release()
            assert (await caller)[0] == 200
            (old,) = upstream.requests
            assert old.target == b"/old"
            assert token_of(old) in server.expiry


async def test_what_waits_for_a_token_of_a_removed_audience_gets_it(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        server.hold()
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy:
            caller = asyncio.create_task(proxy.call())
            await eventually(lambda: len(server.token_requests) == 1)
            await proxy.reload(
                clients={}, audiences={}, upstreams={"b": {"url": upstream.url, "audience": "none"}}
            )
            server.release()
            assert (await caller)[0] == 200
            assert len(server.token_requests) == 1


async def test_a_changed_upstreams_idle_connections_are_closed(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy:
            await proxy.call()
            api = document["upstreams"]["api"] | {"set_headers": {"X-A": "1"}}
            await proxy.reload(upstreams={"api": api})
            facts = proxy.app.telemetry.upstreams["api"]
            await eventually(lambda: not facts.connections_idle)
            await proxy.call()
            first, second = upstream.requests
            assert first.connection != second.connection
            assert second.values("X-A") == [b"1"]
            # Its counters go on.
            assert facts.requests["GET", 200, "upstream"] == 2


async def connects(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def test_addresses_come_and_go_and_those_that_stay_are_not_touched(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        document = configuration(server, upstream.url, admin={"listen": "127.0.0.1:0"})
        async with running(document, tmp_path) as proxy:
            (first,) = proxy.app.addresses
            admin = proxy.app.admin_address
            path = f"unix:{tmp_path}/a.sock"
            await proxy.reload(listen=["127.0.0.1:0", path])
            assert proxy.app.addresses == [first, path]
            assert proxy.app.admin_address == admin
            connector = aiohttp.UnixConnector(path=str(tmp_path / "a.sock"))
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get("http://localhost/") as answer,
            ):
                assert answer.status == 200
            await proxy.reload(listen=[path], admin={"listen": None})
            assert not await connects(first)
            assert admin is not None
            await eventually_refused(admin)
            assert proxy.app.admin_address is None
            await proxy.reload(listen="127.0.0.1:0", admin={"listen": "127.0.0.1:0"})
            assert not (tmp_path / "a.sock").exists()
            assert await connects(proxy.app.addresses[0])
            assert await connects(str(proxy.app.admin_address))


async def eventually_refused(address: str) -> None:
    async with asyncio.timeout(30):
        while await connects(address):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("key", ["listen", "admin"])
async def test_an_address_that_is_taken_changes_nothing_at_all(tmp_path: Path, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        new = f"unix:{tmp_path}/new.sock"
        keys: dict[str, Any] = {"listen": ["127.0.0.1:0", new], "admin": {"listen": address}}
        if key == "listen":
            keys = {"listen": ["127.0.0.1:0", new, address]}
        async with (
            surroundings() as (server, upstream, _),
            running(configuration(server, upstream.url), tmp_path) as proxy,
        ):
            before = proxy.app.addresses
            told = await proxy.reload(**keys, browser_requests="allow")
            assert told["event"] == FAILED
            assert address in told["problem"]
            assert proxy.app.addresses == before
            assert not (tmp_path / "new.sock").exists()
            page = {"Origin": "https://evil.example"}
            assert (await proxy.call(headers=page))[0] == 403


async def test_a_bad_one_changes_nothing_and_is_told_until_a_good_one_comes(
    tmp_path: Path,
) -> None:
    async with surroundings() as (server, upstream, _):
        document = configuration(server, upstream.url, admin={"listen": "127.0.0.1:0"})
        async with running(document, tmp_path) as proxy:

            async def gauge() -> list[str]:
                page = await proxy.metrics()
                name = "tokenproxy_config_last_reload_"
                return sorted(line for line in page.splitlines() if line.startswith(name))

            healthy = await gauge()
            assert healthy[1].endswith("_successful 1.0")
            told = await proxy.reload(upstreams={"api": {"ulr": upstream.url, "audience": "x"}})
            assert told["event"] == FAILED
            assert told["level"] == "error"
            assert "token-proxy.yaml" in told["problem"]
            assert "did you mean 'url'" in told["problem"]
            failed = await gauge()
            assert failed[1].endswith("_successful 0.0")
            assert failed[0] == healthy[0]
            assert (await proxy.call())[2] == b"token-1"
            told = await proxy.reload(**document)
            assert told["event"] == RELOADED
            assert (await gauge())[1].endswith("_successful 1.0")
            assert len(server.token_requests) == 1


async def test_a_certificate_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    async with surroundings() as (server, upstream, _):
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy:
            told = await proxy.reload(
                upstreams={
                    "api": {
                        "url": "https://127.0.0.1:9",
                        "audience": "orders",
                        "tls": {"ca_file": str(tmp_path / "ca.pem")},
                    }
                }
            )
            assert told["event"] == FAILED
            assert "ca_file" in told["problem"]
            assert await proxy.status() == 200


async def test_limits_and_manners_hold_from_now_on(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy:
            assert await proxy.status() == 200
            page = {"Origin": "https://evil.example"}
            assert (await proxy.call(headers=page))[0] == 403
            await proxy.reload(
                browser_requests="allow",
                limits={"header_fields_max": 8, "body_bytes_max": 10},
                log={"format": "json", "level": "error", "access": "all"},
            )
            assert (await proxy.call(headers=page))[0] == 200
            assert (await proxy.call(headers={f"X-{n}": "1" for n in range(9)}))[0] == 431
            assert (await proxy.call(method="POST", data=b"12345678901"))[0] == 413
            assert [event["status"] for event in proxy.events("request")] == [200, 431, 413]
            (told,) = proxy.events(RELOADED)
            assert told["changed"] == ["browser_requests", "log", "limits"]


@pytest.fixture
async def mounted(tmp_path: Path) -> AsyncIterator[tuple[Proxy, Path, TokenServer, dict[str, Any]]]:
    secret = tmp_path / "secret"
    secret.write_text("first")
    async with surroundings() as (server, upstream, _):
        document = configuration(server, upstream.url)
        del document["clients"]["billing"]["client_secret"]
        document["clients"]["billing"]["client_secret_file"] = str(secret)
        async with running(document, tmp_path) as proxy:
            assert await proxy.status() == 200
            yield proxy, secret, server, document


async def test_files_of_what_is_unchanged_are_watched_as_before(
    mounted: tuple[Proxy, Path, TokenServer, dict[str, Any]],
) -> None:
    proxy, secret, server, document = mounted
    secret.write_text("second")
    # The secret is no part of the configuration: its file is read for each token request.
    await proxy.reload(limits={"header_fields_max": 100})
    assert len(server.token_requests) == 1
    await eventually(lambda: bool(proxy.events("file_read_again")))
    client = document["clients"]["billing"] | {"parameters": {"a": "b"}}
    await proxy.reload(clients={"billing": client})
    await eventually(lambda: len(server.token_requests) == 2)
    assert server.token_requests[1].secret == "second"
    secret.write_text("third")
    # Said once a minute at the most, so that the log does not tell.
    credential = proxy.app._tokens._ways._ways["billing"].credential
    assert credential._last is not None
    await eventually(lambda: credential._last.text.reveal() == "third")


async def test_files_of_what_is_gone_are_not_looked_at(
    mounted: tuple[Proxy, Path, TokenServer, dict[str, Any]],
) -> None:
    proxy, secret, _, document = mounted
    client = document["clients"]["billing"] | {"client_secret_file": str(secret) + "2"}
    secret.with_name("secret2").write_text("other")
    await proxy.reload(clients={"billing": client})
    watched = {path for each in proxy.app._files._watched for path in each.paths}
    assert watched == {str(secret) + "2"}


async def test_who_asks_twice_at_once_is_answered_by_the_newest(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy:
            for fields in (50, 60, 70):
                proxy._documents[0] = document | {"limits": {"header_fields_max": fields}}
                proxy.app.reload()
            await eventually(lambda: proxy.app._config.limits.header_fields_max == 70)
            assert 1 <= len(proxy.events(RELOADED)) <= 2


async def test_connections_outlive_limits_that_are_not_theirs(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        document = configuration(server, upstream.url)
        async with running(document, tmp_path) as proxy:
            for limits in ({}, {"connections_max": 100}, {"header_fields_max": 100}):
                await proxy.reload(limits=limits)
                assert await proxy.status() == 200
            first, second, third = (each.connection for each in upstream.requests)
            assert first == second != third
