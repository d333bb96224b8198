"""WebSockets through the proxy's process, between a client and a server we did not write.

Both are of PyPI's `websockets`. What the two settle between them is theirs: the proxy carries
bytes, so what is told here is that nothing of it is lost, changed or answered by somebody else.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from conformance.bench import TokenEndpoint
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.typing import Origin, Subprotocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from integration.proxy_process import RunningProxy, StartProxy
    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.server import Server, ServerConnection

    Handler = Callable[[ServerConnection], Awaitable[None]]

PATIENCE_SECONDS = 30
SIXTEEN_MIB = 16 << 20


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


class Chat:
    """A server, the proxy before it, and what the server's handshakes held."""

    def __init__(self, server: Server, proxy: RunningProxy) -> None:
        self.server = server
        self.proxy = proxy

    @property
    def url(self) -> str:
        return self.proxy.url.replace("http://", "ws://") + "/chat?room=1"

    def call(self, **options: Any) -> connect:
        """Connect by way of the proxy; by no other, whatever the environment says."""
        return connect(self.url, proxy=None, **({"max_size": None} | options))


@asynccontextmanager
async def chat(
    start_proxy: StartProxy,
    handler: Handler = echo,
    *,
    top: dict[str, Any] | None = None,
    keys: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Chat]:
    """Run both; `top` and `keys` are the configuration's, `options` go to the server."""
    async with serve(handler, "127.0.0.1", 0, **({"max_size": None} | options)) as server:
        (listening,) = server.sockets
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        upstream = {"url": url, "audience": "none"} | (keys or {})
        proxy = await start_proxy(
            {"upstreams": {"chat": upstream}, "log": {"access": "all"}} | (top or {})
        )
        yield Chat(server, proxy)


@asynccontextmanager
async def patience() -> AsyncIterator[None]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        yield


async def said(proxy: RunningProxy, event: str) -> dict[str, Any]:
    """Return the first event of that name, once it is logged."""
    async with patience():
        while not proxy.events(event):
            await asyncio.sleep(0.02)
    return proxy.events(event)[0]


async def test_subprotocol_and_compression_are_settled_end_to_end(start_proxy: StartProxy) -> None:
    """B-52: text and binary messages; compressed, they cross the proxy compressed."""
    async with (
        chat(start_proxy, subprotocols=[Subprotocol("chat.v1")]) as the,
        patience(),
        the.call(subprotocols=[Subprotocol("chat.v2"), Subprotocol("chat.v1")]) as socket,
    ):
        assert socket.subprotocol == "chat.v1"
        (settled,) = socket.protocol.extensions
        assert settled.name == "permessage-deflate"
        for message in ("", "héllo ☃", b"", bytes(range(256)), "same " * 200_000):
            await socket.send(message)
            assert await socket.recv() == message
        await socket.close()
        line = await said(the.proxy, "request")
        assert (line["status"], line["origin"]) == (101, "upstream")
        assert 1000 < line["bytes_in"] < 20_000
        assert 1000 < line["bytes_out"] < 20_000


async def test_the_handshake_carries_the_token_and_the_callers_fields(
    start_proxy: StartProxy,
) -> None:
    """B-52: cookies and the like are the server's to judge; the token is on the handshake."""
    heads = []

    async def keeping(socket: ServerConnection) -> None:
        assert socket.request is not None
        heads.append(socket.request)
        await echo(socket)

    tokens = TokenEndpoint()
    await tokens.start()
    client = {
        "token_endpoint": f"http://127.0.0.1:{tokens.port}/token",
        "client_id": "us",
        "client_secret": "kept to ourselves",
    }
    top = {"clients": {"us": client}, "audiences": {"chat": {"client": "us"}}}
    async with (
        chat(start_proxy, keeping, top=top, keys={"audience": "chat"}) as the,
        patience(),
        the.call(
            additional_headers={"Cookie": "a=1; b=2"},
            user_agent_header="caller/1",
        ) as socket,
    ):
        await socket.send("hello")
        assert await socket.recv() == "hello"
    (head,) = heads
    assert head.path == "/chat?room=1"
    assert head.headers["Authorization"] == "Bearer token-1"
    assert head.headers["Cookie"] == "a=1; b=2"
    assert head.headers["User-Agent"] == "caller/1"
    await tokens.stop()


async def test_sixteen_mebibytes_are_one_message_either_way(start_proxy: StartProxy) -> None:
    """B-54: no limit of the proxy's own; what can't be compressed shows every byte."""
    async with (
        chat(start_proxy, compression=None) as the,
        patience(),
        the.call(compression=None) as socket,
    ):
        message = os.urandom(SIXTEEN_MIB)
        await socket.send(message)
        assert await socket.recv() == message


async def test_pings_are_answered_by_the_other_side(start_proxy: StartProxy) -> None:
    """B-54: each once, with its own words."""
    pinged = asyncio.get_running_loop().create_future()

    async def pinging(socket: ServerConnection) -> None:
        pinged.set_result(await (await socket.ping(b"are you there")))
        await echo(socket)

    async with chat(start_proxy, pinging) as the, patience(), the.call() as socket:
        assert await (await socket.ping(b"and you")) > 0
        assert await pinged > 0


