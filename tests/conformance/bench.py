r"""The real proxy in this process, between a caller and an upstream that are bare sockets.

    async with bench(keep_prefix=True) as the:
        caller = await the.caller()
        caller.send(b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        upstream = await the.upstream.accept()
        ...

Keywords are keys of the one upstream `api`. At the end everything must have come back: no request
in flight, no connection in use or waited for, nothing unexpected in the log.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.wire import PATIENCE_SECONDS, Answer, Head, Peer, Upstream, connect

from proxy.app import App
from proxy.config.loader import Loaded, load_text
from proxy.telemetry.log import Log

if TYPE_CHECKING:
    from proxy.config.schema import Config
    from proxy.forwarding.pool import Pool
    from proxy.telemetry.upstream import UpstreamFacts

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
POLL_SECONDS = 0.01


def request(
    *fields: bytes, line: bytes = b"GET /a HTTP/1.1", host: bytes = b"localhost", body: bytes = b""
) -> bytes:
    """Return a request's bytes; `Host` comes first, and framing is for `fields` to say."""
    return b"\r\n".join([line, b"Host: " + host, *fields, b"", body])


class Bench:
    """See the module's docstring."""

    def __init__(self, config: Config, upstream: Upstream, tokens: TokenEndpoint) -> None:
        self.config = config
        self.upstream = upstream
        self.tokens = tokens
        self.log = io.StringIO()
        log = Log(
            format="json", level="debug", access="all", stream=self.log, wall=lambda: 1_760_000_000
        )
        self.app = App(Loaded(config, "bench"), log=log)
        self._callers: list[Peer] = []

    @property
    def host(self) -> str:
        """The address that callers connect to."""
        return self.app.addresses[0]

    @property
    def pool(self) -> Pool:
        """The pool of `api`."""
        return self.app._gateway._lanes.by_name["api"].pool

    @property
    def facts(self) -> UpstreamFacts:
        """What telemetry knows of `api`."""
        return self.app.telemetry.upstreams["api"]

    @property
    def unrouted(self) -> UpstreamFacts:
        """What telemetry knows of requests that no upstream was found for."""
        return self.app.telemetry.upstreams[""]

    async def caller(self, *, buffer_bytes: int = 1 << 20) -> Peer:
        """Connect to the proxy."""
        address = self.host
        if address.startswith("unix:"):
            peer = await connect(None, None, path=address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            peer = await connect(host, int(port), buffer_bytes=buffer_bytes)
        self._callers.append(peer)
        return peer

    async def pass_through(
        self, sent: bytes, answer: bytes = OK, *, last: bool = False
    ) -> tuple[Head, Answer]:
        """Send a bodiless request, answer it; return what came at either end.

        `last`: the upstream ends its connection after the answer.
        """
        caller = await self.caller()
        caller.send(sent)
        upstream = await self.upstream.accept()
        head = await upstream.head()
        upstream.send(answer)
        if last:
            upstream.finish()
        return head, await caller.answer(to_head=sent.startswith(b"HEAD "))

    async def pass_through_kept(self, upstream: Peer) -> tuple[Head, Answer]:
        """Send a GET from a new caller, answer it on an upstream connection that is kept."""
        caller = await self.caller()
        caller.send(request())
        head = await upstream.head()
        upstream.send(OK)
        return head, await caller.answer()

    async def refusal(self, sent: bytes) -> Answer:
        """Send what is to be refused; return the answer, after which the connection must end."""
        caller = await self.caller()
        caller.send(sent)
        answer = await caller.answer()
        assert await caller.rest() == b"", "something follows the refusal"
        return answer

    async def nothing_went_up(self) -> None:
        """Fail if the upstream saw anything: the next request must be the first it sees."""
        caller = await self.caller()
        caller.send(request(line=b"GET /probe HTTP/1.1"))
        upstream = await self.upstream.accept()
        assert (await upstream.head()).start == b"GET /probe HTTP/1.1"
        assert self.upstream.connections == 1
        upstream.send(OK)
        assert (await caller.answer()).status == 200

    async def settle(self) -> None:
        """Let the callers go; everything must come back, and the log hold nothing odd."""
        for caller in self._callers:
            caller.abort()
        pools = [lane.pool for lane in self.app._gateway._lanes.by_name.values()]
        await eventually(lambda: self.app._gateway.in_flight == 0, "requests in flight")
        await eventually(
            lambda: all(" 0 active" in repr(pool) for pool in pools), f"0 active in {[*pools]}"
        )
        await eventually(
            lambda: all(" 0 waiting" in repr(pool) for pool in pools), f"0 waiting in {[*pools]}"
        )
        for name, facts in self.app.telemetry.upstreams.items():
            assert (facts.in_flight, facts.connections_active) == (0, 0), name
        events = [json.loads(line) for line in self.log.getvalue().splitlines()]
        assert [event for event in events if event["event"] == "internal_error"] == []

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what was logged under that name."""
        events = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [event for event in events if event["event"] == name]


async def eventually(holds: Callable[[], object], what: str) -> None:
    """Wait until it holds."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"it never came to this: {what}") from None


StartBench = Callable[..., Awaitable[Bench]]
"""`await start_bench(**keys)`: the fixture's type."""


class TokenEndpoint:
    """Grants `token-1`, `token-2` …, to whoever asks."""

    def __init__(self) -> None:
        self.granted = 0
        self.port = 0

    async def start(self) -> None:
        """Listen on a port of the kernel's choice."""
        self._server = await asyncio.start_server(self._grant, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End it."""
        self._server.close()
        await self._server.wait_closed()

    async def _grant(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"grant_type=client_credentials")
        self.granted += 1
        body = b'{"access_token":"token-%d","token_type":"bearer","expires_in":3600}' % self.granted
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        writer.close()
        await writer.wait_closed()


def configuration(
    upstream: Upstream,
    tokens: TokenEndpoint,
    *,
    audience: dict[str, Any] | None,
    top: dict[str, Any],
    path: str,
    keys: dict[str, Any],
) -> Config:
    """Return a configuration of one upstream, `api`; its keys and the file's are the test's."""
    tree: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "admin": {"listen": None},
        "allow_inline_secrets": True,
        "upstreams": {
            "api": {
                "url": f"http://127.0.0.1:{upstream.port}{path}",
                "audience": "none" if audience is None else "orders",
                **keys,
            }
        },
    }
    if audience is not None:
        tree["clients"] = {
            "us": {
                "token_endpoint": f"http://127.0.0.1:{tokens.port}/token",
                "client_id": "us",
                "client_secret": "kept to ourselves",
            }
        }
        tree["audiences"] = {"orders": {"client": "us", "prefetch": False, **audience}}
    text = json.dumps(tree | top).replace("UPSTREAM_PORT", str(upstream.port))
    return load_text(text, "bench.yaml", {}, Path.cwd())


@asynccontextmanager
async def bench(
    *,
    audience: dict[str, Any] | None = None,
    top: dict[str, Any] | None = None,
    path: str = "",
    buffer_bytes: int = 1 << 20,
    listening: dict[str, Any] | None = None,
    **keys: Any,
) -> AsyncIterator[Bench]:
    """Run the proxy. `audience`: its keys, None for no token; `top`: keys of the file.

    `path` is that of the upstream's `url`, `listening` are options of its `start_server`.
    """
    upstream = Upstream(buffer_bytes=buffer_bytes)
    tokens = TokenEndpoint()
    await upstream.start(**(listening or {}))
    await tokens.start()
    config = configuration(upstream, tokens, audience=audience, top=top or {}, path=path, keys=keys)
    the = Bench(config, upstream, tokens)
    # What was there before need not be looked at by the collection that a start makes.
    gc.freeze()
    try:
        await the.app.start()
        yield the
        await the.settle()
    finally:
        for caller in the._callers:
            caller.abort()
        await the.app.close()
        await upstream.stop()
        await tokens.stop()
        asyncio.get_running_loop().set_exception_handler(None)
