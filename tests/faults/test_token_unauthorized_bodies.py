"""A 401 to a request that has a body: sent again whole, or not at all (T-39, A-45)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults.held_token import held
from faults.stepped_time import stepped
from faults.token_server import configuration, running, surroundings, token_of
from integration.recording_upstream import RecordedRequest, response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from faults.token_server import Proxy, TokenServer

REFUSED = (
    b"HTTP/1.1 401 Unauthorized\r\n"
    b'WWW-Authenticate: Bearer error="invalid_token"\r\n'
    b"Content-Length: 2\r\n\r\nno"
)


def content(request: RecordedRequest) -> bytes:
    """Return the body without its framing."""
    if b"chunked" not in request.values("Transfer-Encoding"):
        return request.body
    found, rest = b"", request.body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        found += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return found


async def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]
        await asyncio.sleep(0)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("piece", [300, 100_000])
@pytest.mark.parametrize(
    ("bytes_max", "size", "again"),
    [
        (1000, 1, True),
        (1000, 999, True),
        (1000, 1000, True),
        (1000, 1001, False),
        (1000, 50_000, False),
        (65536, 65535, True),
        (65536, 65536, True),
        (65536, 65537, False),
    ],
)
@stepped
async def test_a_body_is_sent_again_whole_up_to_replay_body_bytes_max_and_not_beyond(
    bytes_max: int, size: int, piece: int, *, chunked: bool, again: bool
) -> None:
    """Once more it is byte for byte the same, whatever the pieces it came in."""
    async with held(replay_body_bytes_max=bytes_max) as the:
        the.guard.refused.add("token-1")
        body = bytes(range(1, 256)) * (size // 255 + 1)
        body = body[:size]
        # A generator is sent in chunks unless its length is said.
        headers = {} if chunked else {"Content-Length": str(size)}
        status, _, _ = await the.proxy.call(
            method="POST", data=in_pieces(body, piece), headers=headers
        )
        assert status == (200 if again else 401)
        assert [content(each) for each in the.upstream.requests] == [body] * (2 if again else 1)
        for request in the.upstream.requests:
            assert bool(request.values("Transfer-Encoding")) is chunked
        assert the.sent() == ["token-1", "token-2"][: 2 if again else 1]
        assert len(the.server.requests) == (2 if again else 1)
        assert the.actions() == {"renewed_ok" if again else "passed": 1}


@stepped
async def test_with_no_byte_to_keep_only_requests_without_a_body_are_sent_again() -> None:
    async with held(replay_body_bytes_max=0) as the:
        the.guard.refused.add("token-1")
        assert (await the.proxy.call(method="POST", data=b"x"))[0] == 401
        assert len(the.server.requests) == 1
        assert (await the.proxy.call(method="POST"))[0] == 200
        assert the.actions() == {"passed": 1, "renewed_ok": 1}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PATCH"])
@stepped
async def test_a_request_without_a_body_is_sent_again_whatever_its_method(method: str) -> None:
    """A 401 says that it was not executed, so that this holds for POST too."""
    async with held() as the:

        async def answer(request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            body = b"" if method == "HEAD" else b"whole"
            if token_of(request) == "token-1":
                writer.write(REFUSED.removesuffix(b"no") if method == "HEAD" else REFUSED)
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)

        the.upstream.answer = answer
        for _ in range(2):  # the second on a connection that is in step still
            status, headers, body = await the.proxy.call(method=method)
            assert (status, headers["Content-Length"]) == (200, "5")
            assert body == (b"" if method == "HEAD" else b"whole")
        assert [each.head[0].split()[0] for each in the.upstream.requests] == [method.encode()] * 3
        assert the.sent() == ["token-1", "token-2", "token-2"]


@stepped
async def test_a_401_whose_own_body_does_not_end_is_not_waited_for() -> None:
    async with held() as the:

        async def answer(request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            if token_of(request) == "token-1":
                writer.write(REFUSED.replace(b"Content-Length: 2", b"Content-Length: 9999"))
            else:
                writer.write(response(b"yes"))

        the.upstream.answer = answer
        status, _, body = await the.proxy.call()
        assert (status, body) == (200, b"yes")
        # What is left of the 401 must not be read as the next answer.
        assert {each.connection for each in the.upstream.requests} == {0, 1}


@dataclass(slots=True)
class Impatient:
    """An upstream that answers 401 as soon as it has a head, and goes on to read."""

    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(REFUSED)
        body = b""
        try:
            while data := await reader.read(65536):
                body += data
        except ConnectionError:
            pass  # broken off, as a body that is not whole may well be
        self.bodies.append(body)
        writer.close()
        self.ended.set()


@asynccontextmanager
async def impatient() -> AsyncIterator[tuple[Impatient, TokenServer, Proxy]]:
    """Run a proxy whose token is ten seconds old, before an upstream that refuses it at once."""
    upstream = Impatient()
    async with surroundings() as (server, _, _):
        listener = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        config = configuration(server, f"http://127.0.0.1:{port}")
        async with listener, running(config, Path()) as proxy:
            await proxy.advance(10)
            assert len(server.requests) == 1
            yield upstream, server, proxy


FRAMINGS = pytest.mark.parametrize(
    ("framing", "first", "rest"),
    [
        (b"Content-Length: 200000", b"x" * 1000, b"y" * 199_000),
        (b"Content-Length: 20", b"x" * 10, b"y" * 10),
        (b"Transfer-Encoding: chunked", b"a\r\n" + b"x" * 10 + b"\r\n", b"1\r\ny\r\n0\r\n\r\n"),
    ],
)


@FRAMINGS
@stepped
async def test_a_body_that_is_still_being_sent_is_not_sent_twice_and_its_401_passes(
    framing: bytes, first: bytes, rest: bytes
) -> None:
    """The caller goes on after the 401, as it may, and can read all of it nevertheless."""
    async with impatient() as (upstream, server, proxy):
        reader, writer = await asyncio.open_connection(*proxy.app.addresses[0].split(":"))
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n" + first)
        answer = await reader.readuntil(b"\r\n\r\nno")
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b'Bearer error="invalid_token"' in answer
        for start in range(0, len(rest), 10_000):
            writer.write(rest[start : start + 10_000])
            await writer.drain()
        # What it sent is in the way of no later request: this connection takes none.
        assert await reader.read() == b""
        writer.close()
        await upstream.ended.wait()
        assert len(upstream.heads) == 1
        # Never a part that looks like the whole.
        assert not upstream.bodies[0].endswith(b"0\r\n\r\n")
        assert len(upstream.bodies[0]) < len(first + rest)
        assert len(server.requests) == 1
        facts = proxy.app.telemetry.upstreams["api"]
        assert facts.unauthorized_actions["passed"] == 1
        # And the token is held still: nobody knows whether another would have done.
        assert proxy.facts().state == "live"


@stepped
async def test_a_caller_that_waits_for_100_continue_gets_the_401_instead() -> None:
    async with impatient() as (upstream, server, proxy):
        reader, writer = await asyncio.open_connection(*proxy.app.addresses[0].split(":"))
        writer.write(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            b"Content-Length: 10\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\nno")).startswith(b"HTTP/1.1 401 ")
        writer.close()
        await upstream.ended.wait()
        assert (len(upstream.heads), upstream.bodies) == (1, [b""])
        assert len(server.requests) == 1
