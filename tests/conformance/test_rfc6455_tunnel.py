"""RFC 6455 (WebSocket): after the 101 bytes go both ways until an end, and nobody reads them."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from conformance.bench import OK, Bench, bench, eventually, request
from conformance.handshake import (
    accepted,
    both_have_ended,
    handshake,
    opened,
    passes_both_ways,
)

from proxy.forwarding import tunnel

if TYPE_CHECKING:
    from pathlib import Path

    from conformance.wire import Peer

MIB = 1 << 20


async def carries(sender: Peer, receiver: Peer, data: bytes) -> None:
    sender.send(data)
    assert await receiver.exactly(len(data)) == data


@pytest.mark.parametrize("size", [5, MIB])
async def test_what_comes_right_behind_a_handshake_is_kept_for_the_tunnel(
    the: Bench, size: int
) -> None:
    """B-50: in one segment with it or not; nothing of it goes up before the 101."""
    early = (b"GET / HTTP/1.1\r\n\r\n" * size)[:size]
    caller = await the.caller()
    caller.send(handshake(body=early))
    upstream = await the.upstream.accept()
    await upstream.head()
    coming = asyncio.create_task(upstream.exactly(1))
    await asyncio.wait({coming}, timeout=0.1)
    assert not coming.done()
    upstream.send(accepted())
    assert await coming + await upstream.exactly(size - 1) == early
    await caller.head()
    await passes_both_ways(caller, upstream)


@pytest.mark.parametrize("size", [4, MIB])
async def test_what_comes_right_behind_the_acceptance_is_delivered(the: Bench, size: int) -> None:
    """Also more of it than a head may have bytes."""
    behind = (b"HTTP/1.1 200 OK\r\n\r\n" * size)[:size]
    caller = await the.caller()
    caller.send(handshake())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(accepted(behind=behind))
    await caller.head()
    assert await caller.exactly(size) == behind
    await passes_both_ways(caller, upstream)


async def test_a_handshake_behind_another_request_waits_its_turn(the: Bench) -> None:
    """RFC 9112 §9.3.2: answers come in order; what is behind it is the tunnel's all the same."""
    caller = await the.caller()
    caller.send(request() + handshake(body=b"early"))
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(OK)
    assert (await caller.answer()).body == b"ok"
    await upstream.head()
    upstream.send(accepted())
    await caller.head()
    assert await upstream.exactly(5) == b"early"
    await passes_both_ways(caller, upstream)


async def test_an_end_right_behind_the_acceptance_is_passed_on(the: Bench) -> None:
    """It may be there before anybody has looked at the 101."""
    caller = await the.caller()
    caller.send(handshake())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(accepted(behind=b"bye"))
    upstream.finish()
    assert (await caller.head()).start.startswith(b"HTTP/1.1 101 ")
    assert await caller.rest() == b"bye"


async def test_an_end_right_behind_a_handshake_is_passed_on(the: Bench) -> None:
    caller = await the.caller()
    caller.send(handshake(body=b"early"))
    caller.writer.write_eof()
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(accepted(behind=b"late"))
    assert await upstream.rest() == b"early"
    upstream.finish()
    assert (await caller.head()).start.startswith(b"HTTP/1.1 101 ")
    assert await caller.rest() == b"late"


async def test_sixteen_mebibytes_go_both_ways_at_once() -> None:
    """B-54: intact, with no limit of ours."""
    async with bench() as the:
        caller, upstream = await opened(the, buffer_bytes=65536)
        up = bytes(range(256)) * (64 * 1024)
        down = up[::-1]
        await asyncio.gather(carries(caller, upstream, up), carries(upstream, caller, down))
        await passes_both_ways(caller, upstream)


async def test_a_socket_file_carries_a_tunnel_too(tmp_path: Path) -> None:
    async with bench(top={"listen": f"unix:{tmp_path}/proxy.sock"}) as the:
        caller, upstream = await opened(the)
        await passes_both_ways(caller, upstream)
        caller.send(b"last")
        caller.finish()
        assert await upstream.rest() == b"last"
        upstream.finish()


@pytest.mark.parametrize("first", ["caller", "upstream"])
async def test_an_end_one_way_leaves_the_other_way_open(the: Bench, first: str) -> None:
    """RFC 9293 §3.6: an end is passed on behind what came before it."""
    caller, upstream = await opened(the)
    one, other = (caller, upstream) if first == "caller" else (upstream, caller)
    last = bytes(MIB)
    one.send(last)
    one.writer.write_eof()
    assert await other.rest() == last
    for _ in range(3):
        await carries(other, one, b"still open")
    assert the.facts.in_flight == 1
    other.finish()
    assert await one.rest() == b""
    await eventually(lambda: the.facts.in_flight == 0, "the tunnel is over")
    await eventually(lambda: the.facts.connections_active == 0, "its connection is let go")


@pytest.mark.parametrize("first", ["caller", "upstream"])
async def test_a_side_that_closes_ends_the_other_in_order(the: Bench, first: str) -> None:
    """B-53: what it said last, a close frame, comes first."""
    caller, upstream = await opened(the)
    one, other = (caller, upstream) if first == "caller" else (upstream, caller)
    one.send(bytes(MIB) + b"last")
    one.finish()
    assert await other.rest() == bytes(MIB) + b"last"
    other.finish()
    await eventually(lambda: the.facts.in_flight == 0, "the tunnel is over")


