"""Fuzz of the callers' side: any bytes in any pieces make requests, or an end; see `fuzzing`.

What must hold each time: nothing but `ProxyError` escapes; what is held is bounded; the requests
that are taken are those that h11 reads in the same bytes, one for one and with the same bodies, and
nothing is taken that h11 refuses; what is refused though h11 takes it is refused for a reason that
is known; after a refusal nothing is read; what goes upstream for a request is one request with the
same body to h11; and in the end no connection is counted any more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import reference
from far_end import FarEnd
from fuzzing import Fuzz, Input, run
from mutation import Mutator, segments, stream
from request_corpus import CORPUS, LARGE
from request_differences import is_known_refusal

from proxy.config.schema import Limits
from proxy.errors import Fault, ProxyError
from proxy.forwarding import message
from proxy.forwarding.caller import INBOX_BYTES_MAX
from proxy.forwarding.incoming import BUFFER_BYTES_MAX
from proxy.forwarding.server import CallerServer

if TYPE_CHECKING:
    from random import Random

    from proxy.forwarding.caller import CallerProtocol
    from proxy.forwarding.caller_request import CallerRequest
    from proxy.forwarding.head import RequestHead

LIMITS = Limits(head_bytes_max=4096, header_fields_max=32)
LARGE_ONE_IN = 100
ENDS = ("stays", "stays", "in order", "reset")
QUIET_TURNS = 4
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
MUTATOR = Mutator(CORPUS)


@dataclass(frozen=True, slots=True)
class Requests(Input):
    """A caller's bytes; `end` is how its connection ends.

    The connection's task runs after every `runs_every` segments, and bodies are read after
    `waits` turns of the loop.
    """

    end: str
    runs_every: int
    waits: int


@dataclass(slots=True)
class Taken:
    """A request that was taken, wholly or up to where it broke."""

    head: RequestHead
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    complete: bool = False


class Conductor:
    """Takes each request, and answers it once its body is here; in the gateway's place."""

    def __init__(self, waits: int) -> None:
        self._waits = waits
        self.taken: list[Taken] = []
        self.refusals: list[ProxyError] = []
        self.turns = 0
        self.body_bytes = 0

    def begin(self, _request: CallerRequest) -> bool:
        """Leave everything to `finish`."""
        return False

    def answered(self, _request: CallerRequest) -> None:
        """Leave everything to `finish`."""

    def abandon(self, _request: CallerRequest) -> None:
        """Nothing is on its way."""

    def unparsed(self, error: ProxyError) -> bytes:
        """Answer what is no request."""
        self.refusals.append(error)
        return REFUSAL

    async def finish(self, request: CallerRequest) -> bool:
        """Read head and body, and answer."""
        self.turns += 1
        try:
            head = request.protocol.read_head(request)
            taken = Taken(head)
            self.taken.append(taken)
            if request.body is not None:
                for _ in range(self._waits):
                    self.turns += 1
                    await asyncio.sleep(0)
                parts = []
                while data := await request.body.read():
                    self.turns += 1
                    parts.append(data)
                    taken.body = b"".join(parts)
                taken.trailers = request.body.trailers
            taken.complete = True
        except ProxyError as error:
            self.refusals.append(error)
            answer, keep = REFUSAL, False
        else:
            answer, keep = ANSWER, head.keep_alive
        if request.protocol.transport is not None:
            request.protocol.transport.write(answer)
        return keep


def make(chance: Random) -> Requests:
    """Make requests by chance."""
    data, places = stream(chance, MUTATOR, LARGE, large_one_in=LARGE_ONE_IN)
    return Requests(
        data,
        places,
        end=chance.choice(ENDS),
        runs_every=chance.choice((1, 2, 1000)),
        waits=chance.choice((0, 0, 3)),
    )


async def judge(made: Requests) -> str | None:
    """Return what is wrong with what became of them."""
    conductor = Conductor(made.waits)
    server = CallerServer(conductor, limits=LIMITS, connections_max=1000)
    protocol = server()
    far_end = FarEnd(protocol)
    try:
        fault = await _deliver(made, protocol, far_end)
        await _quiet(conductor)
        if fault is None:
            fault = _fault(made, conductor, far_end)
        if made.end != "stays":
            far_end.end(in_order=made.end == "in order")
            await _quiet(conductor)
    finally:
        far_end.abort()
        await _quiet(conductor)
    for error in conductor.refusals:
        if error.fault not in {Fault.BAD_REQUEST, Fault.HEAD_TOO_LARGE}:
            return f"another error: {error!r}"
    if fault is None and server.connections_open:
        return "counted: a connection that is gone"
    return fault


