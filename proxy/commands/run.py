"""`token-proxy run` once the configuration is loaded: the event loop, the signals, the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING

from proxy.app import App
from proxy.commands.exit_status import ExitStatus
from proxy.listeners import AddressUnavailable
from proxy.telemetry.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.loader import Loaded
    from proxy.config.schema import Config

# Whoever sends a second signal has waited enough.
KILLED_FLUSH_SECONDS_MAX = 0.5


def run(loaded: Loaded, load: Callable[[], Loaded] | None) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit status.

    `load` reads the configuration again, for SIGHUP and for a file that changes; None: it cannot.
    """
    log = log_to_standard_error(loaded.config)
    allow_descriptors()
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_serve(loaded, load, log))
    finally:
        log.flush()


def allow_descriptors() -> None:
    """Take all descriptors that may be had: the soft limit is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Where "all" is no number (macOS) the soft limit has to do.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))


def log_to_standard_error(config: Config) -> Log:
    """Return the log that `config.log` describes."""
    return Log(
        format=config.log.format,
        level=config.log.level,
        access=config.log.access,
        stream=sys.stderr,
        wall=time.time,  # noqa: TID251 - log lines tell wall time
    )


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loops where uvloop exists, None for asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(loaded: Loaded, load: Callable[[], Loaded] | None, log: Log) -> int:
    app = App(loaded, log=log, load=load)
    try:
        # Signals first: whoever starts us may stop us before we listen.
        stop = _stop_on_signals(log)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, app.reload)
        await app.start()
        await stop.wait()
        await app.drain()
    except AddressUnavailable as error:
        log.error("address_unavailable", str(error))
        return ExitStatus.UNAVAILABLE
    finally:
        await app.close()
    log.info("stopped", "token-proxy has stopped")
    return ExitStatus.OK


def _stop_on_signals(log: Log) -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets; a second one ends at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        name = signal.Signals(number).name
        if stop.is_set():
            log.warning("killed", f"{name} again: ending at once")
            log.flush(KILLED_FLUSH_SECONDS_MAX)
            # Past all clean-up: that is what the second signal asks for.
            os._exit(ExitStatus(128 + number))
        log.info("stopping", f"{name}: draining", signal=name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop
