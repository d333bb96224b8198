"""Events that fall into one moment, in the order that hurts."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from conformance.bench import OK, TokenEndpoint, bench, eventually, request

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PART = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"


async def test_a_body_that_breaks_while_its_token_is_awaited_goes_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B-39: and what comes behind the fault is no end of it, and no request."""
    may_grant = asyncio.Event()
    granting = TokenEndpoint._grant

    async def later(
        self: TokenEndpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await may_grant.wait()
        await granting(self, reader, writer)

    monkeypatch.setattr(TokenEndpoint, "_grant", later)
    async with bench(audience={}) as the:
        caller = await the.caller()
        line = b"POST /a HTTP/1.1"
        caller.send(request(b"Transfer-Encoding: chunked", line=line, body=b"5\r\nhello\r\n"))
        gateway = the.app._gateway
        await eventually(lambda: gateway.in_flight == 1, "it waits for its token")
        caller.send(b"ZZ\r\n no chunk\r\n")
        await asyncio.sleep(0.05)
        caller.send(b"0\r\n\r\n" + request(line=b"GET /second HTTP/1.1"))
        await asyncio.sleep(0.05)
        may_grant.set()
        assert (await caller.answer()).status == 400
        await caller.ended()
        assert the.upstream.connections == 0 or (await (await the.upstream.accept()).rest()) == b""


async def test_a_caller_that_leaves_as_its_answer_begins_leaves_nothing_behind() -> None:
    """R-17: the loss is queued before the connection's task hears of the news."""
    async with bench() as the:
        await the.pass_through(request())
        caller = await the.caller()
        caller.send(request(line=b"GET /b HTTP/1.1"))
        gateway = the.app._gateway
        await eventually(lambda: gateway.in_flight == 1, "it is on its way")
        (protocol,) = (each for each in gateway.server.connections if each.busy)  # type: ignore[attr-defined]
        (connection,) = the.pool._all
        protocol.transport.abort()
        connection.data_received(PART)
        await eventually(lambda: gateway.in_flight == 0, "nothing is in flight")
        assert (the.facts.in_flight, the.facts.connections_active) == (0, 0)
        await caller.ended()


async def test_bytes_that_came_unseen_pass_for_nobodys_answer() -> None:
    """B-42: the kernel has them, and the loop has not told of them yet."""
    async with bench() as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(OK)
        await caller.answer()
        await eventually(lambda: "1 idle" in repr(the.pool), "the connection is back")
        # Past the event loop, which would tell of it in the same turn.
        os.write(upstream.writer.get_extra_info("socket").fileno(), OK)
        assert the.pool.take() is None
        await upstream.ended()


async def test_an_answer_that_ends_with_its_connection_is_whole_on_a_socket_file(
    tmp_path: Path,
) -> None:
    """B-15, R-10: no reset can tell a broken end from a proper one there; a last chunk does."""
    async with bench(top={"listen": f"unix:{tmp_path}/proxy.sock"}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(UNTIL_CLOSE + b"first")
        head = await caller.head()
        assert head.values("Transfer-Encoding") == [b"chunked"]
        upstream.send(b" and last")
        await upstream.flush()
        upstream.finish()
        pieces, _ = await caller.chunked()
        assert b"".join(pieces) == b"first and last"
