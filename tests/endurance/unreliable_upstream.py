"""An upstream that answers right, or resets, stalls, lies and closes, as chance has it.

What becomes of an exchange (see `fates`) is drawn from its number and from how often it was asked
for, so that a seed stands for the same faults in whatever order requests arrive.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Self

from conformance.wire import Head, Peer
from endurance.exchanges import chance, number_of, request_body
from endurance.fates import WHOLE, Fate, Reply, by_length, deal
from endurance.sizes import PATIENCE_SECONDS

BEFORE_BODY = 0.15
"""How many requests with a body are dealt with before it is read."""


class UnreliableUpstream:
    """`async with UnreliableUpstream() as upstream`. With `honest` set it answers right."""

    def __init__(self) -> None:
        self.port = 0
        self.honest = False
        self.asked: Counter[int] = Counter()
        """How often the head of each exchange came."""
        self.fates: dict[int, list[Fate]] = defaultdict(list)
        self.mangled: list[int] = []
        """Exchanges whose request's body was not what their caller sent."""
        self.busy = 0
        """How many exchanges are under way."""
        self._open: dict[asyncio.Task[None], Peer] = {}
        self._errors: list[Exception] = []

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_raised: object) -> None:
        self._server.close()
        for peer in self._open.values():
            peer.abort()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*self._open)
            await self._server.wait_closed()
        if self._errors:
            raise ExceptionGroup("the upstream met what it does not know", self._errors)

    def whole(self, number: int) -> bool:
        """Say whether a whole answer to it was ever put on the wire."""
        return any(fate in WHOLE for fate in self.fates[number])

    async def next_head(self, peer: Peer) -> Head:
        """Wait for a request. Raises an error of the connection when there is no more."""
        return await peer.head()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = self._open[task] = Peer(reader, writer)
        try:
            while not writer.is_closing():
                head = await self.next_head(peer)
                self.busy += 1
                try:
                    await self._exchange(peer, head)
                finally:
                    self.busy -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the proxy may end a connection at any time
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
            self._errors.append(error)
        finally:
            peer.abort()
            del self._open[task]

    async def _exchange(self, peer: Peer, head: Head) -> None:
        number = number_of(head)
        assert number is not None, head
        self.asked[number] += 1
        drawn = chance("fate", number, self.asked[number])
        fate = by_length if self.honest else deal(drawn)
        self.fates[number].append(fate)
        early = not self.honest and drawn.random() < BEFORE_BODY
        if early:
            await fate(Reply(peer, number))
        body = await self._body(peer, head)
        if body != request_body(number):
            self.mangled.append(number)
        if not early:
            await fate(Reply(peer, number))

    async def _body(self, peer: Peer, head: Head) -> bytes:
        if head.values("Transfer-Encoding"):
            pieces, _ = await peer.chunked()
            return b"".join(pieces)
        return await peer.exactly(int((head.values("Content-Length") or [b"0"])[0]))