@pytest.mark.parametrize("by", ["client", "server"])
async def test_a_close_keeps_its_code_and_reason(start_proxy: StartProxy, by: str) -> None:
    """B-53: either way, and its echo too."""
    seen = asyncio.get_running_loop().create_future()

    async def closing(socket: ServerConnection) -> None:
        if by == "server":
            await socket.close(4001, "bye")
        try:
            await socket.recv()
        except ConnectionClosed as closed:
            seen.set_result(closed)

    async with chat(start_proxy, closing) as the, patience(), the.call() as socket:
        if by == "client":
            await socket.close(4001, "bye")
        with pytest.raises(ConnectionClosed) as ours:
            await socket.recv()
        for closed in (ours.value, await seen):
            assert closed.rcvd is not None
            assert closed.sent is not None
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "bye")
            assert (closed.sent.code, closed.sent.reason) == (4001, "bye")
        assert (await said(the.proxy, "request"))["status"] == 101


async def test_a_refusal_comes_with_its_body(start_proxy: StartProxy) -> None:
    """B-51: the server's own words, and no tunnel."""
    async with chat(
        start_proxy, process_request=lambda socket, _: socket.respond(HTTPStatus(403), "not you\n")
    ) as the:
        with pytest.raises(InvalidStatus) as refusal:
            await the.call()
        assert refusal.value.response.status_code == 403
        assert refusal.value.response.body == b"not you\n"
        assert (await said(the.proxy, "request"))["origin"] == "upstream"


async def test_a_foreign_page_may_open_no_socket_unless_that_is_allowed(
    start_proxy: StartProxy,
) -> None:
    """RFC 6455 §10.2: pages send `Origin`, and no same-origin rule keeps them from asking."""
    foreign = Origin("https://elsewhere.example")
    origins = []

    async def keeping(socket: ServerConnection) -> None:
        assert socket.request is not None
        origins.append(socket.request.headers["Origin"])

    async with chat(start_proxy, keeping) as the, patience():
        own = Origin(the.proxy.url)
        with pytest.raises(InvalidStatus) as refusal:
            await the.call(origin=foreign)
        assert refusal.value.response.status_code == 403
        assert b"browser_refused" in refusal.value.response.body
        async with the.call(origin=own) as socket:
            await socket.wait_closed()
    async with (
        chat(start_proxy, keeping, top={"browser_requests": "allow"}) as the,
        patience(),
        the.call(origin=foreign) as socket,
    ):
        await socket.wait_closed()
    assert origins == [own, foreign]


async def test_many_sockets_talk_at_once(start_proxy: StartProxy) -> None:
    async with chat(start_proxy) as the, patience():
        sockets: list[ClientConnection] = await asyncio.gather(*(the.call() for _ in range(40)))
        assert await the.proxy.metric("tokenproxy_requests_in_flight", upstream="chat") == 40
        for number, socket in enumerate(sockets):
            await socket.send(f"I am {number}")
        heard = await asyncio.gather(*(socket.recv() for socket in sockets))
        assert heard == [f"I am {number}" for number in range(40)]
        await asyncio.gather(*(socket.close() for socket in sockets))
        while await the.proxy.metric("tokenproxy_requests_in_flight", upstream="chat"):
            await asyncio.sleep(0.02)
        counted = await the.proxy.metric("tokenproxy_requests_total", upstream="chat", code="101")
        assert counted == 40


async def test_an_open_socket_gets_the_drain_time(start_proxy: StartProxy) -> None:
    """B-57, R-13: it goes on after SIGTERM, and may end as its two sides want."""
    top = {"shutdown": {"drain_seconds": 60}}
    async with chat(start_proxy, top=top) as the, patience(), the.call() as socket:
        the.proxy.process.send_signal(signal.SIGTERM)
        await said(the.proxy, "draining")
        with pytest.raises(OSError, match=r"(?i)connect"):
            await the.call()
        await socket.send("still here")
        assert await socket.recv() == "still here"
        await socket.close(1000, "done")
        assert socket.close_code == 1000
        assert await the.proxy.process.wait() == 0
        assert the.proxy.events("drain_incomplete") == []


async def test_a_socket_that_outlasts_the_drain_is_closed(start_proxy: StartProxy) -> None:
    """B-57: both sides are told by an end; the proxy's own is a good one, and soon."""
    ended = asyncio.get_running_loop().create_future()

    async def waiting(socket: ServerConnection) -> None:
        try:
            await socket.recv()
        except ConnectionClosed as closed:
            ended.set_result(closed)

    top = {"shutdown": {"drain_seconds": 0.5}}
    async with chat(start_proxy, waiting, top=top) as the, patience(), the.call() as socket:
        the.proxy.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosedError) as ours:
            await socket.recv()
        assert ours.value.rcvd is None
        assert (await ended).rcvd is None
        assert await the.proxy.process.wait() == 0
        assert len(the.proxy.events("drain_incomplete")) == 1
        assert the.proxy.events("internal_error") == []
