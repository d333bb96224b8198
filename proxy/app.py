"""The wiring, top to bottom: configuration → telemetry → tokens → forwarding → listeners.

The only module that knows all the others. It takes clocks and chance from the system and hands them
to the token half; the forwarding half has the event loop's clock.
"""

from __future__ import annotations

import asyncio
import gc
import random
import re
import time
from functools import partial
from typing import TYPE_CHECKING

from proxy import __version__
from proxy.admin.health import Health
from proxy.admin.listener import AdminListener
from proxy.config.addresses import parse_address
from proxy.files import FileWatch
from proxy.forwarding.gateway import Gateway
from proxy.network import listen, stop_listening
from proxy.telemetry.facts import Telemetry
from proxy.tls import TlsContexts
from proxy.tokens.cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.addresses import Address
    from proxy.config.schema import Config
    from proxy.telemetry.log import Log
    from proxy.tls import SharedContext

LAG_INTERVAL_SECONDS = 1.0


class AddressUnavailable(Exception):  # noqa: N818 - it names a fact
    """An address of the configuration cannot be listened on; the text says which and why."""


def _clock_that_never_stops() -> Callable[[], float]:
    """Return a monotonic clock that counts the time this machine sleeps too, where there is one.

    A token goes on ageing while a laptop is shut.
    """
    counts_sleep: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if counts_sleep is None else partial(time.clock_gettime, counts_sleep)


class App:
    """One running proxy. `start`, then `drain` and `close`.

    `source` names where the configuration came from. `announces`: what is listened on is logged,
    whatever the level; who tells it in another way says no.
    """

    def __init__(self, config: Config, *, source: str, log: Log, announces: bool = True) -> None:
        loop = asyncio.get_running_loop()
        clock = _clock_that_never_stops()
        self._config = config
        self._source = source
        self._log = log
        self._announces = announces
        self.telemetry = Telemetry(
            upstreams=config.upstreams,
            audiences=config.audiences,
            log=log,
            wall=time.time,  # noqa: TID251 - for Unix time in metrics and logs
            monotonic=clock,
        )
        contexts = TlsContexts()
        self._files = FileWatch(self.telemetry.files)
        self._tokens = TokenCache(
            config,
            self.telemetry,
            contexts=contexts,
            files=self._files,
            monotonic=clock,
            wall=time.time,  # noqa: TID251 - JWT claims and Retry-After dates are wall time
            chance=random.random,
        )
        self._gateway = Gateway(config, self._tokens, self.telemetry, contexts=contexts, loop=loop)
        for name, upstream in config.upstreams.items():
            trust = contexts.of(upstream.tls)
            key = f"upstreams.{name}.tls"
            self._files.add(key, trust.files, partial(self._read_again, key, trust))
        self._health = Health(
            self.telemetry,
            prefetched=[name for name, each in config.audiences.items() if each.prefetch],
            wait_for_tokens_seconds=config.startup.wait_for_tokens_seconds,
            started_at=time.monotonic(),
        )
        self._admin = AdminListener(self.telemetry, self._health, clock=time.monotonic)
        self._servers: list[tuple[asyncio.Server, Address]] = []
        self._lag: asyncio.Task[None] | None = None
        self.admin_address: str | None = None

    @property
    def addresses(self) -> list[str]:
        """What is listened on, as bound."""
        return [str(bound) for _, bound in self._servers]

    async def start(self) -> None:
        """Listen, say so, and begin to fetch tokens. Raises `AddressUnavailable`."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_stray_exception)
        if self._config.admin.listen is not None:
            try:
                self.admin_address = await self._admin.start(self._config.admin.listen)
            except OSError as error:
                raise self._unavailable("admin.listen", self._config.admin.listen, error) from None
        for address in self._config.listen:
            try:
                self._servers.append(await listen(self._gateway.server, parse_address(address)))
            except OSError as error:
                raise self._unavailable("listen", address, error) from None
        self._gateway.listening_on([bound for _, bound in self._servers])
        self._health.listening = True
        if self._announces:
            self._log.announce(
                "listening",
                f"token-proxy {__version__} is listening",
                version=__version__,
                file=self._source,
                listen=self.addresses,
                admin=self.admin_address,
            )
        self._tokens.start()
        self._files.start()
        self._lag = asyncio.create_task(self._measure_lag(), name="event-loop-lag")
        # What was made at start lives until the end: the collector need not look at it again.
        gc.collect()
        gc.freeze()

    async def drain(self) -> None:
        """Take no more connections and wait for requests in flight, so long as configured."""
        self._health.draining = True
        self._stop_listening()
        self._tokens.quiesce()
        self._gateway.start_drain()
        in_flight = self._gateway.in_flight
        self._log.info("draining", "waiting for requests in flight", in_flight=in_flight)
        try:
            async with asyncio.timeout(self._config.shutdown.drain_seconds):
                await self._gateway.drained()
        except TimeoutError:
            self._log.warning(
                "drain_incomplete",
                "shutdown.drain_seconds passed; what is still in flight is broken off",
                in_flight=self._gateway.in_flight,
            )

    async def close(self) -> None:
        """End everything. May be called after a start that failed."""
        self._stop_listening()
        if self._lag is not None:
            self._lag.cancel()
        self._files.close()
        await self._gateway.close()
        await self._tokens.close()
        await self._admin.close()
        gc.unfreeze()

    async def _read_again(self, key: str, trust: SharedContext) -> None:
        if await trust.reload():
            self.telemetry.files.read_again(key)

    def _stop_listening(self) -> None:
        for server, bound in self._servers:
            stop_listening(server, bound)
        self._servers = []

    async def _measure_lag(self) -> None:
        """Measure by how much the loop is late: its only sign of being overworked."""
        while True:
            due = time.monotonic() + LAG_INTERVAL_SECONDS
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            self.telemetry.event_loop_lag_seconds = max(0.0, time.monotonic() - due)

    def _unavailable(self, key: str, address: str, error: OSError) -> AddressUnavailable:
        return AddressUnavailable(
            f"{key}: cannot listen on {address}: {error.strerror or error}; "
            "stop what holds it, or set another address"
        )

    def _on_stray_exception(
        self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]
    ) -> None:
        error = context.get("exception")
        # Only its first words are a fixed text; behind them asyncio quotes a callback with its
        # arguments, and those may be what a caller sent.
        words = re.split(r"[^\w .!]", str(context.get("message", "")), maxsplit=1)[0]
        message = words.rstrip(" .") or "an exception that nobody waited for"
        if isinstance(error, BaseException):
            self._log.exception("internal_error", message, error)
        else:
            self._log.error("internal_error", message)
