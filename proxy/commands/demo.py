"""`token-proxy demo`: the real proxy between two servers made for the purpose, in one process.

An authorization server, an echo upstream and the proxy, its configuration read by the real loader;
all on the loopback interface, nothing kept. The proxy takes its usual ports where they are free.
`demo_story` makes the calls and measures them; the log goes to standard error, warnings only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from proxy.app import App
from proxy.commands.demo_servers import (
    CLIENT_ID,
    HOST,
    TOKEN_PATH,
    AuthorizationServer,
    EchoUpstream,
    LoopbackServer,
)
from proxy.commands.demo_story import PATH, DemoFailed, Story
from proxy.commands.exit_status import ExitStatus
from proxy.commands.run import log_to_standard_error, loop_factory
from proxy.config.loader import Loaded, load_text
from proxy.listeners import AddressUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

SOURCE = "(demonstration)"
PORTS = (8080, 9090)
ANY_PORTS = (0, 0)
ANSWER_SECONDS = 0.15
LIFETIME_SECONDS = 20
ONCE_LIFETIME_SECONDS = 5
CALL_SECONDS_MAX = 20

CONFIGURATION = """
listen: {host}:{port}
admin: {{listen: "{host}:{admin_port}"}}
log: {{level: warning, access: "off"}}
shutdown: {{drain_seconds: 2}}
clients:
  demo:
    token_endpoint: {token_endpoint}
    client_id: {client_id}
    client_secret: ${{DEMO_CLIENT_SECRET}}
audiences:
  demo: {{client: demo, prefetch: false, renew_at: {renew_at}}}
upstreams:
  demo: {{url: "{upstream}", audience: demo}}
"""


def run_demo(*, once: bool, outage: bool) -> int:
    """Run the demonstration and return the exit status: 1 when it did not show what it should."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_demo(once=once, outage=outage))


async def _demo(*, once: bool, outage: bool) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopped = asyncio.create_task(stop.wait(), name="demo-stop")
    performance = asyncio.create_task(_perform(once=once, outage=outage), name="demo")
    try:
        await asyncio.wait({performance, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not performance.done():
            performance.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # it was cancelled right here
                await performance
            print("\nThe demonstration has ended.", flush=True)
            return ExitStatus.OK
        await performance
    except AddressUnavailable as error:
        print(f"token-proxy demo: {error}", file=sys.stderr)
        return ExitStatus.UNAVAILABLE
    except (DemoFailed, aiohttp.ClientError) as error:
        print(f"token-proxy demo: {error}", file=sys.stderr)
        return ExitStatus.UNHEALTHY
    finally:
        stopped.cancel()
    return ExitStatus.OK


async def _perform(*, once: bool, outage: bool) -> None:
    """Set the stage, show the acts, and unless `once` stay until cancelled."""
    async with contextlib.AsyncExitStack() as stage:
        server = AuthorizationServer(
            lifetime_seconds=ONCE_LIFETIME_SECONDS if once else LIFETIME_SECONDS,
            answer_seconds=ANSWER_SECONDS,
        )
        await set_up(server, stage)
        upstream = EchoUpstream(server.is_live)
        await set_up(upstream, stage)
        # Half a lifetime, for five seconds leave no room for a failed renewal and another try.
        app = await stage.enter_async_context(
            _running_proxy(server, upstream, renew_at=0.5 if once else 0.75)
        )
        proxy_url, admin_url = f"http://{app.addresses[0]}", f"http://{app.admin_address}"
        _print_banner(server, upstream, proxy_url, admin_url)
        if not once:
            _print_what_to_type(proxy_url, admin_url)
        session = await stage.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS_MAX))
        )
        print(f"Calling {proxy_url}{PATH} without a token; in brackets, what the upstream saw:\n")
        story = Story(
            session=session,
            proxy_url=proxy_url,
            admin_url=admin_url,
            authorization_server=server,
            say=_say,
        )
        await story.cold_and_cached()
        if once:
            await story.renewal()
        if outage:
            await story.outage_outlasted()
        elif once:
            await story.outage_survived()
        if not once:
            await story.watch()
    print("\nThat was all. `token-proxy demo` stays up, so that you can call it yourself.")


async def set_up(server: LoopbackServer, stage: contextlib.AsyncExitStack) -> None:
    """Start a server, to be stopped with the stage. Raises `AddressUnavailable`."""
    stage.push_async_callback(server.stop)
    try:
        await server.start()
    except OSError as error:
        # The loop writes a sentence of its own into strerror; the number's meaning is enough.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise AddressUnavailable(
            f"cannot listen on {HOST} for the demonstration: {reason}"
        ) from None


@contextlib.asynccontextmanager
async def _running_proxy(
    server: AuthorizationServer, upstream: EchoUpstream, *, renew_at: float
) -> AsyncIterator[App]:
    """Run the real proxy: on its usual ports where they are free, else where the kernel likes."""
    ports = [port if _is_free(port) else 0 for port in PORTS]
    try:
        app = await _started(server, upstream, ports, renew_at)
    except AddressUnavailable:
        # Somebody was quicker between the look and the taking.
        app = await _started(server, upstream, ANY_PORTS, renew_at)
    try:
        yield app
    finally:
        await app.drain()
        await app.close()
        app.telemetry.log.flush()


async def _started(
    server: AuthorizationServer, upstream: EchoUpstream, ports: Sequence[int], renew_at: float
) -> App:
    port, admin_port = ports
    text = CONFIGURATION.format(
        host=HOST,
        port=port,
        admin_port=admin_port,
        token_endpoint=f"{server.url}{TOKEN_PATH}",
        client_id=CLIENT_ID,
        renew_at=renew_at,
        upstream=upstream.url,
    )
    environ = {"DEMO_CLIENT_SECRET": server.client_secret}
    config = load_text(text, SOURCE, environ, Path.cwd())
    app = App(Loaded(config, SOURCE), log=log_to_standard_error(config), announces=False)
    try:
        await app.start()
    except AddressUnavailable:
        await app.close()
        raise
    return app


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the event loop does: what only lingers in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _print_banner(
    server: AuthorizationServer, upstream: EchoUpstream, proxy_url: str, admin_url: str
) -> None:
    print(
        "*** A DEMONSTRATION: the authorization server and the upstream are made up, listen on\n"
        "*** this machine only, and forget everything when this ends. Not for any other use.\n"
    )
    _say(
        "authorization",
        f"{server.url}{TOKEN_PATH}  answers after {server.answer_seconds * 1000:.0f} ms; "
        f"its tokens live {server.lifetime_seconds} s",
    )
    _say("upstream", f"{upstream.url}  401 without a live token, else what it saw of the request")
    _say("proxy", f"{proxy_url}  in front of it")
    _say("status", f"{admin_url}/  for people; for Prometheus: {admin_url}/metrics")
    print(flush=True)


def _print_what_to_type(proxy_url: str, admin_url: str) -> None:
    print(
        "In another terminal:\n\n"
        f"    curl {proxy_url}{PATH}\n"
        f"    curl -s {admin_url}/metrics | grep tokenproxy_token\n\n"
        f"Or look at {admin_url}/ in a browser: each token's state, and how long it lasts.\n\n"
        "Ctrl-C ends the demonstration.\n",
        flush=True,
    )


def _say(heading: str, text: str) -> None:
    print(f"{heading:<14} {text}", flush=True)
