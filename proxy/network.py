"""What both halves need of the network: names on threads of their own, listening sockets.

`loop.getaddrinfo` shares a handful of threads with everything else (and libuv's four under
uvloop): a few names that hang would stop all others. Here each user brings its own few threads, one
name takes one of them however many ask for it, and they are daemons: a look-up cannot be ended,
and the interpreter would wait for the threads of an executor before it ends itself.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.config.addresses import Address, TcpAddress, UnixAddress

if TYPE_CHECKING:
    from collections.abc import Callable

    Name = tuple[str, int, int]
    """Host, port and address family: what is looked up."""

BACKLOG = 1024
DESCRIPTORS_RESERVED = 64
"""Neither for callers nor for upstreams: for probes, token requests, files."""
AddressInfo = tuple[int, int, int, str, Any]


class Descriptors:
    """How many connections the descriptors of this process suffice for, and on which side.

    Who accepts until there is none left can reach no upstream, fetch no token, and not say that it
    lives. So `DESCRIPTORS_RESERVED` are given to neither side, and of the others callers get at
    most two thirds.
    """

    def __init__(self, connections_max: int) -> None:
        self.upstreams_open = 0
        """Of all upstreams, those that are being opened too; their pools count."""
        self.allow(connections_max)

    def allow(self, connections_max: int) -> None:
        """Reckon anew with another bound for callers."""
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if allowed == resource.RLIM_INFINITY:
            allowed = sys.maxsize
        for_both = max(2, allowed - DESCRIPTORS_RESERVED)
        self.callers_max = min(connections_max, for_both * 2 // 3)
        self.upstreams_max = for_both - self.callers_max


class Resolver(AbstractResolver):
    """Names to addresses on at most `threads` threads; usable by aiohttp's connector too.

    A thread lives for one look-up. All state is changed on the event loop's own thread.
    """

    def __init__(self, *, threads: int, purpose: str) -> None:
        self._threads_max = threads
        self._purpose = purpose
        self._threads = 0
        self._look_ups: dict[Name, asyncio.Future[list[AddressInfo]]] = {}
        self._queued: deque[Name] = deque()

    async def addresses(
        self, host: str, port: int, family: int = socket.AF_UNSPEC
    ) -> list[AddressInfo]:
        """Return address infos as `aiohappyeyeballs` takes them.

        Raises `OSError` (`socket.gaierror`) for a name that does not resolve.
        """
        name = (host, port, int(family))
        look_up = self._look_ups.get(name)
        if look_up is None:
            look_up = self._look_ups[name] = asyncio.get_running_loop().create_future()
            self._queued.append(name)
            self._begin_next()
        # Not awaited itself: whoever leaves would cancel it for the others.
        await asyncio.wait({look_up})
        return list(look_up.result())

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return what aiohttp's connector wants to know."""
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=address[1],
                family=each_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for each_family, _, protocol, _, address in await self.addresses(host, port, family)
        ]

    def allow(self, threads: int) -> None:
        """Look up on at most so many threads from now on."""
        self._threads_max = threads

    async def close(self) -> None:
        """Drop what no thread has begun; one that still waits for an answer ends when it has it."""
        for name in self._queued:
            self._look_ups.pop(name).cancel()
        self._queued.clear()

    def _begin_next(self) -> None:
        if self._threads >= self._threads_max or not self._queued:
            return
        name = self._queued.popleft()
        self._threads += 1
        try:
            threading.Thread(
                target=_look_up,
                args=(name, asyncio.get_running_loop(), self._ended),
                name=f"names-{self._purpose}",
                daemon=True,
            ).start()
        except RuntimeError:
            # This machine has no more threads to give.
            self._ended(name, OSError(errno.EAGAIN, "no thread to look up a name on"))

    def _ended(self, name: Name, found: list[AddressInfo] | Exception) -> None:
        self._threads -= 1
        look_up = self._look_ups.pop(name)
        if isinstance(found, Exception):
            look_up.set_exception(found)
            # Marked as seen: all who asked may have left.
            look_up.exception()
        else:
            look_up.set_result(found)
        self._begin_next()


def _look_up(
    name: Name,
    loop: asyncio.AbstractEventLoop,
    ended: Callable[[Name, list[AddressInfo] | Exception], None],
) -> None:
    """Look a name up, on a thread, and tell the loop."""
    host, port, family = name
    found: list[AddressInfo] | Exception
    try:
        found = list(socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM))
    except Exception as error:  # noqa: BLE001 - it is raised where the name was asked for
        found = error
    try:
        loop.call_soon_threadsafe(ended, name, found)
    except RuntimeError:
        # The loop was closed meanwhile, so that nobody waits.
        return


async def listen(
    protocols: Callable[[], asyncio.Protocol], address: Address
) -> tuple[asyncio.Server, Address]:
    """Listen on an address; return the server and what was bound (port 0: the kernel chose).

    Raises `OSError`, `EADDRINUSE` also for a socket file that somebody listens on.
    """
    loop = asyncio.get_running_loop()
    if isinstance(address, UnixAddress):
        sock = _unix_socket(address.path)
        return await loop.create_unix_server(protocols, sock=sock, backlog=BACKLOG), address
    server = await loop.create_server(protocols, address.host, address.port, backlog=BACKLOG)
    return server, TcpAddress(*server.sockets[0].getsockname()[:2])


def stop_listening(server: asyncio.Server, bound: Address) -> None:
    """Take no more connections; those that are there stay."""
    server.close()
    if isinstance(bound, UnixAddress):
        Path(bound.path).unlink(missing_ok=True)


def _unix_socket(path: str) -> socket.socket:
    """Bind a socket file of mode 0660; one that nobody listens on any more is replaced."""
    listening = socket.socket(socket.AF_UNIX)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                if not Path(path).is_socket():
                    raise OSError(errno.EEXIST, "a file that is no socket is there") from None
                Path(path).unlink()
            except FileNotFoundError:
                pass
            else:
                raise OSError(errno.EADDRINUSE, "somebody listens on this socket file")
        listening.bind(path)
        Path(path).chmod(0o660)
    except OSError:
        listening.close()
        raise
    return listening
