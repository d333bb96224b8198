"""Large bodies through a contestant, one after another on one connection, and what they cost it.

The client is as light as one in Python can be: blocking calls, one buffer, nothing looked at but
the answer's head and the number of bytes.
"""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from process import cpu_seconds, resident_bytes, waited_seconds
from surroundings import READY_SECONDS, NotReadyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from surroundings import Contestant

MIB = 1024 * 1024
BUFFER = memoryview(bytearray(262144))


@dataclass(frozen=True)
class Transfers:
    """What one contestant did in one round."""

    body_bytes: int
    seconds: float
    cpu_seconds: float
    waited_seconds: float
    """Ready to run, while something else had its CPU."""
    resident_bytes: int
    """Right after the last one."""

    @property
    def mib_per_cpu_second(self) -> float:
        """MiB of bodies for each second of the contestant's CPU time."""
        return self.body_bytes / MIB / self.cpu_seconds


def transfer(
    contestant: Contestant, direction: str, *, body_bytes: int, seconds: float
) -> Transfers:
    """Send bodies in a `direction` of `DIRECTIONS` for so long; the first one is not counted.

    Raises `NotReadyError` for one that does not arrive whole.
    """
    once = DIRECTIONS[direction]
    address = ("127.0.0.1", contestant.port)
    try:
        with socket.create_connection(address, timeout=READY_SECONDS) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            once(connection, body_bytes)
            count = 0
            waited_before = waited_seconds(contestant.pid)
            began_at, cpu_before = time.monotonic(), cpu_seconds(contestant.pid)
            while time.monotonic() < began_at + seconds:
                once(connection, body_bytes)
                count += 1
            return Transfers(
                body_bytes=count * body_bytes,
                seconds=time.monotonic() - began_at,
                cpu_seconds=cpu_seconds(contestant.pid) - cpu_before,
                waited_seconds=waited_seconds(contestant.pid) - waited_before,
                resident_bytes=resident_bytes(contestant.pid),
            )
    except (OSError, ValueError) as error:
        raise NotReadyError(f"{contestant.name}, {direction}: {error}") from error


def _download(connection: socket.socket, body_bytes: int) -> None:
    connection.sendall(b"GET /download/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % body_bytes)
    length, rest = _answer(connection)
    if length != body_bytes:
        raise ValueError(f"a body of {length} bytes instead of {body_bytes}")
    left = length - len(rest)
    while left:
        count = connection.recv_into(BUFFER)
        if not count:
            raise ValueError(f"the body broke off, {left} bytes before its end")
        left -= count


def _upload(connection: socket.socket, body_bytes: int) -> None:
    connection.sendall(
        b"PUT /upload HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % body_bytes
    )
    left = body_bytes
    while left:
        block = BUFFER[:left]
        connection.sendall(block)
        left -= len(block)
    length, said = _answer(connection)
    while len(said) < length:
        more = connection.recv(length - len(said))
        if not more:
            raise ValueError("the answer broke off")
        said += more
    if int(said) != body_bytes:
        raise ValueError(f"{said!r} bytes arrived instead of {body_bytes}")


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    """Read an answer's head; return the body's length, and what of it is here."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ValueError("the connection ended before an answer")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if not head.startswith(b"HTTP/1.1 200 ") or length is None:
        raise ValueError(f"an answer that is no 200 with a length: {head[:300]!r}")
    return int(length[1]), rest


DIRECTIONS: dict[str, Callable[[socket.socket, int], None]] = {
    "download": _download,
    "upload": _upload,
}
