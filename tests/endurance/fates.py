"""What an upstream may do with a request: answer right, or reset, stall, lie and close.

A fate is one of two kinds: a whole answer was put on the wire (`WHOLE`), or none was (`BROKEN`),
whatever else was. The numbers are how often, in relation to the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from endurance.exchanges import NUMBER, answer_body, chance, chunked

if TYPE_CHECKING:
    import random

    from conformance.wire import Peer

STRANGER = 10**9
"""The number of an answer that nobody asked for: whoever receives it got another's answer."""
PIECE_BYTES = 2000
"""What surely arrives in one piece: surplus that comes later cannot be told, by anybody, from an
answer to a later request."""


class Reply:
    """One request's way to an answer: `peer` to say bytes to, and what a right answer would be."""

    def __init__(self, peer: Peer, number: int) -> None:
        self.peer = peer
        self.number = number
        self.body = answer_body(number)

    def head(self, framing: bytes | None = None, *, minor: int = 1) -> bytes:
        """Return a right head; `framing`: its last fields instead of the length."""
        if framing is None:
            framing = b"Content-Length: %d" % len(self.body)
        return b"HTTP/1.%d 200 OK\r\n%b: %d\r\n%b\r\n\r\n" % (
            *(minor, NUMBER.encode(), self.number),
            framing,
        )

    @property
    def half(self) -> bytes:
        """Some of the body, never all."""
        return self.body[: len(self.body) // 2]

    async def says(self, *pieces: bytes) -> None:
        """Write piece by piece, a moment between them."""
        for piece in pieces:
            if self.peer.writer.is_closing():
                raise ConnectionResetError  # a late proxy has had enough by now
            self.peer.send(piece)
            await self.peer.flush()
            await asyncio.sleep(0.001)

    async def stalls(self) -> None:
        """Say nothing more until the other side has had enough."""
        await self.peer.ended()


Fate = Callable[[Reply], Awaitable[None]]
CHUNKED = b"Transfer-Encoding: chunked"


# A whole answer.


async def by_length(reply: Reply) -> None:
    await reply.says(reply.head() + reply.body)


async def in_pieces(reply: Reply) -> None:
    head = reply.head()
    await reply.says(head[:9], head[9:], reply.half, reply.body[len(reply.half) :])


async def by_chunks(reply: Reply) -> None:
    await reply.says(reply.head(CHUNKED) + chunked(reply.body, 5000))


async def by_chunks_with_trailers(reply: Reply) -> None:
    data = chunked(reply.body, 3000, b"0\r\nX-After: all\r\n\r\n")
    await reply.says(reply.head(CHUNKED), data[: len(data) // 2], data[len(data) // 2 :])


async def until_close(reply: Reply) -> None:
    await reply.says(reply.head(b"Connection: close") + reply.body)
    reply.peer.finish()


async def of_version_1_0(reply: Reply) -> None:
    await reply.says(reply.head(minor=0) + reply.body)
    reply.peer.finish()


async def after_interim(reply: Reply) -> None:
    await reply.says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", reply.head() + reply.body)


async def then_closed_at_once(reply: Reply) -> None:
    await reply.says(reply.head() + reply.body)
    reply.peer.finish()


async def then_closed_while_idle(reply: Reply) -> None:
    await reply.says(reply.head() + reply.body)
    await asyncio.sleep(chance("idle", reply.number).uniform(0, 0.02))
    reply.peer.finish()


async def then_reset_while_idle(reply: Reply) -> None:
    await reply.says(reply.head() + reply.body)
    await asyncio.sleep(chance("idle", reply.number).uniform(0, 0.02))
    reply.peer.abort()


async def two_answers(reply: Reply) -> None:
    stranger = Reply(reply.peer, STRANGER)
    stranger.body = b"for another"
    unasked = stranger.head() + stranger.body
    # The first tells that nothing of the second may be believed.
    await _followed(reply, reply.head() + reply.body, unasked, unasked)


async def surplus(reply: Reply) -> None:
    await _followed(reply, reply.head() + reply.body, b"and more")


async def surplus_behind_chunks(reply: Reply) -> None:
    whole = reply.head(CHUNKED) + chunked(reply.body, 700)
    await _followed(reply, whole, b"HTTP/1.1 200 OK\r\n\r\n")


async def _followed(reply: Reply, whole: bytes, unasked: bytes, *later: bytes) -> None:
    """Say what nobody asked for behind a whole answer that is short enough for it."""
    if len(reply.body) <= PIECE_BYTES:
        await reply.says(whole + unasked, *later)
    else:
        await by_length(reply)


# None.


async def reset_before_head(reply: Reply) -> None:
    reply.peer.abort()


async def closed_before_head(reply: Reply) -> None:
    reply.peer.finish()


async def reset_in_head(reply: Reply) -> None:
    await reply.says(reply.head()[:25])
    reply.peer.abort()


async def closed_in_head(reply: Reply) -> None:
    await reply.says(reply.head()[:-2])
    reply.peer.finish()


async def reset_after_head(reply: Reply) -> None:
    await reply.says(reply.head(b"Content-Length: 3000"))
    reply.peer.abort()


async def reset_in_body(reply: Reply) -> None:
    await reply.says(reply.head(b"Content-Length: %d" % (len(reply.body) + 1)) + reply.half)
    reply.peer.abort()


async def closed_in_body(reply: Reply) -> None:
    await reply.says(reply.head(b"Content-Length: %d" % (len(reply.body) + 1)) + reply.body)
    reply.peer.finish()


async def reset_until_close(reply: Reply) -> None:
    await reply.says(reply.head(b"Connection: close") + reply.half)
    reply.peer.abort()


async def chunks_without_end(reply: Reply) -> None:
    await reply.says(reply.head(CHUNKED) + chunked(reply.body, 5000, b""))
    reply.peer.finish()


async def reset_in_chunk(reply: Reply) -> None:
    await reply.says(reply.head(CHUNKED) + chunked(reply.body, 5000, b"ff\r\nno more"))
    reply.peer.abort()


async def odd_chunk_size(reply: Reply) -> None:
    await reply.says(reply.head(CHUNKED), chunked(reply.body, 5000, b"-1\r\n") + b"0\r\n\r\n")


async def chunk_longer_than_said(reply: Reply) -> None:
    await reply.says(reply.head(CHUNKED), b"3\r\nfour\r\n0\r\n\r\n")


async def closed_in_trailers(reply: Reply) -> None:
    await reply.says(reply.head(CHUNKED) + chunked(reply.body, 5000, b"0\r\nX-After: a"))
    reply.peer.finish()


async def two_lengths(reply: Reply) -> None:
    await reply.says(reply.head(b"Content-Length: 1\r\nContent-Length: 2") + b"ab")


async def length_and_chunks(reply: Reply) -> None:
    await reply.says(reply.head(b"Content-Length: 5\r\n" + CHUNKED) + b"0\r\n\r\n")


async def odd_length(reply: Reply) -> None:
    await reply.says(reply.head(b"Content-Length: -1") + reply.body)


async def no_http(reply: Reply) -> None:
    await reply.says(b"220 mail.example.com ESMTP\r\n")


async def unasked_upgrade(reply: Reply) -> None:
    fields = b"Upgrade: x\r\nConnection: upgrade\r\n\r\n"
    await reply.says(b"HTTP/1.1 101 Switching Protocols\r\n" + fields)
    await reply.stalls()


async def stalled_before_head(reply: Reply) -> None:
    await reply.stalls()


async def stalled_in_head(reply: Reply) -> None:
    await reply.says(reply.head()[:-4])
    await reply.stalls()


async def stalled_in_body(reply: Reply) -> None:
    await reply.says(reply.head(b"Content-Length: %d" % (len(reply.body) + 1)) + reply.body)
    await reply.stalls()


async def stalled_in_chunk(reply: Reply) -> None:
    await reply.says(reply.head(CHUNKED) + chunked(reply.body, 5000, b"a\r\n"))
    await reply.stalls()


WHOLE: dict[Fate, float] = {
    by_length: 12,
    in_pieces: 6,
    by_chunks: 10,
    by_chunks_with_trailers: 4,
    until_close: 3,
    of_version_1_0: 3,
    after_interim: 3,
    then_closed_at_once: 3,
    then_closed_while_idle: 6,
    then_reset_while_idle: 3,
    two_answers: 4,
    surplus: 3,
    surplus_behind_chunks: 3,
}
BROKEN: dict[Fate, float] = {
    reset_before_head: 2,
    closed_before_head: 2,
    reset_in_head: 2,
    closed_in_head: 2,
    reset_after_head: 2,
    reset_in_body: 3,
    closed_in_body: 3,
    reset_until_close: 3,
    chunks_without_end: 3,
    reset_in_chunk: 2,
    odd_chunk_size: 2,
    chunk_longer_than_said: 2,
    closed_in_trailers: 2,
    two_lengths: 1,
    length_and_chunks: 1,
    odd_length: 1,
    no_http: 1,
    unasked_upgrade: 0.5,
    # Few: each takes its timeout.
    stalled_before_head: 0.5,
    stalled_in_head: 0.3,
    stalled_in_body: 0.3,
    stalled_in_chunk: 0.3,
}
FATES = WHOLE | BROKEN
STALLED = {stalled_before_head, stalled_in_head, stalled_in_body, stalled_in_chunk}


def deal(drawn: random.Random) -> Fate:
    """Draw one of them."""
    return drawn.choices([*FATES], [*FATES.values()])[0]


def stalls(number: int) -> bool:
    """Say whether an exchange takes its timeout, the first time it is asked for or the second."""
    return any(deal(chance("fate", number, time)) in STALLED for time in (1, 2))
