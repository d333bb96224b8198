"""`proxy.tokens.metadata`: where a document is looked for, and which documents are believed."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from faults.token_server import Asked, TokenServer, eventually, http_answer
from unit.tokens import some

from proxy.errors import Fault
from proxy.network import Resolver, TlsContexts
from proxy.tokens.endpoint import Answer, Endpoint
from proxy.tokens.metadata import TokenEndpointLocator, token_endpoint, well_known
from proxy.tokens.outcome import FetchFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ISSUER = "https://auth.example.com/tenant"
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
        client, resolver=resolver, contexts=TlsContexts(), wall=clock, body_bytes_max=10
    )
    locator = TokenEndpointLocator(client, endpoint, monotonic=clock)
    try:
        yield locator
    finally:
        locator.close()
        await endpoint.close()
        await resolver.close()


def read(document: Any, *, status: int = 200, **keys: Any) -> str:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return token_endpoint(some.client(**(keys or {"issuer": ISSUER})), Answer(status, body))


def refused(document: Any, **keywords: Any) -> FetchFailed:
    with pytest.raises(FetchFailed) as caught:
        read(document, **keywords)
    return caught.value


# Where to look.


@pytest.mark.parametrize(
    ("issuer", "oauth", "openid"),
    [
        ("https://a.example", f"https://a.example{OAUTH}", f"https://a.example{OPENID}"),
        ("https://a.example/", f"https://a.example{OAUTH}", f"https://a.example{OPENID}"),
        (
            "https://a.example:8/t",
            f"https://a.example:8{OAUTH}/t",
            f"https://a.example:8/t{OPENID}",
        ),
        (
            "https://a.example/t/u/",
            f"https://a.example{OAUTH}/t/u",
            f"https://a.example/t/u{OPENID}",
        ),
        ("https://[::1]/t", f"https://[::1]{OAUTH}/t", f"https://[::1]/t{OPENID}"),
    ],
)
def test_both_well_known_forms_are_looked_for_in_order(
    issuer: str, oauth: str, openid: str
) -> None:
    """RFC 8414 §3 inserts before the path, OpenID Connect Discovery §4 appends."""
    assert well_known(some.client(issuer=issuer)) == [oauth, openid]


def test_a_documents_own_url_is_the_only_place() -> None:
    url = "https://a.example/metadata?x=1"
    assert well_known(some.client(discovery=url)) == [url]
    assert well_known(some.client(discovery=url, issuer=ISSUER)) == [url]


# What to believe.


@pytest.mark.parametrize(
    "issuer",
    [
        ISSUER + "/",
        "https://auth.example.com",
        "https://auth.example.com/Tenant",
        "https://AUTH.example.com/tenant",
        "https://auth.example.com:443/tenant",
        "http://auth.example.com/tenant",
        ISSUER + "/more",
        "",
        None,
        [ISSUER],
    ],
)
def test_another_issuer_is_not_believed_however_near(issuer: Any) -> None:
    """RFC 8414 §3.3: identical, by comparison of the strings."""
    document = {"issuer": issuer, "token_endpoint": some.ENDPOINT}
    failure = refused(document)
    assert failure.error.fault is Fault.AUTHORIZATION_SERVER_MISSPOKE
    assert "issuer" in failure.error.detail
    assert refused(document, issuer=ISSUER, discovery="https://a.example/m").result == "misspoke"


def test_the_issuer_to_the_letter_is_believed() -> None:
    assert read({"issuer": ISSUER, "token_endpoint": some.ENDPOINT}) == some.ENDPOINT


def test_by_url_alone_no_issuer_is_compared() -> None:
    document = {"issuer": "https://other.example", "token_endpoint": some.ENDPOINT}
    assert read(document, discovery="https://a.example/m") == some.ENDPOINT


@pytest.mark.parametrize(
    "endpoint",
    [
        None,
        "",
        5,
        [some.ENDPOINT],
        "token",
        "/token",
        "//auth.example.com/token",
        "ftp://auth.example.com/token",
        "https://user@auth.example.com/token",
        "https://auth.example.com/token#x",
        "https://auth.example.com/to ken",
        "https://ключ.example/token",
        "http://auth.example.com/token",
        "http://localhost.evil.example/token",
        "http://127.0.0.1.evil.example/token",
    ],
)
def test_a_token_endpoint_that_is_no_safe_url_is_refused(endpoint: Any) -> None:
    failure = refused({"issuer": ISSUER, "token_endpoint": endpoint})
    assert failure.result == "misspoke"
    assert "token_endpoint" in failure.error.detail
    assert "evil" not in failure.error.detail


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_plain_http_on_this_machine_is_fine(host: str) -> None:
    endpoint = f"http://{host}:8080/token"
    assert read({"issuer": ISSUER, "token_endpoint": endpoint}) == endpoint


def test_plain_http_elsewhere_is_fine_where_it_is_allowed() -> None:
    endpoint = "http://auth.example.com/token?x=1"
    document = {"issuer": ISSUER, "token_endpoint": endpoint}
    assert read(document, issuer=ISSUER, allow_http=True) == endpoint


@pytest.mark.parametrize(
    ("tls", "found"),
    [
        ({}, some.ENDPOINT),
        ({"ca_file": "ca.pem"}, some.ENDPOINT),
        ({"certificate_file": "own.pem"}, "https://mtls.example.com/token"),
    ],
)
def test_who_shows_a_certificate_asks_at_the_endpoint_for_that(
    tls: dict[str, str], found: str
) -> None:
    """RFC 8705 §5."""
    document = {
        "issuer": ISSUER,
        "token_endpoint": some.ENDPOINT,
        "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.example.com/token"},
    }
    assert read(document, issuer=ISSUER, tls=tls) == found


@pytest.mark.parametrize("aliases", [None, [], "x", {}, {"revocation_endpoint": "https://x/"}])
def test_without_an_alias_the_endpoint_itself_serves_with_a_certificate_too(aliases: Any) -> None:
    document = {"token_endpoint": some.ENDPOINT, "mtls_endpoint_aliases": aliases}
    keys = {"discovery": "https://a.example/m", "tls": {"certificate_file": "own.pem"}}
    assert read(document, **keys) == some.ENDPOINT


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"\xff", b"[" * 60000, b'{"issuer"', b"\xef\xbb\xbf{}"]
)
def test_what_is_no_json_object_is_misspoken(body: bytes) -> None:
    assert refused(body).result == "misspoke"


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (404, Fault.AUTHORIZATION_SERVER_MISSPOKE),
        (401, Fault.AUTHORIZATION_SERVER_MISSPOKE),
        (302, Fault.AUTHORIZATION_SERVER_MISSPOKE),
        (201, Fault.AUTHORIZATION_SERVER_MISSPOKE),
        (408, Fault.AUTHORIZATION_SERVER_UNAVAILABLE),
        (429, Fault.AUTHORIZATION_SERVER_UNAVAILABLE),
        (503, Fault.AUTHORIZATION_SERVER_UNAVAILABLE),
    ],
)
def test_no_document_is_the_servers_trouble_by_its_status(status: int, fault: Fault) -> None:
    failure = refused({"issuer": ISSUER, "token_endpoint": some.ENDPOINT}, status=status)
    assert failure.error.fault is fault
    assert not failure.refusal


# The search.


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
        assert await locator.url() == some.ENDPOINT


async def test_the_first_form_that_answers_is_enough() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        publishing(server, OAUTH, OPENID)
        assert await locator.url() == server.url
        assert [each.target for each in server.requests] == [OAUTH]


async def test_the_second_form_is_asked_where_the_first_has_nothing() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        publishing(server, OPENID)
        assert await locator.url() == server.url
        assert [each.target for each in server.requests] == [OAUTH, OPENID]


async def test_a_wrong_document_is_told_rather_than_one_that_is_missing() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        publishing(server, OAUTH, issuer="https://other.example")
        with pytest.raises(FetchFailed, match="issuer"):
            await locator.url()


async def test_where_there_is_no_document_at_all_that_is_told() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        publishing(server)
        with pytest.raises(FetchFailed, match="no metadata document"):
            await locator.url()


async def test_a_server_that_hangs_is_not_asked_for_the_second_form_too() -> None:
    async with TokenServer() as server:
        server.hold()
        keys = {"issuer": server.issuer, "timeout_seconds": 0.1}
        async with located(Clock(), **keys) as locator:
            with pytest.raises(FetchFailed) as caught:
                await locator.url()
        assert caught.value.result == "timeout"
        assert [each.target for each in server.requests] == [OAUTH]


async def test_a_document_of_256_kib_is_the_longest() -> None:
    async with TokenServer() as server, located(Clock(), discovery=server.issuer) as locator:
        document = json.dumps({"token_endpoint": server.url})
        server.answer = lambda _: http_answer(document.ljust(262145))
        with pytest.raises(FetchFailed, match="larger than 262144"):
            await locator.url()
        server.answer = lambda _: http_answer(document.ljust(262144))
        assert await locator.url() == server.url


async def test_concurrent_searches_are_one_and_one_that_leaves_costs_the_others_nothing() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        publishing(server, OAUTH)
        server.hold()
        searches = [asyncio.create_task(locator.url()) for _ in range(5)]
        await eventually(lambda: server.held == 1)
        searches[0].cancel()
        server.release()
        found = await asyncio.gather(*searches, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert found[1:] == [server.url] * 4
        assert len(server.requests) == 1


async def test_a_document_is_believed_for_an_hour() -> None:
    clock = Clock()
    async with TokenServer() as server, located(clock, issuer=server.issuer) as locator:
        publishing(server, OAUTH)
        await locator.url()
        clock.now += 3599
        await locator.url()
        assert len(server.requests) == 1
        clock.now += 2
        server.answer = lambda _: http_answer(
            {"issuer": server.issuer, "token_endpoint": f"{server.issuer}/moved"}
        )
        assert await locator.url() == server.url
        await searched(locator)
        assert await locator.url() == f"{server.issuer}/moved"
        assert len(server.requests) == 2


async def test_a_metadata_server_that_hangs_holds_up_nobody_who_knows_the_endpoint() -> None:
    clock = Clock()
    async with TokenServer() as server, located(clock, issuer=server.issuer) as locator:
        publishing(server, OAUTH)
        await locator.url()
        server.hold()
        clock.now += 3601
        # With the server silent, what waited for it would not come back at all.
        assert [await locator.url() for _ in range(5)] == [server.url] * 5
        await eventually(lambda: server.held == 1)
        assert len(server.requests) == 2


async def test_a_document_is_kept_when_it_cannot_be_fetched_again_and_seldom_asked_for() -> None:
    clock = Clock()
    async with TokenServer() as server, located(clock, issuer=server.issuer) as locator:
        publishing(server, OAUTH)
        await locator.url()
        server.down = True
        clock.now += 3601
        assert await locator.url() == server.url
        await searched(locator)
        assert locator.outdated
        tried = len(server.refused_at)
        assert tried
        clock.now += 59
        assert await locator.url() == server.url
        await searched(locator)
        assert len(server.refused_at) == tried
        clock.now += 2
        assert await locator.url() == server.url
        await searched(locator)
        assert len(server.refused_at) == 2 * tried
        server.down = False
        clock.now += 61
        await locator.url()
        await searched(locator)
        assert not locator.outdated


async def test_a_failed_first_search_is_tried_again_at_once_when_asked_for() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        server.down = True
        with pytest.raises(FetchFailed) as caught:
            await locator.url()
        assert caught.value.result == "unavailable"
        server.down = False
        publishing(server, OAUTH)
        assert await locator.url() == server.url


async def test_closing_ends_a_search() -> None:
    async with TokenServer() as server, located(Clock(), issuer=server.issuer) as locator:
        server.hold()
        search = asyncio.create_task(locator.url())
        await eventually(lambda: server.held == 1)
        locator.close()
        with pytest.raises(asyncio.CancelledError):
            await search


def test_closing_without_a_search_is_nothing() -> None:
    async def main() -> None:
        async with located(Clock()) as locator:
            locator.close()

    asyncio.run(main())
