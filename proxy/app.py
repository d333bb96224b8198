"""The wiring, top to bottom: configuration → telemetry → tokens → forwarding → listeners.

The only module that knows all the others. It takes clocks and chance from the system and hands them
to the token half; the forwarding half has the event loop's clock.

Another configuration is put to use in two steps: first what may fail and changes nothing (trust,
certificates, addresses), then all the rest without an `await`. Requests in flight end as they
began; what only they need is closed when the last of them is over.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import re
import time
from functools import partial
from typing import TYPE_CHECKING

from proxy import __version__
from proxy.admin.health import Health
from proxy.admin.listener import AdminListener
from proxy.config.urls import parse_url
from proxy.errors import Fault, ProxyError
from proxy.files import FileWatch
from proxy.forwarding.gateway import Gateway
from proxy.leftovers import Leftovers
from proxy.listeners import Listeners, cannot_listen
from proxy.reload import Reload
from proxy.telemetry.facts import Telemetry
from proxy.telemetry.tracing import start_tracing
from proxy.tls import TlsContexts
from proxy.tokens.cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.loader import Loaded
    from proxy.config.schema import Config
    from proxy.listeners import Listening
    from proxy.telemetry.log import Log
    from proxy.tls import SharedContext

LAG_INTERVAL_SECONDS = 1.0


def _clock_that_never_stops() -> Callable[[], float]:
    """Return a monotonic clock that counts the time this machine sleeps too, where there is one.

    A token goes on ageing while a laptop is shut.
    """
    counts_sleep: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if counts_sleep is None else partial(time.clock_gettime, counts_sleep)


class App:
    """One running proxy. `start`, then `drain` and `close`.

    `loaded.source` names where the configuration came from. `announces`: what is listened on is
    logged, whatever the level; who tells it in another way says no. `load` reads the configuration
    again; without it there is no reload.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        log: Log,
        announces: bool = True,
        load: Callable[[], Loaded] | None = None,
    ) -> None:
        config = loaded.config
        loop = asyncio.get_running_loop()
        clock = _clock_that_never_stops()
        self._config = config
        self._log = log
        self._announces = announces
        self.telemetry = Telemetry(
            upstreams=config.upstreams,
            audiences=config.audiences,
            log=log,
            wall=time.time,  # noqa: TID251 - for Unix time in metrics and logs
            monotonic=clock,
        )
        self.telemetry.configuration.source = loaded.source
        self.telemetry.configuration.sha256 = loaded.sha256
        self._contexts = contexts = TlsContexts()
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
        self._watch_upstreams(config)
        self._reload = None if load is None else self._reloading(loaded, load)
        self._health = Health(
            self.telemetry,
            prefetched=[name for name, each in config.audiences.items() if each.prefetch],
            wait_for_tokens_seconds=config.startup.wait_for_tokens_seconds,
            started_at=time.monotonic(),
        )
        self._admin = AdminListener(self.telemetry, self._health, clock=time.monotonic)
        self._listeners = Listeners(self._gateway.server)
        self._leftovers = Leftovers(self.telemetry, self._tokens.retired)
        self._lag: asyncio.Task[None] | None = None
        self.admin_address: str | None = None

    @property
    def addresses(self) -> list[str]:
        """What is listened on, as bound."""
        return [str(bound) for bound in self._listeners.bound]

    async def start(self) -> None:
        """Listen, say so, and begin to fetch tokens. Raises `AddressUnavailable`."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_stray_exception)
        tell_of_tracing = start_tracing(self.telemetry, os.environ)
        await self._start_admin(self._admin, self._config)
        opened = await self._listeners.open(self._config.listen)
        self._listen(self._config, opened)
        self._health.listening = True
        if self._announces:
            self._log.announce(
                "listening",
                f"token-proxy {__version__} is listening",
                version=__version__,
                file=self.telemetry.configuration.source,
                listen=self.addresses,
                admin=self.admin_address,
            )
        tell_of_tracing()
        self._tokens.start()
        self._files.start()
        if self._reload is not None:
            self._reload.start()
        self._lag = asyncio.create_task(self._measure_lag(), name="event-loop-lag")
        # What was made at start lives until the end: the collector need not look at it again.
        gc.collect()
        gc.freeze()

    async def drain(self) -> None:
        """Take no more connections and wait for requests in flight, so long as configured."""
        self._health.draining = True
        if self._reload is not None:
            self._reload.stop()
        self._listeners.stop()
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
        if self._reload is not None:
            # First: what it is about to put to use would listen again.
            await self._reload.close()
        self._listeners.stop()
        if self._lag is not None:
            self._lag.cancel()
        self._files.close()
        await self._gateway.close()
        await self._leftovers.close()
        await self._tokens.close()
        await self._admin.close()
        if self.telemetry.tracing is not None:
            await self.telemetry.tracing.close()
        gc.unfreeze()

    def reload(self) -> None:
        """Read the configuration again soon; a bad one leaves the one in use as it is."""
        if self._reload is None:
            self._log.warning(
                "reload_unsupported", "the configuration came from what cannot be read again"
            )
        else:
            self._reload.ask()

    def _reloading(self, loaded: Loaded, load: Callable[[], Loaded]) -> Reload:
        reload = Reload(load, self._reconfigure, self.telemetry, loaded.config)
        if loaded.file is not None:
            files = [str(loaded.file)]
            self._files.add("configuration", files, reload.look, state=loaded.state)
        return reload

    async def _reconfigure(self, config: Config) -> None:
        """Serve by another configuration. Raises `ProxyError`, `AddressUnavailable`."""
        for name, upstream in config.upstreams.items():
            if parse_url(upstream.url).scheme == "https":
                try:
                    await self._contexts.of(upstream.tls).ready()
                except ProxyError as error:
                    raise ProxyError(error.fault, f"upstreams.{name}: {error.detail}") from None
        opened = await self._listeners.open(config.listen)
        admin = self._admin
        try:
            if config.admin.listen != self._config.admin.listen:
                admin = AdminListener(self.telemetry, self._health, clock=time.monotonic)
                await self._start_admin(admin, config)
            if self._health.draining:
                raise ProxyError(Fault.SHUTTING_DOWN, "this proxy is shutting down")  # noqa: TRY301 - as any other trouble
        except BaseException:
            self._listeners.discard(opened)
            if admin is not self._admin:
                await admin.close()
            raise
        left_admin, self._admin = self._admin, admin
        self._put_to_use(config)
        self._listen(config, opened)
        if left_admin is not admin:
            await left_admin.close()

    def _put_to_use(self, config: Config) -> None:
        """Let all that comes from now on go by `config`. Raises nothing, waits for nothing."""
        kept = self._tokens.unchanged(config)
        self.telemetry.reconfigure(
            upstreams=config.upstreams, audiences=config.audiences, kept=kept
        )
        for name in self._config.upstreams:
            self._files.remove(f"upstreams.{name}.tls")
        left, self._tokens = self._tokens, self._tokens.reconfigured(config, kept)
        lanes = self._gateway.reconfigure(config, self._tokens)
        self._watch_upstreams(config)
        self._contexts.keep(
            [
                *(upstream.tls for upstream in config.upstreams.values()),
                *(client.tls for client in config.clients.values()),
            ]
        )
        self._log.reconfigure(
            format=config.log.format, level=config.log.level, access=config.log.access
        )
        self._config = config
        self._tokens.start(kept)
        self._leftovers.add(lanes, left)

    def _listen(self, config: Config, opened: dict[str, Listening]) -> None:
        self._listeners.use(config.listen, opened)
        self._gateway.listening_on(self._listeners.bound)
        self._health.listening_on = self.addresses

    async def _start_admin(self, admin: AdminListener, config: Config) -> None:
        address = config.admin.listen
        if address is None:
            self.admin_address = None
            return
        try:
            self.admin_address = await admin.start(address)
        except OSError as error:
            raise cannot_listen("admin.listen", address, error) from None

    def _watch_upstreams(self, config: Config) -> None:
        for name, upstream in config.upstreams.items():
            trust = self._contexts.of(upstream.tls)
            key = f"upstreams.{name}.tls"
            self._files.add(key, trust.files, partial(self._read_again, key, trust))

    async def _read_again(self, key: str, trust: SharedContext) -> None:
        if await trust.reload():
            self.telemetry.files.read_again(key)

    async def _measure_lag(self) -> None:
        """Measure by how much the loop is late: its only sign of being overworked."""
        while True:
            due = time.monotonic() + LAG_INTERVAL_SECONDS
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            self.telemetry.event_loop_lag_seconds = max(0.0, time.monotonic() - due)

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
