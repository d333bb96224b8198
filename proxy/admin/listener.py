"""The admin listener: probes, `/metrics` for scrapers, `/` and `/status.json` for people.

Read-only and without secrets, so it may listen on any address and asks for no particular `Host`.
It is small prey for slow callers: a head has to be there within ten seconds, an answer has to be
taken within thirty, connections are few, bodies are not waited for. Metrics and status are rendered
in one thread of their own, so that neither a scrape holds up requests nor a stuck name lookup, in
the default threads, holds up a scrape.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

# Not `aiohttp.web`: that brings applications and routing, a tenth of the time it takes to start.
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_response import Response
from aiohttp.web_server import Server

from proxy.admin import page, status_json
from proxy.admin.pace import unhurried
from proxy.admin.status import collect
from proxy.config.addresses import Address, parse_address
from proxy.network import listen, stop_listening
from proxy.telemetry.exposition import registry
from proxy.telemetry.last_minute import SAMPLE_SECONDS, LastMinute
from proxy.telemetry.scrape import render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.web_request import BaseRequest
    from aiohttp.web_response import StreamResponse

    from proxy.admin.health import Health
    from proxy.admin.status import Status
    from proxy.telemetry.facts import Telemetry

HEAD_SECONDS = 10.0
"""How long a head may take, and how long a connection may idle between two."""
ANSWER_SECONDS = 30.0
CONNECTIONS_MAX = 32
CLOSE_SECONDS = 1.0

_PATHS = frozenset({"/livez", "/readyz", "/startupz", "/metrics", "/", "/status.json"})
_PLAIN = "text/plain; charset=utf-8"

_NO_MORE_FIELDS: Mapping[str, str] = MappingProxyType({})

Rendered = TypeVar("Rendered")


def _answer(
    status: int,
    text: str | bytes,
    media_type: str = _PLAIN,
    *,
    extra: Mapping[str, str] = _NO_MORE_FIELDS,
) -> Response:
    headers = {
        "Content-Type": media_type,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        # Without this the library would tell its version and Python's.
        "Server": "token-proxy",
        **extra,
    }
    body = text if isinstance(text, bytes) else f"{text}\n".encode()
    return Response(status=status, body=body, headers=headers)


class _Connection(RequestHandler):
    """One connection; what cannot be parsed is answered without quoting it, and not logged."""

    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the library's signature
    ) -> StreamResponse:
        if status >= 500:
            self.log_exception("Error in the admin listener", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        answer = _answer(status, "internal error" if status >= 500 else "malformed request")
        answer.force_close()
        return answer


class _Server(Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        # The oldest goes, not the newest: who sits on connections must not lock out a probe.
        still_open = [t for t in self._connections.values() if not t.is_closing()]
        for oldest in still_open[:-CONNECTIONS_MAX]:
            oldest.abort()


class AdminListener:
    """Serves health, metrics and status on an address of its own. `clock` is monotonic."""

    def __init__(self, telemetry: Telemetry, health: Health, *, clock: Callable[[], float]) -> None:
        self._telemetry = telemetry
        self._last_minute = LastMinute(telemetry, clock=clock)
        self._sampler: asyncio.Task[None] | None = None
        self._log = telemetry.log
        self._registry = registry(telemetry)
        self._health = health
        self._clock = clock
        self._bound: Address | None = None
        self._server: asyncio.Server | None = None
        self._protocols: _Server | None = None
        self._threads: ThreadPoolExecutor | None = None

    async def start(self, address: str) -> str:
        """Listen on `address`, as `parse_address` reads it, and return what was bound.

        Port 0 lets the kernel choose. Raises OSError when the address is taken or not ours,
        ValueError when it is none.
        """
        wanted = parse_address(address)
        protocols = _Server(
            self._handle,
            access_log=None,
            logger=self._log.library("aiohttp.admin"),
            keepalive_timeout=HEAD_SECONDS,
            lingering_time=0,
            max_headers=64,
            read_bufsize=8192,
            auto_decompress=False,
        )
        server, bound = await listen(protocols, wanted)
        self._server, self._protocols, self._bound = server, protocols, bound
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        for _ in self._last_minute.sampling():
            pass  # all at once: nothing waits for the loop yet
        self._sampler = asyncio.create_task(self._sample(), name="admin-sampler")
        return str(bound)

    async def close(self) -> None:
        """Stop listening; answers under way get a second. May be called twice, or without start."""
        if (
            self._server is None
            or self._protocols is None
            or self._threads is None
            or self._bound is None
        ):
            return
        server, self._server = self._server, None
        if self._sampler is not None:
            self._sampler.cancel()
        stop_listening(server, self._bound)
        self._protocols.pre_shutdown()
        await self._protocols.shutdown(CLOSE_SECONDS)
        await server.wait_closed()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        transport = request.transport
        answer = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._reply(request)
                await answer.prepare(request)
                await answer.write_eof()
        except TimeoutError:
            # A caller that does not read what it asked for.
            if transport is not None:
                transport.abort()
            raise ConnectionError("the answer was not taken in time") from None
        return answer

    async def _reply(self, request: BaseRequest) -> Response:
        path = request.path
        if path not in _PATHS:
            return _answer(404, "not found")
        if request.method not in {"GET", "HEAD"}:
            return _answer(405, "only GET and HEAD", extra={"Allow": "GET, HEAD"})
        if path == "/livez":
            return _answer(200, "ok")
        if path == "/readyz":
            return self._readiness(verbose="verbose" in request.query)
        if path == "/startupz":
            return self._startup()
        if path == "/":
            refresh = page.refresh_seconds(request.query.get("refresh", ""))
            shown = await self._in_thread(partial(self._page, refresh))
            return _answer(200, shown, page.MEDIA_TYPE, extra=page.HEADERS)
        if path == "/status.json":
            return _answer(200, await self._in_thread(self._json), status_json.MEDIA_TYPE)
        return await self._metrics(request.headers.get("Accept", ""))

    def _readiness(self, *, verbose: bool) -> Response:
        ready = self._health.ready
        text = "ok" if ready else "draining" if self._health.draining else "not listening yet"
        if verbose:
            text = f"{text}\n{self._health.report()}"
        return _answer(200 if ready else 503, text)

    def _startup(self) -> Response:
        if self._health.startup_complete(self._clock()):
            return _answer(200, "ok")
        if not self._health.listening:
            return _answer(503, "not listening yet")
        waiting = ", ".join(self._health.without_first_token())
        return _answer(503, f"waiting for first tokens: {waiting}")

    async def _metrics(self, accept: str) -> Response:
        page, media_type = await self._in_thread(partial(render, self._registry, accept))
        return _answer(200, page, media_type)

    def _page(self, refresh: int) -> bytes:
        return "".join(unhurried(page.pieces(self._status(), refresh))).encode()

    def _json(self) -> bytes:
        return "".join(unhurried(status_json.pieces(self._status()))).encode()

    def _status(self) -> Status:
        return collect(
            self._telemetry,
            self._health,
            self._last_minute,
            now=self._telemetry.wall(),
            uptime_seconds=self._clock() - self._health.started_at,
            admin=str(self._bound),
        )

    async def _in_thread(self, render: Callable[[], Rendered]) -> Rendered:
        return await asyncio.get_running_loop().run_in_executor(self._threads, render)

    async def _sample(self) -> None:
        """Copy the counts every few seconds, so that there are rates to show."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            for _ in self._last_minute.sampling():
                await asyncio.sleep(0)
