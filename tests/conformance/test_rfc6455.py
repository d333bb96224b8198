"""RFC 6455 (WebSocket): the opening handshake, and what is none.

What is not accepted, and the tunnel behind what is, have files of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conformance.bench import OK, bench, request
from conformance.handshake import (
    ASKS,
    KEY,
    KEYED,
    PROOF,
    accepted,
    handshake,
    passes_both_ways,
)

if TYPE_CHECKING:
    from conformance.bench import Bench

PLAIN = b"GET /socket HTTP/1.1"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
SETTLED = (
    b"sec-websocket-protocol: chat.v2",
    b"Sec-WebSocket-Protocol: chat.v1",
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
)


@pytest.mark.parametrize(
    "asks",
    [
        ASKS,
        (b"upgrade: WebSocket", b"CONNECTION: keep-alive, UPGRADE"),
        (b"Connection: keep-alive", b"Connection: X-Hop, upgrade", b"Upgrade: websocket"),
        (b"Connection: Upgrade", b"Upgrade: h2c ,\twebsocket"),
        (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: foo/2", b"Upgrade: websocket"),
    ],
)
async def test_an_opening_handshake_goes_on_as_one_with_the_token(asks: tuple[bytes, ...]) -> None:
    """§4.1, §4.2.1 (B-50, B-52): `websocket` alone is asked for, the rest is not ours to settle."""
    async with bench(audience={}) as the:
        caller = await the.caller()
        fields = (*KEYED, *SETTLED, b"Cookie: a=1", b"X-Hop: 1")
        caller.send(request(*asks, *fields, line=PLAIN))
        upstream = await the.upstream.accept()
        head = await upstream.head()
        assert head.start == PLAIN
        assert [each.lower() for each in head.values("Connection")] == [b"upgrade"]
        assert head.values("Upgrade") == [b"websocket"]
        assert head.values("HTTP2-Settings") == []
        named = any(b"X-Hop" in line for line in asks)
        assert head.values("X-Hop") == ([] if named else [b"1"])
        wanted = [*KEYED, *SETTLED, b"Cookie: a=1"]
        assert [line for line in head.lines if line in wanted] == wanted
        assert head.lines[-1] == b"Authorization: Bearer token-1"
        upstream.send(accepted())
        assert (await caller.head()).start == b"HTTP/1.1 101 Switching Protocols"
        await passes_both_ways(caller, upstream)


async def test_the_acceptance_goes_on_as_it_came(the: Bench) -> None:
    """§4.2.2 (B-51, B-52): only what is of one hop goes; `Upgrade` is said anew."""
    caller = await the.caller()
    caller.send(handshake())
    upstream = await the.upstream.accept()
    await upstream.head()
    settled = (
        b"sec-WebSocket-Protocol: chat.v1",
        b"Sec-WebSocket-Extensions: permessage-deflate",
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
        b"X-Odd: caf\xe9",
        b"Sec-WebSocket-Accept: " + PROOF,
    )
    upstream.send(
        b"HTTP/1.1 101 Come In\r\nconnection: keep-alive, X-Hop, upgrade\r\nupgrade: WebSocket\r\n"
        b"Keep-Alive: timeout=5\r\nX-Hop: 1\r\n" + b"\r\n".join([*settled, b"", b""])
    )
    head = await caller.head()
    assert head.start == b"HTTP/1.1 101 Come In"
    assert [line for line in head.lines if line in settled] == list(settled)
    assert [each.lower() for each in head.values("Connection")] == [b"upgrade"]
    assert [each.lower() for each in head.values("Upgrade")] == [b"websocket"]
    assert len(head.lines) == len(settled) + 2
    await passes_both_ways(caller, upstream)


async def test_a_handshake_may_come_byte_by_byte_from_either_side(the: Bench) -> None:
    caller = await the.caller()
    sent = handshake(body=b"up")
    for place in range(len(sent)):
        caller.send(sent[place : place + 1])
        await caller.flush()
    upstream = await the.upstream.accept()
    await upstream.head()
    answer = accepted(behind=b"down")
    for place in range(len(answer)):
        upstream.send(answer[place : place + 1])
        await upstream.flush()
    await caller.head()
    assert await caller.exactly(4) == b"down"
    assert await upstream.exactly(2) == b"up"


async def test_an_interim_answer_comes_before_the_acceptance(the: Bench) -> None:
    """RFC 9110 §15.2: a proxy MUST forward 1xx; the last of them opens the tunnel."""
    caller = await the.caller()
    caller.send(handshake())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + accepted())
    assert (await caller.head()).lines == (b"Link: </a>",)
    assert (await caller.head()).start.startswith(b"HTTP/1.1 101 ")
    await passes_both_ways(caller, upstream)


@pytest.mark.parametrize(
    ("line", "fields", "body"),
    [
        (PLAIN, (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", *KEYED), b""),
        (PLAIN, (b"Connection: Upgrade", b"Upgrade: TLS/1.0", *KEYED), b""),
        (PLAIN, (b"Connection: Upgrade", b"Upgrade: websocket/13", *KEYED), b""),
        (PLAIN, (b"Connection: Upgrade", b"Upgrade: foo, websockets", *KEYED), b""),
        (PLAIN, (b"Upgrade: websocket", *KEYED), b""),
        (PLAIN, (b"Connection: close-upgrade", b"Upgrade: websocket", *KEYED), b""),
        (PLAIN, (b"Connection: Upgrade", *KEYED), b""),
        (PLAIN, (*ASKS, KEYED[1]), b""),
        (PLAIN, (*ASKS, KEYED[1], b"Sec-WebSocket-Key:"), b""),
        (PLAIN, (*ASKS, KEYED[1], b"Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0O"), b""),
        (PLAIN, (*ASKS, KEYED[1], b"Sec-WebSocket-Key: " + KEY.replace(b"A", b"*")), b""),
        (PLAIN, (*ASKS, KEYED[1], KEYED[0], KEYED[0]), b""),
        (PLAIN, (*ASKS, KEYED[0]), b""),
        (PLAIN, (*ASKS, KEYED[0], b"Sec-WebSocket-Version: 8"), b""),
        (PLAIN, (*ASKS, KEYED[0], b"Sec-WebSocket-Version: 13, 8"), b""),
        (PLAIN, (*ASKS, *KEYED, KEYED[1]), b""),
        (PLAIN, (b"Connection: Upgrade, Sec-WebSocket-Key", ASKS[1], *KEYED), b""),
        (b"POST /socket HTTP/1.1", (*ASKS, *KEYED), b""),
        (b"HEAD /socket HTTP/1.1", (*ASKS, *KEYED), b""),
        (b"get /socket HTTP/1.1", (*ASKS, *KEYED), b""),
        (PLAIN, (*ASKS, *KEYED, b"Content-Length: %d" % len(HIDDEN)), HIDDEN),
        (
            PLAIN,
            (*ASKS, *KEYED, b"Transfer-Encoding: chunked"),
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
        ),
        (
            b"POST /socket HTTP/1.1",
            (b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: %d" % len(HIDDEN)),
            HIDDEN,
        ),
    ],
)
async def test_what_is_no_handshake_goes_on_without_its_upgrade(
    the: Bench, line: bytes, fields: tuple[bytes, ...], body: bytes
) -> None:
    """RFC 9110 §7.8 (B-43, B-50): a plain request, its body its own, another right behind it."""
    caller = await the.caller()
    caller.send(request(*fields, line=line, body=body) + request(line=b"GET /next HTTP/1.1"))
    upstream = await the.upstream.accept()
    head = await upstream.head()
    assert head.start == line
    for name in ("Upgrade", "Connection", "HTTP2-Settings"):
        assert head.values(name) == [], name
    assert await upstream.exactly(len(body)) == body
    upstream.send(OK if not line.startswith(b"HEAD") else OK[:-2])
    assert (await caller.answer(to_head=line.startswith(b"HEAD"))).status == 200
    assert (await upstream.head()).start == b"GET /next HTTP/1.1"
    upstream.send(OK)
    assert (await caller.answer()).body == b"ok"
    assert the.upstream.connections == 1


async def test_http_1_0_knows_no_upgrade(the: Bench) -> None:
    """RFC 9110 §7.8: a server MUST ignore `Upgrade` in HTTP/1.0; RFC 6455 §4.1 wants 1.1."""
    caller = await the.caller()
    caller.send(request(*ASKS, *KEYED, line=b"GET /socket HTTP/1.0"))
    upstream = await the.upstream.accept()
    head = await upstream.head()
    assert head.values("Upgrade") == head.values("Connection") == []
    upstream.send(OK)
    assert (await caller.answer()).status == 200
