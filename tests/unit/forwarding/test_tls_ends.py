"""How a TLS connection ends: properly or not, by them or by us, and what was said before."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
import trustme
from conformance.bench import eventually
from conformance.wire import PATIENCE_SECONDS
from unit.forwarding.tls_far_end import reset, tls_to

from proxy.forwarding import tls_transport
from proxy.forwarding.backlog import untaken_bytes
from proxy.forwarding.reset import reset as reset_by_us

if TYPE_CHECKING:
    from collections.abc import Callable


LARGE = random.Random(1).randbytes(1 << 20) * 16
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def swallow(tls: ssl.SSLSocket, into: list[bytes | OSError]) -> None:
    """Read to the end; note what came, then how it ended: b"" is close_notify."""
    try:
        while data := tls.recv(65536):
            into.append(data)
        into.append(b"")
    except ssl.SSLZeroReturnError:
        into.append(b"")  # So it is called where one's own went first.
    except OSError as error:
        into.append(error)


async def heard(until: Callable[[], object]) -> None:
    await eventually(until, "the other side said it")


def ends_properly(tls: ssl.SSLSocket) -> None:
    tls.unwrap()


def ends_barely(tls: ssl.SSLSocket) -> None:
    tls.shutdown(socket.SHUT_WR)
    swallow(tls, [])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize(
    ("end", "error", "events"),
    [
        (ends_properly, None, ["made", "eof", "lost"]),
        (ends_barely, ConnectionResetError, ["made", "lost"]),
        (reset, ConnectionResetError, ["made", "lost"]),
    ],
)
async def test_only_close_notify_is_a_proper_end(
    authority: trustme.CA,
    version: ssl.TLSVersion,
    end: Callable[[ssl.SSLSocket], None],
    error: type[Exception] | None,
    events: list[str],
    *,
    paused: bool,
) -> None:
    """RFC 8446 §6.1: without close_notify anybody on the way may have cut it."""
    go = threading.Event()

    def serve(tls: ssl.SSLSocket) -> None:
        tls.recv(100)
        tls.sendall(b"part")
        go.wait(PATIENCE_SECONDS)
        end(tls)

    async with tls_to(authority, serve, version=version) as (transport, told):
        transport.write(b"request")
        await heard(lambda: told.received == b"part")
        if paused:
            transport.pause_reading()
            go.set()
            await asyncio.sleep(0.05)
            assert told.events == ["made"]
            transport.resume_reading()
        go.set()
        await told.gone()
        assert told.events == events
        assert told.error is None if error is None else type(told.error) is error
        assert transport.is_closing()
        transport.write(b"into nothing")
        assert untaken_bytes(transport) == 0


@pytest.mark.parametrize("size", [5, 16384, 60_000])
@pytest.mark.parametrize("pause", [False, True])
async def test_a_reset_right_behind_an_answer_costs_neither(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, size: int, *, pause: bool
) -> None:
    """The loop (uvloop) tells once of a socket with an error, and never again."""
    monkeypatch.setattr(tls_transport, "TURN_BYTES_MAX", 16384)
    gone = threading.Event()

    def serve(tls: ssl.SSLSocket) -> None:
        tls.recv(100)
        tls.sendall(b"a" * size)
        reset(tls)
        gone.set()

    async with tls_to(authority, serve) as (transport, told):
        transport.write(b"request")
        if pause:
            transport.pause_reading()
        # The loop must find both there at once.
        assert gone.wait(PATIENCE_SECONDS)
        if pause:
            await asyncio.sleep(0.01)
            assert told.received == b""
            transport.resume_reading()
        await told.gone()
        assert bytes(told.received) == b"a" * size
        assert isinstance(told.error, ConnectionResetError)


@pytest.mark.parametrize("then_reset", [False, True])
async def test_an_end_seen_while_paused_is_told_afterwards(
    authority: trustme.CA, *, then_reset: bool
) -> None:
    """What is read in one go with the data wakes nobody again."""
    said, heard_of_it = threading.Event(), threading.Event()

    def serve(tls: ssl.SSLSocket) -> None:
        tls.recv(100)
        tls.sendall(b"a" * 16384)
        tls.settimeout(0)
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()  # The connection itself stays open.
        said.set()
        heard_of_it.wait(PATIENCE_SECONDS)
        if then_reset:
            reset(tls)

    async with tls_to(authority, serve) as (transport, told):
        take = told.data_received

        def take_and_pause(data: bytes) -> None:
            take(data)
            transport.pause_reading()

        told.data_received = take_and_pause  # type: ignore[method-assign]
        transport.write(b"request")
        assert said.wait(PATIENCE_SECONDS)
        await heard(lambda: told.received)
        if then_reset:
            heard_of_it.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not transport.is_closing():
                    transport.write(b"anybody there?")
                    await asyncio.sleep(0)
        assert told.events == ["made"]
        transport.resume_reading()
        await told.gone()
        heard_of_it.set()
        assert told.events == ["made", "eof", "lost"]
        assert told.error is None


async def test_an_early_answer_to_an_upload_is_read_though_the_upload_breaks(
    authority: trustme.CA,
) -> None:
    def serve(tls: ssl.SSLSocket) -> None:
        tls.recv(100)
        tls.sendall(b"too large")
        reset(tls)

    async with tls_to(authority, serve, buffer_bytes=65536) as (transport, told):
        transport.pause_reading()
        for _ in range(64):
            transport.write(LARGE[:65536])
        async with asyncio.timeout(PATIENCE_SECONDS):
            await told.may_write.wait()
        assert transport.is_closing()
        assert transport.get_write_buffer_size() == 0
        transport.resume_reading()
        await told.gone()
        assert told.received == b"too large"
        assert isinstance(told.error, OSError)


async def test_closing_sends_what_waits_and_close_notify_behind_it(
    authority: trustme.CA,
) -> None:
    go, came = threading.Event(), []

    def serve(tls: ssl.SSLSocket) -> None:
        go.wait(PATIENCE_SECONDS)
        swallow(tls, came)

    async with tls_to(authority, serve, buffer_bytes=65536) as (transport, told):
        transport.write(LARGE)
        transport.close()
        transport.close()
        transport.write(b"too late")
        assert transport.is_closing()
        go.set()
        await told.gone()
        assert told.error is None
        assert "eof" not in told.events
    assert came.pop() == b""
    assert b"".join(came) == LARGE


@pytest.mark.parametrize("takes_it", [True, False])
async def test_what_waits_is_sent_to_a_peer_that_ended_first(
    authority: trustme.CA, *, takes_it: bool
) -> None:
    """RFC 8446 §6.1: its end says nothing of ours. A slow peer is no deaf one."""
    go, ended = threading.Event(), threading.Event()
    came: list[bytes | OSError] = []

    def serve(tls: ssl.SSLSocket) -> None:
        tls.recv(100)
        tls.settimeout(0)
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        ended.set()
        tls.settimeout(PATIENCE_SECONDS)
        go.wait(PATIENCE_SECONDS)
        if takes_it:
            swallow(tls, came)
        else:
            reset(tls)

    async with tls_to(authority, serve, buffer_bytes=65536) as (transport, told):
        transport.write(b"request")
        # The loop must not hear of the end before there is something to send.
        assert ended.wait(PATIENCE_SECONDS)
        transport.write(LARGE)
        await heard(transport.is_closing)
        # As its timer would, after a time in which the peer took a byte.
        transport._give_time(transport.get_write_buffer_size() + 1)
        go.set()
        await told.gone()
        assert [event for event in told.events if event in {"eof", "lost"}] == ["eof", "lost"]
        assert told.error is None
    if takes_it:
        assert came.pop() == b""
        assert b"".join(came) == LARGE


async def test_closing_waits_for_a_peer_that_takes_nothing_only_so_long(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_transport, "CLOSE_SECONDS", 0.05)
    go = threading.Event()
    async with tls_to(authority, lambda _: go.wait(PATIENCE_SECONDS) and None) as (transport, told):
        transport.write(LARGE)
        transport.close()
        await told.gone()
        go.set()


@pytest.mark.parametrize("by_reset", [False, True])
async def test_breaking_off_is_never_a_proper_end(authority: trustme.CA, *, by_reset: bool) -> None:
    ends: list[str] = []

    def serve(tls: ssl.SSLSocket) -> None:
        tls.recv(100)
        with socket.socket(fileno=tls.detach()) as bare:
            bare.settimeout(PATIENCE_SECONDS)
            try:
                ends.append(f"{len(bare.recv(100))} bytes more")
            except ConnectionResetError:
                ends.append("reset")

    async with tls_to(authority, serve) as (transport, told):
        transport.write(b"half")
        await asyncio.sleep(0.01)
        if by_reset:
            reset_by_us(transport)
        else:
            transport.abort()
        transport.abort()
        assert "lost" not in told.events
        await told.gone()
        assert told.error is None
    assert ends == ["reset" if by_reset else "0 bytes more"]
