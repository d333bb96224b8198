"""The caller of the framing tables, and the one proxy that all cases of a table go through.

`Listener` lets h11 read the answers, and keeps what no answer was expected for. `Framing` is the
proxy between a caller and `framing_upstream`: its upstreams are `api`, for any host, and `named`,
for `named.test`; the credential goes into `X-Api-Key`. That the cases share a proxy is part of the
trial: what one of them leaves behind becomes the trouble of the next.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h11
from conformance.bench import Bench, bench, eventually, request
from conformance.framing_upstream import (
    EVENT_BYTES_MAX,
    Fields,
    Recorded,
    RecordingUpstream,
    pieces,
    turns,
)
from conformance.wire import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conformance.wire import Peer

CREDENTIAL = b"X-Api-Key: Bearer token-1"


@dataclass(slots=True)
class Heard:
    """A final answer as h11 reads it; `complete` is False for a part."""

    status: int
    reason: bytes
    fields: Fields
    interim: list[tuple[int, Fields]]
    body: bytes = b""
    trailers: Fields = ()
    complete: bool = False

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of the fields of that name (in lower case)."""
        return [value for key, value in self.fields if key.lower() == name]


@dataclass(slots=True)
class Listener:
    """Reads the answers to requests of the methods `expected`."""

    peer: Peer
    expected: list[bytes]
    answers: list[Heard] = field(default_factory=list)
    """In order; the last may be a part."""
    end: str = ""
    """How the connection ended: `fin` or `reset`; empty while it has not."""
    flaw: str = ""
    """What h11 did not like."""
    surplus: bytes = b""
    """What came behind the last answer expected."""
    interim: list[tuple[int, Fields]] = field(default_factory=list)
    _reader: h11.Connection | None = None
    _saying: asyncio.Task[None] | None = None

    def say(self, data: bytes, *, split: bool = False) -> None:
        """Send bytes, all at once or one by one, as long as somebody takes them."""
        if not split:
            self.peer.send(data)
        else:
            self._saying = asyncio.create_task(self._say_split(data))

    async def _say_split(self, data: bytes) -> None:
        for piece in pieces(data, split=True):
            if self.peer.writer.is_closing():
                return
            self.peer.send(piece)
            await turns()

    async def leave(self) -> None:
        """End the connection by a reset."""
        self.peer.abort()
        if self._saying is not None:
            await self._saying

    async def hear(self, *, to_end: bool = False) -> None:
        """Read until all answers expected are complete, or (`to_end`) the connection is over."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.end and not self.flaw and (to_end or self.expected):
                try:
                    data = await self.peer.reader.read(65536)
                except ConnectionResetError:
                    self.end = "reset"
                    return
                self.end = "" if data else "fin"
                if self._reader is None:
                    self.surplus += data
                else:
                    self._reader.receive_data(data)
                try:
                    while self.expected and self._read(self.expected[0]):
                        pass
                except h11.RemoteProtocolError as error:
                    self.flaw = str(error)

    def _read(self, method: bytes) -> bool:
        """Take the next event in; say whether there was one."""
        if self._reader is None:
            if not self.surplus:
                return False
            self._reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=EVENT_BYTES_MAX)
            asked = h11.Request(method=method, target="/", headers=[("Host", "localhost")])
            self._reader.send(asked)
            self._reader.send(h11.EndOfMessage())
            self._reader.receive_data(self.surplus)
            self.surplus = b""
        event = self._reader.next_event()
        if isinstance(event, h11.InformationalResponse):
            self.interim.append((event.status_code, tuple(event.headers.raw_items())))
        elif isinstance(event, h11.Response):
            fields = tuple(event.headers.raw_items())
            self.answers.append(Heard(event.status_code, event.reason, fields, self.interim))
            self.interim = []
        elif isinstance(event, h11.Data):
            self.answers[-1].body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            self.answers[-1].trailers = tuple(event.headers.raw_items())
            self.answers[-1].complete = True
            self.expected.pop(0)
            self.surplus = self._reader.trailing_data[0]
            self._reader = None
        else:
            return False
        return True


class Framing:
    """See the module's docstring."""

    def __init__(self, the: Bench, upstream: RecordingUpstream) -> None:
        self.bench = the
        self.upstream = upstream
        self._number = 0

    async def ask(self, data: bytes, *methods: bytes, split: bool = False) -> Listener:
        """Send bytes on a new connection, while what comes is being heard."""
        listener = Listener(await self.bench.caller(), [*methods])
        listener.say(data, split=split)
        return listener

    async def probe(self, listener: Listener | None = None) -> Recorded:
        """Send a request that is nobody else's, which must get its own answer; return it.

        `listener`: on that connection, else on a new one.
        """
        self._number += 1
        target = b"/probe-%d" % self._number
        data = request(line=b"GET " + target + b" HTTP/1.1")
        if listener is None:
            listener = await self.ask(data, b"GET")
            last = True
        else:
            listener.say(data)
            listener.expected.append(b"GET")
            last = False
        await listener.hear()
        answer = listener.answers[-1]
        assert (answer.status, answer.body, answer.complete) == (200, target, True), answer
        assert listener.surplus == b""
        if last:
            await listener.leave()
        recorded = self.upstream.requests[-1]
        assert (recorded.target, recorded.complete) == (target, True)
        return recorded

    async def settled(self, since: int) -> list[Recorded]:
        """Return the requests that the upstream received, from number `since` on.

        All that went up for a request is there before what goes up for a later one.
        """
        await eventually(lambda: self.bench.app._gateway.in_flight == 0, "no request in flight")
        last = await self.probe()
        requests = self.upstream.requests[since:]
        assert requests.pop() is last
        return requests


@asynccontextmanager
async def framing() -> AsyncIterator[Framing]:
    """Run the proxy between a caller and an upstream that records."""
    upstream = RecordingUpstream()
    url = f"http://127.0.0.1:{await upstream.start()}"
    upstreams = {
        "api": {"url": url, "audience": "orders"},
        "named": {"url": url, "audience": "orders", "match": {"host": "named.test"}},
    }
    try:
        async with bench(audience={"header": "X-Api-Key"}, top={"upstreams": upstreams}) as the:
            yield Framing(the, upstream)
    finally:
        await upstream.stop()
