"""`proxy.tokens.endpoint` against real sockets: what a server can do to us, and what we tell."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import time
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
from faults.token_server import TokenServer, http_answer
from hypothesis import given
from hypothesis import strategies as st
from unit.tokens import some

from proxy.errors import Fault
from proxy.network import Resolver
from proxy.tls import TlsContexts
from proxy.tokens.endpoint import Answer, Endpoint
from proxy.tokens.outcome import FetchFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WALL = 784_111_000.0
"""Unix time; 777 seconds later is the instant that RFC 9110 §5.6.7 writes in three ways."""
HEADERS = {"Authorization": "Basic Q0FOQVJZ", "Accept": "application/json"}
BODY = b"client_secret=CANARY"
BYTES_MAX = 65536


@asynccontextmanager
async def opened(**keys: Any) -> AsyncIterator[Endpoint]:
    resolver = Resolver(threads=2, purpose="test")
    client = some.client(**keys)
    endpoint = Endpoint(
        client,
        resolver=resolver,
        trust=TlsContexts().of(client.tls),
        wall=lambda: WALL,
        body_bytes_max=BYTES_MAX,
    )
    try:
        yield endpoint
    finally:
        await endpoint.close()
        await resolver.close()


async def post(url: str, **keys: Any) -> Answer:
    async with opened(**keys) as endpoint:
        return await endpoint.post(url, HEADERS, BODY)


async def trouble(url: str, **keys: Any) -> FetchFailed:
    """Post, fail, and see that nothing of the request got into what is told."""
    with pytest.raises(FetchFailed) as caught:
        await post(url, **keys)
    failure = caught.value
    for told in (str(failure), failure.said, failure.error.detail, repr(failure)):
        assert "CANARY" not in told
        assert "Q0FOQVJZ" not in told
    assert failure.__cause__ is None
    return failure


async def answered(answer: bytes, **keys: Any) -> FetchFailed:
    """Return the failure that these very bytes of an answer are."""
    async with TokenServer(answer=lambda _: answer) as server:
        return await trouble(server.url, **keys)


async def test_a_request_goes_out_as_it_was_built_and_nothing_is_added() -> None:
    async with TokenServer(answer=lambda _: http_answer(b"body")) as server:
        answer = await post(server.url)
    assert answer == Answer(200, b"body")
    (asked,) = server.requests
    assert (asked.method, asked.target, asked.body) == ("POST", "/token", BODY)
    assert asked.headers["authorization"] == HEADERS["Authorization"]
    assert asked.headers.keys() <= {
        "host",
        "authorization",
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "connection",
    }


async def test_the_endpoint_is_asked_for_to_the_letter() -> None:
    async with TokenServer(answer=lambda _: http_answer("{}")) as server:
        await post(f"{server.issuer}/a%2Fb;c/token?tenant=a%2Fb&x=%7E+%2B")
    assert server.requests[0].target == "/a%2Fb;c/token?tenant=a%2Fb&x=%7E+%2B"


async def test_an_answer_does_not_print_its_body() -> None:
    assert "CANARY" not in repr(Answer(200, b"CANARY"))


async def test_metadata_is_got_uncompressed_and_under_its_own_limit() -> None:
    body = b"x" * (BYTES_MAX + 1)
    async with TokenServer(answer=lambda _: http_answer(body)) as server, opened() as endpoint:
        answer = await endpoint.get(server.url, body_bytes_max=len(body))
        assert answer.body == body
        with pytest.raises(FetchFailed, match="larger than"):
            await endpoint.get(server.url, body_bytes_max=len(body) - 1)
    asked = server.requests[0]
    assert (asked.method, asked.body) == ("GET", b"")
    assert asked.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "500 Oops", "429 Slower"])
async def test_a_status_is_no_failure_here(status: str) -> None:
    async with TokenServer(answer=lambda _: http_answer(b"x", status=status)) as server:
        answer = await post(server.url)
    assert (answer.status, answer.body) == (int(status[:3]), b"x")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed_and_no_cookie_kept(status: int) -> None:
    async with TokenServer() as elsewhere, TokenServer() as server, opened() as endpoint:
        fields = (f"Location: {elsewhere.url}", "Set-Cookie: a=b; Path=/")
        server.answer = lambda _: http_answer(b"", status=f"{status} Moved", fields=fields)
        for _ in range(2):
            answer = await endpoint.post(server.url, HEADERS, BODY)
            assert answer.status == status
        assert elsewhere.requests == []
        assert "cookie" not in server.requests[1].headers


# Trouble on the way.


async def test_a_server_that_hangs_is_a_timeout() -> None:
    async with TokenServer() as server:
        server.hold()
        failure = await trouble(server.url, timeout_seconds=0.1)
    assert (failure.error.fault, failure.result) == (
        Fault.AUTHORIZATION_SERVER_UNAVAILABLE,
        "timeout",
    )
    assert "0.1 s" in failure.error.detail


async def test_the_time_is_counted_to_the_last_byte() -> None:
    async with TokenServer(stays=True) as server:
        server.answer = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"
        assert (await trouble(server.url, timeout_seconds=0.2)).result == "timeout"


async def test_a_reset_connection_is_unavailable() -> None:
    async with TokenServer(down=True) as server:
        assert (await trouble(server.url)).result == "unavailable"


async def test_a_closed_port_is_unavailable() -> None:
    async with TokenServer() as server:
        pass
    failure = await trouble(server.url)
    assert (failure.error.fault, failure.result) == (
        Fault.AUTHORIZATION_SERVER_UNAVAILABLE,
        "unavailable",
    )
    assert failure.said


async def test_a_name_that_does_not_resolve_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere(*_arguments: Any, **_keywords: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    failure = await trouble("http://no-such-name.example/token")
    assert failure.result == "unavailable"
    assert failure.error.detail == "the authorization server's name does not resolve"
    proxied = await trouble(
        "http://auth.example.com/token", http_proxy="http://no-such-name.example:3128"
    )
    assert proxied.result == "unavailable"
    assert proxied.error.detail == "the egress proxy's (`http_proxy`) name does not resolve"


async def test_an_answer_of_nothing_is_unavailable() -> None:
    assert (await answered(b"")).result == "unavailable"


@pytest.mark.parametrize(
    "answer",
    [
        b"this is not HTTP\r\n\r\n",
        b"HTTP/1.1 200\r\nbroken header\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 4\r\n\r\nabcd",
    ],
    ids=lambda answer: repr(answer[:60]),
)
async def test_broken_http_is_misspoken(answer: bytes) -> None:
    failure = await answered(answer)
    assert failure.result == "misspoke", failure.error.detail


@pytest.mark.parametrize(
    ("rest", "closes"),
    [
        (b"ZZ\r\n", True),
        (b"ZZ\r\n", False),
        (b"2\r\nabXX", True),
        (b"2\r\nabXX", False),
        (b"-1\r\n", False),
        (b"5\r\nab", True),
        (b"", True),
    ],
)
async def test_broken_chunking_is_misspoken_when_it_comes_behind_the_head_too(
    monkeypatch: pytest.MonkeyPatch, rest: bytes, *, closes: bool
) -> None:
    head_read, over = asyncio.Event(), asyncio.Event()
    start = aiohttp.ClientResponse.start

    async def started(response: aiohttp.ClientResponse, connection: Any) -> aiohttp.ClientResponse:
        result = await start(response, connection)
        head_read.set()
        return result

    monkeypatch.setattr(aiohttp.ClientResponse, "start", started)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await head_read.wait()
        writer.write(rest)
        if not closes:
            await over.wait()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        failure = await trouble(f"http://127.0.0.1:{port}/token", timeout_seconds=5)
        over.set()
    assert failure.result == "misspoke", failure.error.detail


# Size.


async def test_an_answer_of_the_limit_is_read_and_one_byte_more_is_not() -> None:
    async with TokenServer(answer=lambda _: http_answer(b"x" * BYTES_MAX)) as server:
        assert len((await post(server.url)).body) == BYTES_MAX
        server.answer = lambda _: http_answer(b"x" * (BYTES_MAX + 1))
        assert (await trouble(server.url)).result == "misspoke"


async def test_an_answer_without_end_is_given_up_at_the_limit() -> None:
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 10_000_000
    failure = await answered(endless)
    assert (failure.result, "larger than 65536" in failure.error.detail) == ("misspoke", True)


@pytest.mark.parametrize(("status", "length"), [("401 Unauthorized", 70_000), ("503 No", 10**7)])
async def test_an_error_page_of_any_length_is_judged_by_its_status(
    status: str, length: int
) -> None:
    page = http_answer(b"x" * length, status=status, fields=("Retry-After: 7",))
    async with TokenServer(answer=lambda _: page) as server:
        answer = await post(server.url)
    assert answer.status == int(status[:3])
    assert len(answer.body) == BYTES_MAX
    assert answer.retry_after_seconds == 7


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\nA: " + b" " * 1_000_000 + b"\r\n\r\n",
    ],
    ids=["interim", "blanks"],
)
async def test_a_head_without_end_is_given_up_before_it_fills_the_memory(endless: bytes) -> None:
    failure = await answered(endless + http_answer("{}"))
    assert (failure.result, "larger than 65536" in failure.error.detail) == ("misspoke", True)
    assert failure.limit == "token_response_bytes_max"


async def test_what_is_compressed_all_the_same_is_unpacked_and_then_measured() -> None:
    def packed(body: bytes) -> bytes:
        return http_answer(gzip.compress(body), fields=("Content-Encoding: gzip",))

    async with TokenServer(answer=lambda _: packed(b"x" * BYTES_MAX)) as server:
        assert (await post(server.url)).body == b"x" * BYTES_MAX
        server.answer = lambda _: packed(b"x" * 20_000_000)
        failure = await trouble(server.url)
        assert failure.result == "misspoke"


# Whom to trust.


async def test_where_there_is_no_tls_no_context_is_made(tmp_path: Path) -> None:
    missing = {"ca_file": str(tmp_path / "missing.pem")}
    async with TokenServer(answer=lambda _: http_answer(b"x")) as server:
        assert (await post(server.url, tls=missing)).body == b"x"
        tls_to_the_proxy = {"http_proxy": "https://127.0.0.1:9", "tls": missing}
        assert (await trouble(server.url, **tls_to_the_proxy)).result == "credential_unreadable"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def ca_file(authority: trustme.CA, folder: Path) -> str:
    file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


async def test_a_server_of_the_configured_authority_is_trusted(
    authority: trustme.CA, tmp_path: Path
) -> None:
    async with TokenServer(tls=serving(authority)) as server:
        server.answer = lambda _: http_answer(b"x")
        answer = await post(server.url, tls={"ca_file": ca_file(authority, tmp_path)})
    assert answer.body == b"x"


async def test_a_server_of_another_authority_is_not(authority: trustme.CA, tmp_path: Path) -> None:
    other = ca_file(trustme.CA(), tmp_path)
    async with TokenServer(tls=serving(authority)) as server:
        for tls in ({"ca_file": other}, {}):
            failure = await trouble(server.url, tls=tls)
            assert failure.result == "unavailable"
            assert "TLS" in failure.error.detail
            assert "CERTIFICATE_VERIFY_FAILED" in failure.said
        assert server.requests == []


async def test_a_certificate_for_another_name_is_refused_unless_that_name_is_expected(
    authority: trustme.CA, tmp_path: Path
) -> None:
    trusted = {"ca_file": ca_file(authority, tmp_path)}
    async with TokenServer(tls=serving(authority, "auth.example.com")) as server:
        server.answer = lambda _: http_answer(b"x")
        assert "TLS" in (await trouble(server.url, tls=trusted)).error.detail
        named = trusted | {"server_name": "auth.example.com"}
        assert (await post(server.url, tls=named)).body == b"x"


async def test_a_client_certificate_is_shown_where_one_is_configured(
    authority: trustme.CA, tmp_path: Path
) -> None:
    context = serving(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    own = tmp_path / "own.pem"
    authority.issue_cert("billing.example.com").private_key_and_cert_chain_pem.write_to_path(
        str(own)
    )
    trusted = {"ca_file": ca_file(authority, tmp_path)}
    async with TokenServer(tls=context, answer=lambda _: http_answer(b"x")) as server:
        assert (await trouble(server.url, tls=trusted)).result == "unavailable"
        answer = await post(server.url, tls=trusted | {"certificate_file": str(own)})
    assert answer.body == b"x"


async def test_a_server_that_speaks_no_tls_is_unavailable() -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http_answer(b"", status="400 Bad Request"))
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        failure = await trouble(f"https://127.0.0.1:{port}/token")
    assert failure.result == "unavailable"
    assert "TLS" in failure.error.detail


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
async def test_a_ca_file_that_cannot_be_used_is_our_own_trouble_and_heals(
    authority: trustme.CA, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    async with (
        TokenServer(tls=serving(authority), answer=lambda _: http_answer(b"x")) as server,
        opened(tls={"ca_file": str(file)}) as endpoint,
    ):
        with pytest.raises(FetchFailed) as caught:
            await endpoint.post(server.url, HEADERS, BODY)
        assert caught.value.result == "credential_unreadable"
        assert caught.value.error.fault is Fault.CREDENTIAL_UNREADABLE
        assert str(tmp_path) not in caught.value.error.detail
        authority.cert_pem.write_to_path(str(file))
        assert (await endpoint.post(server.url, HEADERS, BODY)).body == b"x"


# Proxies.


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TokenServer() as proxy, TokenServer() as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.issuer)
            monkeypatch.setenv(name.upper(), proxy.issuer)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert (await post(server.url)).status == 200
        assert proxy.requests == []


async def test_the_configured_proxy_is_asked() -> None:
    async with TokenServer(answer=lambda _: http_answer(b"x")) as proxy:
        answer = await post("http://auth.example.com/token", http_proxy=proxy.issuer)
    assert answer.body == b"x"
    assert proxy.requests[0].target == "http://auth.example.com/token"


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway"])
async def test_a_proxy_that_lets_us_not_through_makes_the_server_unavailable(status: str) -> None:
    async with TokenServer(answer=lambda _: http_answer(b"", status=status)) as proxy:
        failure = await trouble("https://auth.example.com/token", http_proxy=proxy.issuer)
    assert failure.error.fault is Fault.AUTHORIZATION_SERVER_UNAVAILABLE
    assert "http_proxy" in failure.error.detail
    assert status[:3] in failure.said
    assert proxy.requests[0].method == "CONNECT"
    assert "authorization" not in proxy.requests[0].headers


async def test_a_proxy_that_wants_credentials_is_not_taken_for_the_server() -> None:
    """Where no tunnel leads to the endpoint, the proxy's own answer comes in its place."""
    status = "407 Proxy Authentication Required"
    async with TokenServer(answer=lambda _: http_answer(b"", status=status)) as proxy:
        failure = await trouble("http://127.0.0.1:9/token", http_proxy=proxy.issuer)
    assert failure.error.fault is Fault.AUTHORIZATION_SERVER_UNAVAILABLE
    assert "407" in failure.said