async def _quiet(conductor: Conductor) -> None:
    """Run the loop until the connection has nothing more to do."""
    quiet = 0
    while quiet < QUIET_TURNS:
        before = conductor.turns
        await asyncio.sleep(0)
        quiet = quiet + 1 if conductor.turns == before else 0


async def _deliver(made: Requests, protocol: CallerProtocol, far_end: FarEnd) -> str | None:
    held_max = max(INBOX_BYTES_MAX, LIMITS.head_bytes_max)
    for number, segment in enumerate(segments(made.data, made.cuts)):
        if not await far_end.deliver(segment):
            break
        if len(protocol._inbox.data) > held_max + len(segment):
            return f"too much is held: {len(protocol._inbox.data)} bytes behind a request"
        body = protocol._body
        if body is not None and body._buffered_bytes > BUFFER_BYTES_MAX + len(segment):
            return f"too much is held: {body._buffered_bytes} bytes of a body"
        if number % made.runs_every == 0:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    return None


def _fault(made: Requests, conductor: Conductor, far_end: FarEnd) -> str | None:
    """Hold what was taken against what h11 reads."""
    readings = reference.read_requests(made.data)
    for number, taken in enumerate(conductor.taken):
        if not taken.complete:
            break
        theirs = readings[number] if number < len(readings) else reference.Reading()
        if not taken.head.target.isascii() or _has_framing_trailers(taken):
            # h11 reads no such target, nor such trailers (which we drop), and nothing behind them.
            return None
        if theirs.verdict != "complete":
            return f"taken: h11 says {theirs.verdict} ({theirs.why}): {_told(taken)}"
        fault = _ambiguous(taken) or _unlike(taken, theirs) or _missent(taken)
        if fault is not None or taken.head.minor == 0:
            # Behind a request of HTTP/1.0 h11 reads nothing more.
            return fault
    whole = sum(taken.complete for taken in conductor.taken)
    if len(conductor.refusals) > 1:
        return f"refused twice: {conductor.refusals}"
    written = ANSWER * whole + REFUSAL * len(conductor.refusals)
    if bytes(far_end.written) != written:
        return f"miswritten: {bytes(far_end.written)!r}"
    theirs = readings[whole] if whole < len(readings) else reference.Reading()
    if conductor.refusals:
        detail = conductor.refusals[0].detail
        if theirs.verdict == "complete" and not is_known_refusal(detail, made.data):
            return f"refused: though h11 takes it: {detail}"
        return None
    if theirs.verdict == "complete" and not far_end.closing:
        return f"missed: h11 reads {theirs.start}"
    return None


def _has_framing_trailers(taken: Taken) -> bool:
    framing = {b"content-length", b"transfer-encoding"}
    return any(name.lower() in framing for name, _ in taken.trailers)


def _ambiguous(taken: Taken) -> str | None:
    """Hold a request against what we are stricter in than h11."""
    head = taken.head
    framing = [name for name in head.names if name in {b"content-length", b"transfer-encoding"}]
    if len(framing) > 1 or (head.chunked and head.minor == 0) or head.names.count(b"host") != 1:
        return f"ambiguous: {head.lines}"
    return None


def _told(taken: Taken) -> str:
    return f"{taken.head.method} {taken.head.target!r} {taken.body!r}"


def _unlike(taken: Taken, theirs: reference.Reading) -> str | None:
    head = taken.head
    start = (head.method.encode(), head.target, b"1.%d" % head.minor)
    for what, mine, other in (
        ("request line", start, theirs.start),
        ("body", taken.body, theirs.body),
        ("trailers", taken.trailers, theirs.trailers),
    ):
        if mine != other:
            return f"h11 reads another {what}: {mine!r} here, {other!r} there"
    return None


def _missent(taken: Taken) -> str | None:
    """Read what goes upstream as an upstream would."""
    head = taken.head
    # A target in absolute form goes on without its authority.
    target = head.path + head.query
    lines = [
        b"Host: upstream" if at == head.host_at else line for at, line in enumerate(head.lines)
    ]
    sent = b"\r\n".join([head.method.encode() + b" " + target + b" HTTP/1.1", *lines, b"", b""])
    if head.chunked:
        if taken.body:
            sent += b"%x\r\n%b\r\n" % (len(taken.body), taken.body)
        sent += message.last_chunk(taken.trailers, head.connection_options)
    else:
        sent += taken.body
    read = reference.read_requests(sent)[0]
    if (read.verdict, read.body, read.rest) != ("complete", taken.body, b""):
        return f"missent: {sent!r} is {read}"
    return None


if __name__ == "__main__":
    run(Fuzz(make, judge))
