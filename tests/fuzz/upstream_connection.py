"""Fuzz of an upstream's side: any bytes in any pieces make an answer, or an end; see `fuzzing`.

What must hold each time: nothing but `ProxyError` escapes; what is held is bounded; a body is no
longer than its Content-Length, and what comes behind an answer is in no answer; what h11 takes for
a whole answer is passed alike, and what we pass h11 takes for whole (but for differences that are
known, by kind), and what was passed of an answer that broke off was its beginning; after an error
nothing is reused; the next exchange sees nothing of the last; the caller is written what h11 reads
as the same answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import reference
from answer_corpus import CORPUS, LARGE
from answer_differences import known_difference
from far_end import FarEnd
from fuzzing import Fuzz, Input, run
from mutation import Mutator, segments, stream

from proxy.errors import Fault, ProxyError
from proxy.forwarding import message
from proxy.forwarding.connection import BUFFER_BYTES_MAX, UpstreamConnection

if TYPE_CHECKING:
    from random import Random

    from reference import Field

    from proxy.forwarding.answer_reader import AnswerHead

HEAD_BYTES_MAX = 4096
FIELDS_MAX = 32
LARGE_ONE_IN = 250
CLEAN = b"HTTP/1.1 299 Next\r\nX-Clean: yes\r\nContent-Length: 11\r\n\r\nnext answer"
ENDS = ("stays", "stays", "stays", "in order", "reset")
MUTATOR = Mutator(CORPUS)


@dataclass(frozen=True, slots=True)
class Answer(Input):
    """An upstream's bytes behind `before` clean exchanges; `end` is how its connection ends.

    The reader looks for news after every `reads_every` segments.
    """

    to_head: bool
    end: str
    before: int
    reads_every: int


@dataclass(slots=True)
class Reader:
    """What an exchange makes of an answer; it reads as `Exchange` does."""

    connection: UpstreamConnection
    to_head: bool
    body: bytearray = field(default_factory=bytearray)
    interim: list[tuple[int, list[Field]]] = field(default_factory=list)
    written: bytes = b""
    too_long: bool = False
    error: ProxyError | None = None
    complete: bool = False

    async def read(self) -> None:
        """Read it to its end."""
        connection = self.connection
        came = connection.answer
        try:
            await connection.head()
        except ProxyError as error:
            self.error = error
            return
        answer = came.head
        assert answer is not None
        self.written, chunked = message.inbound(answer, minor=1, close=answer.until_close)
        while True:
            ended = came.complete
            if connection.error is not None and not ended:
                self.error = connection.error
                return
            piece = b"".join(connection.take())
            self.body += piece
            length = answer.content_length
            self.too_long |= length is not None and len(self.body) > length
            if piece:
                self.written += b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
            if ended:
                break
            try:
                await connection.more()
            except ProxyError as error:
                self.error = error
                return
        if chunked:
            self.written += message.last_chunk(came.trailers, answer.named)
        self.complete = True

    def told(self, answer: AnswerHead) -> None:
        """Take an interim answer."""
        message.interim(answer)
        self.interim.append((answer.status, answer.fields))


def make(chance: Random) -> Answer:
    """Make an answer by chance."""
    data, places = stream(chance, MUTATOR, LARGE, large_one_in=LARGE_ONE_IN)
    return Answer(
        data,
        places,
        to_head=not chance.randrange(8),
        end=chance.choice(ENDS),
        before=chance.randrange(2),
        reads_every=chance.choice((1, 1, 2, 5, 1000)),
    )


async def judge(made: Answer) -> str | None:
    """Return what is wrong with what became of it."""
    lost: list[UpstreamConnection] = []
    connection = UpstreamConnection(
        asyncio.get_running_loop(),
        head_bytes_max=HEAD_BYTES_MAX,
        fields_max=FIELDS_MAX,
        on_closed=lost.append,
    )
    far_end = FarEnd(connection)
    task: asyncio.Task[None] | None = None
    try:
        for _ in range(made.before):
            if (fault := await _clean_exchange(connection, far_end)) is not None:
                return f"before: {fault}"
        reader = _begin(connection, to_head=made.to_head)
        task = asyncio.create_task(reader.read())
        fault = await _deliver(made, connection, far_end)
        if made.end != "stays":
            far_end.end(in_order=made.end == "in order")
        await _settle(task)
        if task.done():
            task.result()
        fault = fault or _fault(made, connection, reader)
        if fault is None and connection.reusable:
            fault = await _clean_exchange(connection, far_end)
            fault = fault and f"the next exchange sees the last: {fault}"
    finally:
        connection.abort()
        await _settle(task)
        if task is not None:
            task.cancel()
    if fault is None and lost != [connection]:
        return f"on_closed: called {len(lost)} times"
    return fault


def _begin(connection: UpstreamConnection, *, to_head: bool) -> Reader:
    reader = Reader(connection, to_head)
    connection.answer.on_interim = reader.told
    connection.send(b"request", to_head=to_head, whole=True)
    return reader


async def _settle(task: asyncio.Task[None] | None) -> None:
    for _ in range(4):
        if task is None or task.done():
            await asyncio.sleep(0)
            return
        await asyncio.sleep(0)


async def _clean_exchange(connection: UpstreamConnection, far_end: FarEnd) -> str | None:
    """Run an exchange in which nothing is odd."""
    reader = _begin(connection, to_head=False)
    task = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    await far_end.deliver(CLEAN)
    await _settle(task)
    head = connection.answer.head
    got = head and (head.status, head.reason, head.fields, bytes(reader.body))
    wanted = [(b"X-Clean", b"yes"), (b"Content-Length", b"11")]
    if (
        got != (299, b"Next", wanted, b"next answer")
        or connection.answer.trailers
        or reader.interim
        or not reader.complete
    ):
        return f"{got} {reader.interim} {reader.error}"
    return None if connection.reusable else "it is not reusable"


async def _deliver(made: Answer, connection: UpstreamConnection, far_end: FarEnd) -> str | None:
    answer = connection.answer
    idle_bytes = 0
    for number, segment in enumerate(segments(made.data, made.cuts)):
        before = answer.buffered_bytes
        if not await far_end.deliver(segment):
            break
        held = answer.buffered_bytes
        idle_bytes = 0 if held > before else idle_bytes + len(segment)
        if idle_bytes > HEAD_BYTES_MAX + len(segment) and not (far_end.closing or answer.complete):
            return f"too much is held: {idle_bytes} bytes that are no body"
        if held > BUFFER_BYTES_MAX + len(segment):
            return f"too much is held: {held} bytes of the body"
        if held > BUFFER_BYTES_MAX and far_end.is_reading() and not answer.complete:
            return "too much is held: and reading goes on"
        fields = [] if answer.head is None else answer.head.fields
        names = sum(len(name) + len(value) for name, value in [*fields, *answer.trailers])
        if names > 2 * HEAD_BYTES_MAX:
            return f"too much is held: {names} bytes of fields"
        if max(len(fields), len(answer.trailers)) > FIELDS_MAX + 1:
            return "too much is held: more fields than may be"
        if number % made.reads_every == 0:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    return None


def _fault(made: Answer, connection: UpstreamConnection, reader: Reader) -> str | None:
    """Hold what became of it against the rules, and against h11."""
    if reader.too_long:
        return "too long: a body is longer than its Content-Length"
    if reader.error is not None and reader.error.fault is not Fault.UPSTREAM_MISSPOKE:
        return f"another error: {reader.error!r}"
    if connection.reusable and (reader.error or connection.error or connection.answer.surplus):
        return "reusable: after an error"
    if (reader.error or connection.answer.surplus) and not connection.closed:
        return "open: after an error"
    if made.end != "stays" and not (reader.complete or reader.error):
        return "no end: the connection ended and nobody was told"
    ours = "complete" if reader.complete else "refused" if reader.error else "incomplete"
    ended = made.end == "in order"
    theirs = reference.read_answer(made.data, to_head=made.to_head, ended=ended)
    if (ours, theirs.verdict) == ("complete", "complete"):
        return _unlike(connection, reader, theirs) or _miswritten(made, reader)
    if theirs.verdict != "refused" and not theirs.body.startswith(reader.body):
        return f"h11 reads another body: {bytes(reader.body)!r} here, {theirs.body!r} there"
    if "complete" not in {ours, theirs.verdict}:
        return None
    if known_difference(made.data, ours, theirs.verdict) is None:
        return f"h11 differs: {ours} here, {theirs.verdict} there ({theirs.why}) {reader.error!r}"
    return _miswritten(made, reader) if reader.complete else None


def _unlike(
    connection: UpstreamConnection, reader: Reader, theirs: reference.Reading
) -> str | None:
    head = connection.answer.head
    assert head is not None
    for what, mine, other in (
        ("status", (b"%d" % head.status, head.reason), theirs.start),
        ("fields", _as_h11_tells(head.fields), theirs.fields),
        ("body", bytes(reader.body), theirs.body),
        ("trailers", _as_h11_tells(connection.answer.trailers), theirs.trailers),
        ("interim answers", reader.interim, theirs.interim),
    ):
        if mine != other:
            return f"h11 reads another {what}: {mine!r} here, {other!r} there"
    if connection.reusable and theirs.rest.strip(b"\r\n"):
        return f"reusable: though {theirs.rest!r} came behind the answer"
    if connection.reusable and not theirs.kept and head.minor == 1:
        return "reusable: though the answer says that it is the last"
    return None


def _as_h11_tells(fields: list[Field]) -> list[Field]:
    """Return the fields without white space behind values, and codings in lower case."""
    stripped = [(name, value.strip(b" \t")) for name, value in fields]
    return [
        (name, value.lower() if name.lower() == b"transfer-encoding" else value)
        for name, value in stripped
    ]


def _miswritten(made: Answer, reader: Reader) -> str | None:
    """Read what the caller is written as the caller would."""
    read = reference.read_answer(reader.written, to_head=made.to_head, ended=True)
    if read.verdict != "complete" or read.rest or read.body != bytes(reader.body):
        return f"miswritten: {read} of {reader.written!r}"
    return None


if __name__ == "__main__":
    run(Fuzz(make, judge))