@pytest.mark.parametrize("first", ["caller", "upstream"])
async def test_a_reset_of_one_side_breaks_the_other_off(the: Bench, first: str) -> None:
    caller, upstream = await opened(the)
    await passes_both_ways(caller, upstream)
    one, other = (caller, upstream) if first == "caller" else (upstream, caller)
    one.abort()
    assert await other.broken_off()
    await eventually(lambda: the.facts.in_flight == 0, "the tunnel is over")


@pytest.mark.parametrize("first", ["caller", "upstream"])
async def test_tls_carries_a_tunnel_and_its_end(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    first: str,
) -> None:
    """TLS knows no end one way: the end of either side is the tunnel's."""
    monkeypatch.setattr(tunnel, "END_SECONDS", 0.5)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with bench(
        url="https://127.0.0.1:UPSTREAM_PORT",
        tls={"ca_file": str(tmp_path / "ca.pem")},
        listening={"ssl": context},
    ) as the:
        caller, upstream = await opened(the)
        data = bytes(range(256)) * 8192
        await asyncio.gather(carries(caller, upstream, data), carries(upstream, caller, data))
        one, other = (caller, upstream) if first == "caller" else (upstream, caller)
        one.send(data)
        one.finish()
        assert await other.rest() == data
        other.finish()
        await eventually(lambda: the.facts.in_flight == 0, "the tunnel is over")
    # The event loop complains there of those who take TLS for TCP.
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_a_tunnel_has_none_of_https_deadlines_and_limits() -> None:
    """B-56: nothing in it is a head, and nobody owes an answer."""
    limits = {"head_seconds": 0.4, "keepalive_seconds": 0.4, "body_bytes_max": 10}
    timeouts = {"response_seconds": 0.4, "idle_seconds": 0.4, "connect_seconds": 0.4}
    async with bench(top={"limits": limits}, timeouts=timeouts, connection_idle_seconds=0.4) as the:
        # A request before it has set a caller's timers going.
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(OK)
        assert (await caller.answer()).status == 200
        caller.send(handshake())
        await upstream.head()
        upstream.send(accepted())
        await caller.head()
        await carries(caller, upstream, b"GET / HT")
        await carries(upstream, caller, b"HTTP/1.1 2")
        await asyncio.sleep(1.0)
        await passes_both_ways(caller, upstream)
        await carries(caller, upstream, bytes(100_000))


async def test_a_tunnel_that_is_idle_is_ended() -> None:
    """B-56: by a limit of its own, for both sides."""
    async with bench(timeouts={"tunnel_idle_seconds": 0.3}) as the:
        caller, upstream = await opened(the)
        await both_have_ended(caller, upstream)
        await eventually(lambda: the.facts.in_flight == 0, "the tunnel is over")


@pytest.mark.parametrize("busy", ["caller", "upstream"])
async def test_a_tunnel_that_is_used_either_way_is_not_idle(busy: str) -> None:
    async with bench(timeouts={"tunnel_idle_seconds": 1.0}) as the:
        caller, upstream = await opened(the)
        one, other = (caller, upstream) if busy == "caller" else (upstream, caller)
        for _ in range(6):
            await asyncio.sleep(0.2)
            await carries(one, other, b"x")
        assert the.facts.in_flight == 1


async def test_an_idle_half_of_a_tunnel_is_ended_as_well() -> None:
    async with bench(timeouts={"tunnel_idle_seconds": 0.6}) as the:
        caller, upstream = await opened(the)
        caller.writer.write_eof()
        assert await upstream.rest() == b""
        await caller.ended()
        await eventually(lambda: the.facts.in_flight == 0, "the tunnel is over")


async def test_a_tunnel_counts_as_a_request_that_takes_its_time(the: Bench) -> None:
    """In flight while it lasts, then one 101 with its time and its bytes either way."""
    caller = await the.caller()
    caller.send(handshake(body=b"early"))
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(accepted(behind=b"at once"))
    await caller.head()
    assert await upstream.exactly(5) + await caller.exactly(7) == b"earlyat once"
    await carries(caller, upstream, bytes(1000))
    await carries(upstream, caller, bytes(100_000))
    assert (the.facts.in_flight, the.facts.connections_active) == (1, 1)
    assert the.facts.requests.get(("GET", 101, "upstream"), 0) == 0
    assert the.events("request") == []
    caller.finish()
    upstream.finish()
    await eventually(lambda: the.facts.in_flight == 0, "the tunnel is over")
    assert the.facts.requests["GET", 101, "upstream"] == 1
    assert sum(the.facts.errors.values()) == 0
    await eventually(lambda: the.events("request"), "the access line")
    (line,) = the.events("request")
    assert (line["path"], line["status"], line["origin"]) == ("/socket", 101, "upstream")
    assert (line["bytes_in"], line["bytes_out"]) == (1005, 100_007)
    assert line["duration_seconds"] > 0


async def test_a_tunnel_holds_one_of_the_upstreams_connections_until_it_ends() -> None:
    async with bench(connections_max=1, timeouts={"connect_seconds": 0.4}) as the:
        caller, upstream = await opened(the)
        other = await the.caller()
        answer = await other.asks(request())
        assert answer.status == 503
        assert b"connections_max" in answer.body
        caller.finish()
        upstream.finish()
        await eventually(lambda: the.facts.connections_active == 0, "its connection is let go")
        other.send(request())
        again = await the.upstream.accept()
        await again.head()
        again.send(OK)
        assert (await other.answer()).status == 200
