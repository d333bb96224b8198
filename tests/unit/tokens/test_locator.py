"""`proxy.tokens.locator`: how often a document is looked for, and what happens without one."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from faults.token_server import Asked, TokenServer, eventually, http_answer
from unit.tokens import some

from proxy.network import Resolver
from proxy.tls import TlsContexts
from proxy.tokens.endpoint import Endpoint
from proxy.tokens.locator import TokenEndpointLocator
from proxy.tokens.outcome import FetchFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
NOT_FOUND = http_answer(b"", status="404 Not Found")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def located(clock: Clock, **keys: Any) -> AsyncIterator[TokenEndpointLocator]:
    client = some.client(**keys)
    resolver = Resolver(threads=2, purpose="test")
    endpoint = Endpoint(
        client,
        resolver=resolver,
        trust=TlsContexts().of(client.tls),
        wall=clock,
        body_bytes_max=10,
    )
    locator = TokenEndpointLocator(client, endpoint, monotonic=clock)
    try:
        yield locator
    finally:
        locator.close()
        await endpoint.close()
        await resolver.close()


async def found(locator: TokenEndpointLocator) -> str:
    return (await locator.find()).token_endpoint


def publishing(server: TokenServer, *paths: str, issuer: str | None = None) -> None:
    """Let the server publish its metadata at these paths and nowhere else."""
    document = {"issuer": issuer or server.issuer, "token_endpoint": server.url}

    def answer(asked: Asked) -> bytes:
        return http_answer(document) if asked.target in paths else NOT_FOUND

    server.answer = answer


async def searched(locator: TokenEndpointLocator) -> None:
    """Wait until no search is under way."""
    await eventually(lambda: locator._search is None or locator._search.done())


async def test_nothing_is_looked_for_where_the_endpoint_is_configured() -> None:
    async with located(Clock()) as locator:
        assert await found(locator) == some.ENDPOINT


async def test_the_first_form_that_answers_is_enough() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        publishing(server, OAUTH, OPENID)
        assert await found(locator) == server.url
        assert [each.target for each in server.requests] == [OAUTH]


async def test_the_second_form_is_asked_where_the_first_has_nothing() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        publishing(server, OPENID)
        assert await found(locator) == server.url
        assert [each.target for each in server.requests] == [OAUTH, OPENID]


async def test_a_wrong_document_is_told_rather_than_one_that_is_missing() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        publishing(server, OAUTH, issuer="https://other.example")
        with pytest.raises(FetchFailed, match="issuer"):
            await found(locator)


async def test_where_there_is_no_document_at_all_that_is_told() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        publishing(server)
        with pytest.raises(FetchFailed, match="no metadata document"):
            await found(locator)


async def test_a_server_that_hangs_is_not_asked_for_the_second_form_too() -> None:
    async with TokenServer() as server:
        server.hold()
        keys = {"issuer": server.issuer, "timeout_seconds": 0.1}
        async with located(Clock(), **keys) as locator:
            with pytest.raises(FetchFailed) as caught:
                await found(locator)
            assert caught.value.result == "timeout"
            assert [each.target for each in server.requests] == [OAUTH]
            # But it is asked for it the next time: the first may hang for ever.
            server.release()
            publishing(server, OPENID)
            assert await found(locator) == server.url


async def test_a_document_of_256_kib_is_the_longest() -> None:
    async with TokenServer() as server, located(Clock(), discovery=server.issuer) as locator:
        document = json.dumps({"token_endpoint": server.url})
        server.answer = lambda _: http_answer(document.ljust(262145))
        with pytest.raises(FetchFailed, match="larger than 262144"):
            await found(locator)
        server.answer = lambda _: http_answer(document.ljust(262144))
        assert await found(locator) == server.url


async def test_concurrent_searches_are_one_and_one_that_leaves_costs_the_others_nothing() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        publishing(server, OAUTH)
        server.hold()
        searches = [asyncio.create_task(found(locator)) for _ in range(5)]
        await eventually(lambda: server.held == 1)
        searches[0].cancel()
        server.release()
        ends = await asyncio.gather(*searches, return_exceptions=True)
        assert isinstance(ends[0], asyncio.CancelledError)
        assert ends[1:] == [server.url] * 4
        assert len(server.requests) == 1


async def test_a_document_is_believed_for_an_hour() -> None:
    clock = Clock()
    async with TokenServer() as server, located(clock, issuer=server.issuer) as locator:
        publishing(server, OAUTH)
        await found(locator)
        clock.now += 3599
        await found(locator)
        assert len(server.requests) == 1
        clock.now += 2
        server.answer = lambda _: http_answer(
            {"issuer": server.issuer, "token_endpoint": f"{server.issuer}/moved"}
        )
        assert await found(locator) == server.url
        await searched(locator)
        assert await found(locator) == f"{server.issuer}/moved"
        assert len(server.requests) == 2


async def test_a_metadata_server_that_hangs_holds_up_nobody_who_knows_the_endpoint() -> None:
    clock = Clock()
    async with TokenServer() as server, located(clock, issuer=server.issuer) as locator:
        publishing(server, OAUTH)
        await found(locator)
        server.hold()
        clock.now += 3601
        # With the server silent, what waited for it would not come back at all.
        assert [await found(locator) for _ in range(5)] == [server.url] * 5
        await eventually(lambda: server.held == 1)
        assert len(server.requests) == 2


async def test_a_document_is_kept_when_it_cannot_be_fetched_again_and_seldom_asked_for() -> None:
    clock = Clock()
    async with TokenServer() as server, located(clock, issuer=server.issuer) as locator:
        publishing(server, OAUTH)
        await found(locator)
        server.down = True
        clock.now += 3601
        assert await found(locator) == server.url
        await searched(locator)
        assert locator.outdated
        tried = len(server.refused_at)
        assert tried
        clock.now += 59
        assert await found(locator) == server.url
        await searched(locator)
        assert len(server.refused_at) == tried
        clock.now += 2
        assert await found(locator) == server.url
        await searched(locator)
        assert len(server.refused_at) == 2 * tried
        server.down = False
        clock.now += 61
        await found(locator)
        await searched(locator)
        assert not locator.outdated


async def test_a_failed_first_search_is_tried_again_at_once_when_asked_for() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        server.down = True
        with pytest.raises(FetchFailed) as caught:
            await found(locator)
        assert caught.value.result == "unavailable"
        server.down = False
        publishing(server, OAUTH)
        assert await found(locator) == server.url


async def test_closing_ends_a_search() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        server.hold()
        search = asyncio.create_task(found(locator))
        await eventually(lambda: server.held == 1)
        locator.close()
        with pytest.raises(asyncio.CancelledError):
            await search


def test_closing_without_a_search_is_nothing() -> None:
    async def main() -> None:
        async with located(Clock()) as locator:
            locator.close()

    asyncio.run(main())
