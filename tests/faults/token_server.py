"""A token endpoint in our hands, and the real proxy between it and an upstream, in this process.

`TokenServer` speaks HTTP/1.1 itself, so that what it answers is exactly what the test says. It
records every request with the event loop's time; `down` resets every connection, and those are
recorded too; `hold` keeps answers back until `release`.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, unquote_plus

import aiohttp
import pytest
import yaml
from faults.stepped_time import SteppedLoop, advance, now
from integration.recording_upstream import RecordedRequest, RecordingUpstream, response

from proxy.app import App
from proxy.config.loader import Loaded, load_text
from proxy.telemetry.log import Log

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

WALL_AT_START = 1_760_000_000.0
SOURCE = "token-proxy.yaml"
PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.01
TOKEN_PATH = "/token"


async def eventually(
    condition: Callable[[], bool], *, patience_seconds: float = PATIENCE_SECONDS
) -> None:
    """Poll until `condition` holds. Raises `TimeoutError` when it does not in good time."""
    async with asyncio.timeout(patience_seconds):
        while not condition():
            await asyncio.sleep(POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the server got it; `at` is the loop's time, field names are lower-case."""

    at: float
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode(), keep_blank_values=True, strict_parsing=True)

    def field(self, name: str) -> str | None:
        values = self.fields.get(name)
        return None if values is None else ",".join(values)

    @property
    def secret(self) -> str:
        """The secret, whether it came as form-encoded Basic or in the body."""
        scheme, _, pair = self.headers.get("authorization", "").partition(" ")
        if scheme != "Basic":
            return self.fields["client_secret"][0]
        return unquote_plus(base64.b64decode(pair).decode().partition(":")[2])


def http_answer(
    body: bytes | str | dict[str, Any], *, status: str = "200 OK", fields: tuple[str, ...] = ()
) -> bytes:
    """Return the bytes of an answer; a dict goes as JSON."""
    if isinstance(body, dict):
        body = json.dumps(body)
        fields = ("Content-Type: application/json", *fields)
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


def refusal(error: str, *, status: str = "400 Bad Request", **members: Any) -> bytes:
    return http_answer({"error": error, **members}, status=status)


