"""Passing an upstream's answer on to the caller, as it comes and at the caller's pace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.errors import Fault, ProxyError
from proxy.forwarding import message
from proxy.forwarding.tunnel import Tunnel
from proxy.forwarding.upgrade import proves

if TYPE_CHECKING:
    from proxy.forwarding.answer_reader import AnswerHead
    from proxy.forwarding.connection import UpstreamConnection
    from proxy.forwarding.exchange import Exchange


def deliver_at_once(exchange: Exchange, now: float) -> bool | None:
    """Pass the answer on if all of it is here, and say whether to keep the caller's connection.

    None if it has to be waited for, or a 401 to be answered: `Exchange.run` does that. Raises
    `ProxyError` (`upstream_misspoke`).
    """
    connection = exchange.connection
    assert connection is not None, "send_at_once comes first"
    came = connection.answer
    protocol = exchange.request.protocol
    transport = protocol.transport
    if (
        not came.complete
        or transport is None
        or (came.status == 401 and exchange.token is not None)
        or protocol.writing_paused
    ):
        return None
    exchange.note_head(connection, now)
    answer, keep_alive = _read_answer(exchange, connection)
    data, chunked = message.inbound(answer, minor=exchange.head.minor, close=not keep_alive)
    body = came.take()
    if body:
        exchange.answer_bytes = len(body)
        data += message.chunk(body) if chunked else body
    if chunked:
        data += message.last_chunk(came.trailers, answer.named)
    exchange.answer_begun = True
    transport.write(data)
    return keep_alive


async def deliver(exchange: Exchange, connection: UpstreamConnection) -> bool:
    """Write the answer as it comes; say whether to keep the caller's connection.

    Raises `ProxyError`; after the first byte of the answer only the end of the connection can tell.
    """
    protocol = exchange.request.protocol
    came = connection.answer
    answer, keep_alive = _read_answer(exchange, connection)
    data, chunked = message.inbound(answer, minor=exchange.head.minor, close=not keep_alive)
    while True:
        ended = came.complete
        if connection.error is not None and not ended:
            raise connection.error
        pieces = connection.take()
        if pieces:
            size = sum(map(len, pieces))
            exchange.answer_bytes += size
            if chunked:
                # One chunk of them all: a chunk each would cost the caller more to read.
                pieces = [b"%x\r\n" % size, *pieces, b"\r\n"]
        if data:
            pieces.insert(0, data)
            data = b""
        if ended and chunked:
            pieces.append(message.last_chunk(came.trailers, answer.named))
        transport = protocol.transport
        if transport is None:
            # The caller has left; the server cancels this task at its next wait.
            raise asyncio.CancelledError
        if pieces:
            transport.writelines(pieces)
            exchange.answer_begun = True
        if ended:
            return keep_alive
        if protocol.writing_paused:
            await _taken(exchange, connection)
        connection.expect_by(
            exchange.lane.now() + exchange.timeouts.idle_seconds,
            "the upstream's answer came to a halt for timeouts.idle_seconds",
        )
        await connection.more()


async def tunnel(exchange: Exchange, connection: UpstreamConnection) -> None:
    """Let the two sides speak as they like, now that the protocol is switched.

    Raises `ProxyError` when the 101 does not hold.
    """
    answer = connection.answer.head
    protocol = exchange.request.protocol
    caller = protocol.transport
    assert answer is not None, "the 101 is here"
    if not proves(answer.fields, exchange.head):
        raise ProxyError(
            Fault.UPSTREAM_MISSPOKE, "the upstream's 101 does not answer this handshake"
        )
    if caller is None or connection.transport is None:
        raise ProxyError(Fault.UPSTREAM_MISSPOKE, "the upstream closed the connection with its 101")
    connection.expect_no_more()
    both = protocol.tunnel = Tunnel(
        asyncio.get_running_loop(),
        caller=(protocol, caller),
        upstream=(connection, connection.transport),
        idle_seconds=exchange.timeouts.tunnel_idle_seconds,
    )

    def start() -> None:
        both.caller.write(message.switching(answer))
        exchange.answer_begun = True
        both.upstream.data_received(b"".join(connection.take()))
        both.caller.data_received(protocol.take_over())
        for end, ended in (
            (both.caller, protocol.ended),
            (both.upstream, connection.eof_seen),
        ):
            if ended:
                end.eof_received()

    try:
        await both.run(start)
    finally:
        protocol.tunnel = None
        exchange.tunnelled_bytes = both.caller.received_bytes
        exchange.answer_bytes = both.upstream.received_bytes


def _read_answer(exchange: Exchange, connection: UpstreamConnection) -> tuple[AnswerHead, bool]:
    """Return the answer's head, and whether the caller's connection may be kept after it."""
    answer = connection.answer.head
    assert answer is not None, "it is here"
    head = exchange.head
    if answer.until_close and head.minor == 1 and exchange.request.protocol.is_socket_file:
        # No reset tells a broken end from a proper one there; a last chunk does.
        answer.rechunked = True
    return answer, (
        head.keep_alive
        and not exchange.lane.draining()
        and (answer.rechunked or not answer.until_close)
        and (head.minor == 1 or not answer.chunked)
        and connection.request_sent
    )


async def _taken(exchange: Exchange, connection: UpstreamConnection) -> None:
    """Wait until the caller has taken what was written."""
    # While the caller is waited for, the upstream owes nothing.
    connection.expect_no_more()
    connection.pause()
    try:
        taken = await exchange.request.protocol.drain(exchange.timeouts.idle_seconds)
    except ConnectionError:
        raise asyncio.CancelledError from None
    if not taken:
        raise ProxyError(
            Fault.BAD_REQUEST, "the caller took nothing for timeouts.idle_seconds", status=408
        )
