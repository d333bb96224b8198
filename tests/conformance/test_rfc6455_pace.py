"""Tunnels whose one side does not read: the other is stopped, and memory stays bounded."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trustme
from conformance.bench import Bench, bench, eventually
from conformance.handshake import accepted, both_have_ended, handshake, opened

from proxy.forwarding import caller_connection, tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conformance.wire import Peer

MIB = 1 << 20
HELD_BYTES_MAX = 24 * MIB
"""What the kernel's own buffers of four sockets may come to, and what is ours beside them."""
PIECE = bytes(range(256)) * 4096


@contextmanager
def silent_caller(the: Bench) -> Iterator[socket.socket]:
    """Give a caller's socket that nothing reads from, its handshake sent."""
    host, _, port = the.host.rpartition(":")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.connect((host, int(port)))
        sock.setblocking(False)
        sock.sendall(handshake())
        yield sock


async def pushed_until_stopped(sender: Peer) -> int:
    """Send until nothing more is taken for a while; return how many bytes were."""
    sent = still = 0
    while still < 25 and sent <= HELD_BYTES_MAX:
        if sender.writer.transport.get_write_buffer_size() == 0:  # type: ignore[attr-defined]
            sender.send(PIECE)
            sent += len(PIECE)
            still = 0
        await asyncio.sleep(0.02)
        still += 1
    return sent


async def test_an_upstream_that_does_not_read_stops_its_caller(the: Bench) -> None:
    """B-65: and gets all of it when it does."""
    caller, upstream = await opened(the)
    upstream.writer.transport.pause_reading()  # type: ignore[attr-defined]
    sent = await pushed_until_stopped(caller)
    assert MIB <= sent <= HELD_BYTES_MAX
    upstream.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(sent // len(PIECE)):
        assert await upstream.exactly(len(PIECE)) == PIECE


async def test_a_caller_that_does_not_read_stops_its_upstream(the: Bench) -> None:
    """B-65: the same the other way, while the first way goes on."""
    caller, upstream = await opened(the)
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
    sent = await pushed_until_stopped(upstream)
    assert MIB <= sent <= HELD_BYTES_MAX
    caller.send(b"I am here")
    assert await upstream.exactly(9) == b"I am here"
    caller.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(sent // len(PIECE)):
        assert await caller.exactly(len(PIECE)) == PIECE


async def test_what_comes_before_the_acceptance_is_bounded(the: Bench) -> None:
    """A caller that sends before it may is stopped like any other; nothing of it is lost."""
    caller = await the.caller()
    caller.send(handshake())
    upstream = await the.upstream.accept()
    await upstream.head()
    sent = await pushed_until_stopped(caller)
    assert sent <= HELD_BYTES_MAX
    upstream.send(accepted())
    await caller.head()
    for _ in range(sent // len(PIECE)):
        assert await upstream.exactly(len(PIECE)) == PIECE


async def test_an_idle_tunnel_ends_though_one_side_takes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B-56: what is written and not taken does not keep it."""
    monkeypatch.setattr(tunnel, "END_SECONDS", 0.3)
    async with bench(timeouts={"tunnel_idle_seconds": 0.5}) as the:
        with silent_caller(the) as sock:
            upstream = await the.upstream.accept()
            await upstream.head()
            upstream.send(accepted(behind=PIECE * (2 * HELD_BYTES_MAX // len(PIECE))))
            await upstream.ended()
            await eventually(lambda: the.facts.in_flight == 0, "the tunnel is over")
            server = the.app._gateway.server
            await eventually(lambda: server.connections_open == 0, "the caller is let go")
            assert sock.fileno() >= 0


@pytest.mark.parametrize("first", ["caller", "upstream"])
async def test_an_end_behind_bytes_that_are_not_taken_waits_for_them(
    the: Bench, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """A side that has said all it had may go; the other still gets it, at its own pace."""
    monkeypatch.setattr(caller_connection, "LOOK_AFTER_SECONDS", 0.05)
    caller, upstream = await opened(the)
    one, other = (caller, upstream) if first == "caller" else (upstream, caller)
    other.writer.transport.pause_reading()  # type: ignore[attr-defined]
    sent = await pushed_until_stopped(one)
    one.finish()
    await asyncio.sleep(0.2)
    other.writer.transport.resume_reading()  # type: ignore[attr-defined]
    came = 0
    with contextlib.suppress(asyncio.IncompleteReadError):
        # Up to the end; what is compared is how much came before it.
        while came < sent:
            came += len(await other.exactly(len(PIECE)))
    assert came == sent
    other.finish()
    await both_have_ended(caller, upstream)


async def test_a_slow_caller_gets_everything_of_an_upstream_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one that takes nothing at all is broken off (B-65)."""
    monkeypatch.setattr(tunnel, "END_SECONDS", 0.3)
    loop = asyncio.get_running_loop()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with bench(
        url="https://127.0.0.1:UPSTREAM_PORT",
        tls={"ca_file": str(tmp_path / "ca.pem")},
        listening={"ssl": context},
    ) as the:
        with silent_caller(the) as sock:
            upstream = await the.upstream.accept()
            await upstream.head()
            wanted = len(PIECE) * 6
            upstream.send(accepted(behind=PIECE * 6))
            upstream.writer.close()
            came = b""
            while not came.endswith(b"\r\n\r\n"):
                came += await loop.sock_recv(sock, 1)
            read = 0
            while read < wanted:
                slow = read > wanted - 4 * MIB
                data = await loop.sock_recv(sock, 65536 if slow else MIB)
                assert data, "the end came too early"
                read += len(data)
                if slow:
                    await asyncio.sleep(0.05)
            assert read == wanted
            assert await loop.sock_recv(sock, 1) == b""