async def test_a_dead_proxy_makes_the_server_unavailable() -> None:
    async with TokenServer() as proxy:
        pass
    failure = await trouble("https://auth.example.com/token", http_proxy=proxy.issuer)
    assert failure.result == "unavailable"
    assert "http_proxy" in failure.error.detail


# Retry-After.


async def retry_after(value: str) -> float | None:
    fields = (f"Retry-After: {value}",)
    answer = http_answer(b"", status="503 Busy", fields=fields)
    async with TokenServer(answer=lambda _: answer) as server:
        return (await post(server.url)).retry_after_seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        ("  120  ", 120),
        ("999999999999999999999", 999999999),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 777),
        ("Sun Nov  6 08:49:37 1994", 777),
        (formatdate(WALL - 1, usegmt=True), 0),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ],
)
async def test_retry_after_is_read_in_both_forms(
    monkeypatch: pytest.MonkeyPatch, value: str, seconds: float | None
) -> None:
    """RFC 9110 §10.2.3; a date without a zone is GMT wherever this machine stands."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert await retry_after(value) == seconds
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("skew", [-7200, 0, 3600])
async def test_a_date_to_retry_after_counts_from_the_servers_own_clock(skew: int) -> None:
    date, later = (formatdate(WALL + skew + plus, usegmt=True) for plus in (0, 6))
    fields = (f"Date: {date}", f"Retry-After: {later}")
    busy = http_answer(b"", status="503 Service Unavailable", fields=fields)
    async with TokenServer(answer=lambda _: busy) as server:
        assert (await post(server.url)).retry_after_seconds == pytest.approx(6, abs=1)


async def test_without_retry_after_there_is_none() -> None:
    async with TokenServer(answer=lambda _: http_answer(b"")) as server:
        assert (await post(server.url)).retry_after_seconds is None


DATE_LIKE = st.text("0123456789 :-+,.()GMTSunNov", max_size=40) | st.text(max_size=20)


@given(DATE_LIKE)
def test_no_retry_after_whatsoever_is_more_than_unread(value: str) -> None:
    client = some.client()
    endpoint = Endpoint(
        client,
        resolver=Resolver(threads=1, purpose="test"),
        trust=TlsContexts().of(client.tls),
        wall=lambda: WALL,
        body_bytes_max=1,
    )
    seconds = endpoint._retry_after(value, 0.0)
    assert seconds is None or seconds >= 0