@dataclass(slots=True)
class TokenServer:
    """`async with TokenServer() as server`. Set the fields to change what it does next."""

    lifetime_seconds: float = 3600
    delay_seconds: float = 0
    down: bool = False
    tls: ssl.SSLContext | None = None
    answer: Callable[[Asked], bytes] | None = None
    """What to answer; None: grant a new token, `AUDIENCE-N`, for `lifetime_seconds`."""
    stays: bool = False
    """Whether the connection stays open behind an answer, until the proxy closes it."""
    requests: list[Asked] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)
    """When a connection came while the server was `down`."""
    expiry: dict[str, float] = field(default_factory=dict)
    """The loop's time at which each granted token lapses."""
    in_flight_max: int = 0
    held: int = 0
    """How many requests wait for their answer."""
    port: int = 0
    _in_flight: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _gate: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._gate.set()
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, backlog=1024, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_raised: object) -> None:
        assert self._server is not None
        self._server.close()
        self._gate.set()
        for writer in self._open:
            writer.transport.abort()
        while self._open:
            await asyncio.sleep(0)  # cancelled, they would complain
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"{self.issuer}{TOKEN_PATH}"

    @property
    def issuer(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def token_requests(self) -> list[Asked]:
        return [each for each in self.requests if each.target == TOKEN_PATH]

    def hold(self) -> None:
        """Keep all answers back, so that the server hangs."""
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    def grant(self, asked: Asked, token: str | None = None, **members: Any) -> bytes:
        """Return the answer that grants a token."""
        token = token or f"{asked.field('audience') or 'token'}-{len(self.expiry) + 1}"
        self.expiry[token] = asyncio.get_running_loop().time() + self.lifetime_seconds
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.lifetime_seconds,
        }
        return http_answer(answer | members)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self.down:
                self.refused_at.append(asyncio.get_running_loop().time())
                _reset(writer)
                return
            asked = await _read(reader)
            self.requests.append(asked)
            self._in_flight += 1
            self.in_flight_max = max(self.in_flight_max, self._in_flight)
            try:
                await self._wait(reader)
            finally:
                self._in_flight -= 1
            writer.write((self.answer or self.grant)(asked))
            await writer.drain()
            if self.stays:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the proxy gave up, as it may at any time
        finally:
            self._open.discard(writer)
            writer.close()

    async def _wait(self, reader: asyncio.StreamReader) -> None:
        """Wait as long as the test wants, or until the proxy gives up."""
        self.held += 1
        gone = asyncio.create_task(reader.read(1))
        due = asyncio.create_task(self._due())
        try:
            await asyncio.wait({gone, due}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise ConnectionResetError
        finally:
            gone.cancel()
            due.cancel()
            await asyncio.wait({gone, due})
            self.held -= 1

    async def _due(self) -> None:
        await asyncio.sleep(self.delay_seconds)
        await self._gate.wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")[:-4].split("\r\n")
    method, target, _ = head[0].split(" ")
    pairs = (line.partition(":") for line in head[1:])
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(asyncio.get_running_loop().time(), method, target, headers, body)


class Proxy:
    """A running `App`, what it logged, and a caller with as many connections as it likes."""

    def __init__(
        self,
        app: App,
        log: io.StringIO,
        session: aiohttp.ClientSession,
        documents: list[dict[str, Any]],
    ) -> None:
        self.app = app
        self.session = session
        self._log = log
        self._documents = documents
        self.url = f"http://{app.addresses[0]}"

    async def reload(self, **changed: Any) -> dict[str, Any]:
        """Have these keys changed and the configuration read again; return the event of that."""
        self._documents[0] = self._documents[0] | changed
        names = ("config_reloaded", "config_reload_failed")

        def told() -> list[dict[str, Any]]:
            return [event for name in names for event in self.events(name)]

        before = len(told())
        self.app.reload()
        await eventually(lambda: len(told()) > before)
        return next(e for e in map(json.loads, reversed(self.log.splitlines())) if e in told())

    @property
    def log(self) -> str:
        return self._log.getvalue()

    def events(self, name: str) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in self.log.splitlines()]
        return [event for event in events if event["event"] == name]

    def facts(self, audience: str = "orders") -> Any:
        return self.app.telemetry.audiences[audience]

    async def advance(self, seconds: float, *servers: TokenServer) -> None:
        """Let stepped time pass; what `servers` hold back is not waited for."""

        def settled() -> bool:
            audiences = self.app.telemetry.audiences.values()
            in_flight = sum(each.fetches_in_flight for each in audiences)
            return in_flight == sum(each.held for each in servers)

        await advance(seconds, settled)

    async def metrics(self) -> str:
        """Return the exposition; needs the admin listener."""
        async with self.session.get(f"http://{self.app.admin_address}/metrics") as answer:
            return await answer.text()

    async def call(
        self, path: str = "/", method: str = "GET", **arguments: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, header fields and body of one request."""
        async with self.session.request(method, self.url + path, **arguments) as answer:
            return answer.status, answer.headers, await answer.read()

    async def status(self, path: str = "/") -> int:
        return (await self.call(path))[0]

    async def code(self, path: str = "/") -> str:
        """Return the `code` of a problem that the proxy itself answered with."""
        _, headers, body = await self.call(path)
        assert headers["Content-Type"] == "application/problem+json", body
        return str(json.loads(body)["code"])


def configuration(
    server: TokenServer,
    upstream_url: str,
    *,
    client: dict[str, Any] | None = None,
    audience: dict[str, Any] | None = None,
    upstream: dict[str, Any] | None = None,
    **top: Any,
) -> dict[str, Any]:
    """Return a configuration with one client, audience and upstream, all changed as given."""
    return {
        "listen": "127.0.0.1:0",
        "admin": {"listen": None},
        "allow_inline_secrets": True,
        "shutdown": {"drain_seconds": 1},
        "log": {"format": "json", "level": "debug"},
        "clients": {
            "billing": {
                "token_endpoint": server.url,
                "client_id": "billing",
                "client_secret": "s3cr3t-canary",
            }
            | (client or {})
        },
        "audiences": {"orders": {"client": "billing"} | (audience or {})},
        "upstreams": {"api": {"url": upstream_url, "audience": "orders"} | (upstream or {})},
        **top,
    }


@asynccontextmanager
async def running(
    config: dict[str, Any], folder: Path, *, stray_exceptions: bool = False
) -> AsyncIterator[Proxy]:
    """Run the proxy for the block's length; at its end it must end too.

    On a stepped loop the proxy lives in that loop's time. An exception that nobody waited for is
    a failure, unless `stray_exceptions` are what the test is about.
    """
    documents = [config]

    def load() -> Loaded:
        text = yaml.safe_dump(documents[0])
        return Loaded(load_text(text, SOURCE, {}, folder), SOURCE)

    stream = io.StringIO()
    log = Log(format="json", level="debug", access="off", stream=stream, wall=lambda: 0.0)
    with pytest.MonkeyPatch.context() as patch:
        loop = asyncio.get_running_loop()
        if isinstance(loop, SteppedLoop):
            # The loop's own, as metrics are read in a thread, where none runs.
            clocks = SimpleNamespace(monotonic=loop.time, time=lambda: WALL_AT_START + loop.time())
            patch.setattr("proxy.app.time", clocks)
        app = App(load(), log=log, load=load)
        try:
            await app.start()
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            timeout = aiohttp.ClientTimeout(total=None)
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                yield Proxy(app, stream, session, documents)
        finally:
            await app.close()
    assert stray_exceptions or "internal_error" not in stream.getvalue(), stream.getvalue()


def token_of(request: RecordedRequest) -> str:
    """Return the token that an upstream got."""
    (value,) = request.values("Authorization")
    return value.decode().removeprefix("Bearer ")


class Guard:
    """An upstream's `answer`: 401 for what it is told to refuse, else 200 with the token.

    It notes every token that had lapsed when it came, by `server`'s own record.
    """

    def __init__(self, server: TokenServer) -> None:
        self.server = server
        self.lapsed: list[str] = []
        self.refused: set[str] = set()
        self.challenge: str | None = 'Bearer error="invalid_token"'
        self.refuses_all = False

    async def __call__(self, request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        token = token_of(request)
        if self.server.expiry.get(token, 0) <= now():
            self.lapsed.append(token)
        if self.refuses_all or token in self.refused:
            fields = () if self.challenge is None else (f"WWW-Authenticate: {self.challenge}",)
            writer.write(response(b"no", status="401 Unauthorized", fields=fields))
        else:
            writer.write(response(token.encode()))


@asynccontextmanager
async def surroundings(
    **server_fields: Any,
) -> AsyncIterator[tuple[TokenServer, RecordingUpstream, Guard]]:
    """Run a token server and an upstream that takes its tokens."""
    async with TokenServer(**server_fields) as server, RecordingUpstream() as upstream:
        upstream.answer = guard = Guard(server)
        yield server, upstream, guard
