"""`proxy.tokens.fetch` through the cache: secrets that change, discovery, odd answers."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from faults.stepped_time import stepped
from faults.token_server import Asked, TokenServer, http_answer, refusal
from unit.tokens.cache_bench import STOCK, WALL_AT_START, bench
from unit.tokens.some import jwt

from proxy.errors import Fault
from proxy.model import AudienceName

if TYPE_CHECKING:
    from pathlib import Path


# Credentials.


@stepped
async def test_invalid_client_reads_the_secret_again_and_tries_once_more(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old\n")
    async with bench(client={"client_secret_file": str(file)}) as the:

        def rotated(asked: Asked) -> bytes:
            if asked.secret == "new":
                return the.server.grant(asked)
            file.write_text("new\n")
            return refusal("invalid_client", status="401 Unauthorized")

        the.server.answer = rotated
        assert await the.token() == "token-1"
        assert [each.secret for each in the.server.requests] == ["old", "new"]
        assert the.facts.fetches["miss", "success"] == 1


@stepped
async def test_a_secret_that_is_wrong_twice_is_tried_no_third_time(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("0")
    async with bench(client={"client_secret_file": str(file)}) as the:

        def never(asked: Asked) -> bytes:
            file.write_text(str(int(asked.secret) + 1))
            return refusal("invalid_client")

        the.server.answer = never
        assert (await the.refusal()).fault is Fault.GRANT_REFUSED
        assert [each.secret for each in the.server.requests] == ["0", "1"]


@stepped
async def test_a_secret_that_is_the_same_is_not_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("wrong")
    async with bench(client={"client_secret_file": str(file)}) as the:
        the.server.answer = lambda _: refusal("invalid_client")
        await the.refusal()
        assert len(the.server.requests) == 1


@stepped
async def test_a_changed_secret_ends_the_backoff_of_every_audience_of_its_client(
    tmp_path: Path,
) -> None:
    file = tmp_path / "secret"
    file.write_text("wrong")
    also = {"stock": {"client": "billing", "audience": "stock", "prefetch": False}}
    async with bench(client={"client_secret_file": str(file)}, audiences=also) as the:

        def only_the_right_one(asked: Asked) -> bytes:
            if asked.secret == "right":
                return the.server.grant(asked)
            return refusal("invalid_client")

        the.server.answer = only_the_right_one
        await the.refusal()
        await the.advance(0.5)
        await the.refusal(STOCK)
        await the.advance(2)
        file.write_text("right")
        await the.advance(1.1)
        assert await the.token() == "token-1"
        assert await the.token(STOCK) == "stock-2"
        assert (the.facts.misses, the.facts.hits) == (1, 1)


@stepped
async def test_an_unreadable_secret_keeps_its_last_value_with_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cr3t")
    async with bench(client={"client_secret_file": str(file)}) as the:
        await the.token()
        file.unlink()
        await the.advance(80)
        assert await the.token() == "token-2"
        assert {each.secret for each in the.server.requests} == {"s3cr3t"}
        assert len(the.events("credential")) == 1


@stepped
async def test_a_secret_that_is_gone_before_the_first_fetch_keeps_its_value_of_the_start(
    tmp_path: Path,
) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cr3t")
    async with bench(client={"client_secret_file": str(file)}) as the:
        file.unlink()
        assert await the.token() == "token-1"
        assert [each.secret for each in the.server.requests] == ["s3cr3t"]
        assert len(the.events("credential")) == 1
        file.write_text("an0ther")
        await the.advance(80)
        assert the.server.requests[-1].secret == "an0ther"


@stepped
async def test_a_secret_that_came_through_a_pipe_is_used_though_nobody_writes_it_again(
    tmp_path: Path,
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("s3cr3t",), daemon=True)
    writer.start()
    async with bench(client={"client_secret_file": str(pipe)}) as the:
        writer.join()
        assert await the.token() == "token-1"
        assert the.server.requests[0].secret == "s3cr3t"


@stepped
async def test_a_secret_that_vanishes_after_a_refusal_is_no_news(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("wrong")
    async with bench(client={"client_secret_file": str(file)}) as the:
        the.server.answer = lambda _: refusal("invalid_client")
        await the.refusal()
        file.unlink()
        await the.advance(8)
        assert len(the.server.requests) == 1


@stepped
async def test_a_client_without_a_secret_has_none_that_could_change() -> None:
    none = {"authentication": "none", "client_id": "public"}
    async with TokenServer() as server:
        server.answer = lambda _: refusal("invalid_client")
        client = {"token_endpoint": server.url} | none
        stock = {"client": "public", "prefetch": False}
        async with bench(clients={"public": client}, audiences={"stock": stock}) as the:
            the.servers.append(server)
            await the.refusal(STOCK)
            await the.advance(8)
            assert len(server.requests) == 1
            assert server.requests[0].field("client_id") == "public"


# Discovery.


@stepped
async def test_audiences_of_one_client_share_the_search_for_its_endpoint() -> None:
    async with TokenServer() as server:

        def answer(asked: Asked) -> bytes:
            if asked.method == "GET":
                return http_answer({"issuer": server.issuer, "token_endpoint": server.url})
            return server.grant(asked)

        server.answer = answer
        client = {"issuer": server.issuer, "client_id": "x", "authentication": "none"}
        names = [AudienceName(name) for name in ("a", "b", "c")]
        audiences = {
            name: {"client": "found", "audience": name, "prefetch": False} for name in names
        }
        async with bench(clients={"found": client}, audiences=audiences) as the:
            tokens = await asyncio.gather(*(the.token(name) for name in names))
            assert sorted(token[0] for token in tokens) == names
            assert [each.method for each in server.requests] == ["GET", "POST", "POST", "POST"]


@stepped
async def test_an_issuer_that_is_down_backs_off_like_a_token_endpoint() -> None:
    async with TokenServer(down=True) as server:
        client = {"issuer": server.issuer, "client_id": "x", "authentication": "none"}
        stock = {"client": "found", "prefetch": False}
        async with bench(clients={"found": client}, audiences={"stock": stock}) as the:
            error = await the.refusal(STOCK)
            assert error.fault is Fault.AUTHORIZATION_SERVER_UNAVAILABLE
            tried = len(server.refused_at)
            for _ in range(5):
                assert (await the.refusal(STOCK)).retry_after_seconds
            assert len(server.refused_at) == tried


def discovering(server: TokenServer) -> dict[str, Any]:
    """Let the server publish its metadata; return what makes a bench whose `stock` looks there."""

    def answer(asked: Asked) -> bytes:
        if asked.method == "GET":
            return http_answer({"issuer": server.issuer, "token_endpoint": server.url})
        return server.grant(asked)

    server.answer = answer
    client = {"issuer": server.issuer, "client_id": "x", "authentication": "none"}
    stock = {"client": "found", "audience": "stock", "prefetch": False}
    return {"clients": {"found": client}, "audiences": {"stock": stock}}


@stepped
async def test_a_lifetime_does_not_count_from_the_search_for_the_endpoint() -> None:
    async with (
        TokenServer(lifetime_seconds=10, delay_seconds=4) as server,
        bench(**discovering(server)) as the,
    ):
        the.servers.append(server)
        caller = asyncio.create_task(the.token(STOCK))
        await the.advance(8)
        assert await caller == "stock-1"
        facts = the.telemetry.audiences["stock"]
        assert facts.expires_in_seconds == pytest.approx(6)
        assert facts.fetch_duration.total == pytest.approx(8)


@stepped
async def test_a_lifetime_does_not_count_from_an_attempt_that_was_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    async with bench(client={"client_secret_file": str(file)}, lifetime_seconds=10) as the:

        def rotated(asked: Asked) -> bytes:
            if asked.secret == "new":
                return the.server.grant(asked)
            file.write_text("new")
            return refusal("invalid_client")

        the.server.answer = rotated
        the.server.delay_seconds = 4
        caller = asyncio.create_task(the.token())
        await the.advance(8)
        assert await caller == "token-1"
        assert the.facts.expires_in_seconds == pytest.approx(6)


@stepped
async def test_metadata_that_cannot_be_had_again_costs_no_token_and_is_warned_of() -> None:
    async with (
        TokenServer(lifetime_seconds=1000) as server,
        bench(**discovering(server)) as the,
    ):
        the.servers.append(server)
        published = server.answer
        assert published is not None
        gone = http_answer(b"", status="404 Not Found")
        server.answer = lambda asked: gone if asked.method == "GET" else published(asked)
        await the.refusal(STOCK)
        server.answer = published
        await the.advance(10)
        await the.token(STOCK)
        server.answer = lambda asked: gone if asked.method == "GET" else published(asked)
        for _ in range(8):
            await the.advance(750)
            await the.token(STOCK)
        assert the.telemetry.audiences["stock"].consecutive_failures == 0
        assert the.events("metadata")
        server.answer = published
        await the.advance(2000)
        warned = len(the.events("metadata"))
        await the.advance(3000)
        assert len(the.events("metadata")) == warned


# What an answer may say besides.


def bodied(**members: Any) -> bytes:
    return http_answer({"access_token": "t", **members})


@stepped
async def test_odd_but_usable_answers_are_warned_of() -> None:
    async with bench(audience={"scope": "read write"}) as the:
        the.server.answer = lambda _: bodied(expires_in=[1], scope="read")
        await the.token()
        assert the.facts.lifetime_seconds == 300
        for warning in ("expires_in", "token_type", "scope"):
            assert len(the.events(warning)) == 1


@stepped
async def test_a_granted_scope_in_another_order_is_no_oddity() -> None:
    async with bench(audience={"scope": "read write"}) as the:
        the.server.answer = lambda _: bodied(token_type="Bearer", scope="write more read")
        await the.token()
        assert the.events("scope") == []


@pytest.mark.parametrize(("exp", "lifetime"), [(WALL_AT_START + 50, 50), (None, 300)])
def test_without_expires_in_the_jwts_own_end_counts_or_the_configured_one(
    exp: float | None, lifetime: float
) -> None:
    @stepped
    async def run() -> None:
        async with bench() as the:
            token = jwt({"exp": exp})
            the.server.answer = lambda _: http_answer({"access_token": token})
            await the.token()
            assert the.facts.lifetime_seconds == pytest.approx(lifetime)

    run()


@stepped
async def test_a_jwt_that_is_over_by_this_machines_clock_is_misspoken() -> None:
    async with bench() as the:
        token = jwt({"exp": WALL_AT_START - 1})
        the.server.answer = lambda _: http_answer({"access_token": token})
        error = await the.refusal()
        assert error.fault is Fault.AUTHORIZATION_SERVER_MISSPOKE
        assert "clock" in error.detail


@stepped
async def test_nothing_that_the_server_quotes_of_our_secret_gets_into_the_log() -> None:
    async with bench(client={"client_secret": "s3cr3t+canary/é", "client_id": "a b"}) as the:

        def quote(asked: Asked) -> bytes:
            sent = asked.headers["authorization"]
            return refusal("invalid_client", error_description=f"{sent} {asked.secret} is wrong")

        the.server.answer = quote
        await the.refusal()
        text = the.log.getvalue()
        assert "is wrong" in text
        assert "canary" not in text
        assert the.server.requests[0].headers["authorization"].split()[1] not in text


@stepped
async def test_a_file_that_changes_all_the_time_does_not_hammer_a_server_that_refuses(
    tmp_path: Path,
) -> None:
    """R-06: at most a handful of attempts a minute where the server says no."""
    file = tmp_path / "secret"
    file.write_text("0")
    async with bench(client={"client_secret_file": str(file)}) as the:
        the.server.answer = lambda _: refusal("invalid_client")
        await the.refusal()
        for second in range(60):
            file.write_text(f"another {second}")
            await the.advance(1)
        assert len(the.server.requests) <= 8


@stepped
async def test_an_endpoint_that_has_moved_is_looked_for_anew_without_asking_all_the_time() -> None:
    """The document is believed for an hour, but not against what the endpoint itself says."""
    async with TokenServer() as server:
        place = {"now": "/first"}

        def answer(asked: Asked) -> bytes:
            if asked.method == "GET":
                endpoint = server.issuer + place["now"]
                return http_answer({"issuer": server.issuer, "token_endpoint": endpoint})
            if asked.target != place["now"]:
                return http_answer(b"", status="404 Not Found")
            return server.grant(asked)

        server.answer = answer
        server.lifetime_seconds = 100
        client = {"issuer": server.issuer, "client_id": "x", "authentication": "none"}
        audiences = {"stock": {"client": "found", "prefetch": False}}
        async with bench(clients={"found": client}, audiences=audiences) as the:
            the.servers.append(server)
            await the.token(STOCK)
            place["now"] = "/second"
            for _ in range(200):
                await the.advance(1)
                await the.token(STOCK)
            place["now"] = "/nowhere"
            server.answer = lambda _: http_answer(b"", status="404 Not Found")
            before = len([asked for asked in server.requests if asked.method == "GET"])
            await the.advance(600)
            searches = [asked for asked in server.requests if asked.method == "GET"][before:]
            assert len(searches) <= 22


@stepped
async def test_why_metadata_cannot_be_had_again_is_told() -> None:
    async with TokenServer() as server:
        issuer = {"now": server.issuer}

        def answer(asked: Asked) -> bytes:
            if asked.method == "GET":
                return http_answer({"issuer": issuer["now"], "token_endpoint": server.url})
            return server.grant(asked)

        server.answer = answer
        server.lifetime_seconds = 1000
        client = {"issuer": server.issuer, "client_id": "x", "authentication": "none"}
        audiences = {"stock": {"client": "found", "prefetch": False}}
        async with bench(clients={"found": client}, audiences=audiences) as the:
            the.servers.append(server)
            await the.token(STOCK)
            issuer["now"] = "https://another.example"
            await the.advance(6000)
            told = the.events("metadata")[0]["message"]
            assert "issuer is not the configured one" in told


@stepped
async def test_a_rotation_that_a_refusal_finds_is_said_too(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    async with bench(client={"client_secret_file": str(file)}) as the:

        def rotated(asked: Asked) -> bytes:
            if asked.secret == "new":
                return the.server.grant(asked)
            file.write_text("new")
            return refusal("invalid_client")

        the.server.answer = rotated
        await the.token()
        [event] = the.events("file_read_again")
        assert event["key"] == "clients.billing.client_secret_file"


@stepped
async def test_a_tls_failure_is_over_when_another_authority_is_trusted(tmp_path: Path) -> None:
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    trusted = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(trusted))
    async with TokenServer(tls=serving) as server:
        client = {
            "token_endpoint": server.url,
            "client_id": "x",
            "authentication": "none",
            "tls": {"ca_file": str(trusted)},
        }
        audiences = {"stock": {"client": "far", "prefetch": False}}
        async with bench(clients={"far": client}, audiences=audiences) as the:
            the.servers.append(server)
            for _ in range(5):
                error = await the.refusal(STOCK)
                assert error.fault is Fault.AUTHORIZATION_SERVER_UNAVAILABLE
                await the.advance(error.retry_after_seconds or 0)
            authority.cert_pem.write_to_path(str(trusted))
            await the.advance(1)
            while not the.events("file_read_again"):
                # Made on a thread, whose time is not in our hands.
                time.sleep(0.01)
                await the.advance(0)
            assert await the.token(STOCK)
