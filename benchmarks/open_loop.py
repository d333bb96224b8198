"""Requests at a fixed rate, whatever becomes of the earlier ones, and how long each took.

Each request has a time at which it is due. Its latency runs from then to the last byte of its
answer: when a server holds one up, those that had to wait behind it are seen to have waited
("coordinated omission" is to begin the clock only when there is somebody to send). Connections are
kept and used in turn; when all are busy, requests wait for one, while their time runs.

The client is one thread around `select`, whose timeout has microseconds where `epoll` and most
event loops have milliseconds.
"""

from __future__ import annotations

import gc
import math
import re
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from certificate import SERVER_NAME
from surroundings import BODY, PATH, READY_SECONDS, TOKEN, NotReadyError

if TYPE_CHECKING:
    import ssl

CONNECTIONS = 64
"""Kept by each client; `select` takes no descriptor from 1024."""
# The credential is for the upstream, asked directly; contestants replace it.
REQUEST = (
    f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
)


@dataclass(eq=False)
class _Connection:
    sock: socket.socket
    due_at: float = 0.0
    received: bytes = b""

    def fileno(self) -> int:
        """Return what `select` asks for."""
        return self.sock.fileno()

    def send(self, due_at: float) -> None:
        """Send the request that was due then."""
        self.due_at = due_at
        self.received = b""
        self.sock.sendall(REQUEST)

    def is_answered(self) -> bool:
        """Read what is there; say whether the answer is complete. Raises `NotReadyError`."""
        more = self.sock.recv(65536)
        self.received += more
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end and more:
            return False
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not head.startswith(b"HTTP/1.1 200 ") or length is None:
            raise NotReadyError(f"an answer that is no 200 with a length: {self.received[:300]!r}")
        if len(body) < int(length[1]) and more:
            return False
        if body != BODY.encode():
            raise NotReadyError(f"not the upstream's answer: {body[:300]!r}")
        return True


@dataclass
class OpenLoop:
    """A client of one server. `run` as often as wanted, then `close`."""

    port: int
    tls: ssl.SSLContext | None = None
    """For a server that speaks TLS, as `certificate.SERVER_NAME`."""
    _idle: deque[_Connection] = field(default_factory=deque)
    _all: list[_Connection] = field(default_factory=list)

    def run(self, *, per_second: float, seconds: float) -> list[float]:
        """Return the latencies of `per_second * seconds` requests, in seconds.

        Raises `NotReadyError` for an answer that is wrong, or that does not come.
        """
        while len(self._all) < CONNECTIONS:
            self._idle.append(self._connected())
        # A collection in the middle would be measured as the server's.
        gc.collect()
        gc.disable()
        try:
            return self._measured(1 / per_second, round(per_second * seconds))
        except OSError as error:
            raise NotReadyError(f"a request failed: {error}") from error
        finally:
            gc.enable()

    def close(self) -> None:
        """Close all connections."""
        for connection in self._all:
            connection.sock.close()

    def _connected(self) -> _Connection:
        """Return a new connection that has had one answer already."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=READY_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:
            sock = self.tls.wrap_socket(sock, server_hostname=SERVER_NAME)
        connection = _Connection(sock)
        self._all.append(connection)
        connection.send(0.0)
        while not connection.is_answered():
            pass
        return connection

    def _measured(self, interval: float, count: int) -> list[float]:
        clock = time.perf_counter
        latencies: list[float] = []
        idle = self._idle
        busy: set[_Connection] = set()
        due = deque(clock() + interval * (1 + number) for number in range(count))
        too_late = due[-1] + READY_SECONDS
        while due or busy:
            while due and idle and due[0] <= clock():
                connection = idle.popleft()
                busy.add(connection)
                connection.send(due.popleft())
            patience = max(0.0, due[0] - clock()) if due and idle else READY_SECONDS
            for connection in select.select(busy, (), (), patience)[0]:
                if connection.is_answered():
                    latencies.append(clock() - connection.due_at)
                    busy.remove(connection)
                    idle.append(connection)
            if clock() > too_late:
                raise NotReadyError(f"{len(busy)} answers did not come")
        return latencies


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that so large a share of all do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
