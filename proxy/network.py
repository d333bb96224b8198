"""What both halves need of the network: names on threads of their own, TLS, listening sockets.

`loop.getaddrinfo` shares a handful of threads with everything else (and libuv's four under
uvloop): a few names that hang would stop all others. Here each user brings its own small pool.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.config.addresses import Address, TcpAddress, UnixAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.config.schema import Tls

BACKLOG = 1024
AddressInfo = tuple[int, int, int, str, Any]


class Resolver(AbstractResolver):
    """Names to addresses on at most `threads` threads; usable by aiohttp's connector too.

    Raises `OSError` (`socket.gaierror`) for a name that does not resolve.
    """

    def __init__(self, *, threads: int, purpose: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"names-{purpose}")

    async def addresses(
        self, host: str, port: int, family: int = socket.AF_UNSPEC
    ) -> list[AddressInfo]:
        """Return address infos as `aiohappyeyeballs` takes them."""
        loop = asyncio.get_running_loop()
        infos: Sequence[AddressInfo] = await loop.run_in_executor(
            self._executor,
            lambda: socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM),
        )
        return list(infos)

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

    async def close(self) -> None:
        """Let the threads go; one that still waits for an answer ends when it has it."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return a verifying client context: the system's trust, or `ca_file` alone.

    Raises `OSError` (`ssl.SSLError` among them) when a file cannot be read or used.
    """
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate_file is not None:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    return context


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
