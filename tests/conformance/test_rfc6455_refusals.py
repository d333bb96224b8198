"""RFC 6455 (WebSocket): handshakes that are not accepted, by the upstream or by us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conformance.bench import OK, bench, request
from conformance.handshake import (
    PROOF,
    accepted,
    both_have_ended,
    handshake,
    opened,
    passes_both_ways,
)

from proxy.tokens import lease

if TYPE_CHECKING:
    from conformance.bench import Bench


async def test_upgrades_can_be_switched_off() -> None:
    """With `upgrades: []` a handshake is a plain request, and a 101 to it nobody's wish (B-16)."""
    async with bench(upgrades=[]) as the:
        caller = await the.caller()
        caller.send(handshake())
        upstream = await the.upstream.accept()
        head = await upstream.head()
        assert head.values("Upgrade") == head.values("Connection") == []
        upstream.send(accepted())
        answer = await caller.answer()
        assert answer.status == 502
        assert b"upstream_misspoke" in answer.body
        await upstream.ended()


@pytest.mark.parametrize(
    "answer",
    [
        accepted().replace(b"websocket", b"foo"),
        accepted().replace(b"websocket", b"websocket, foo"),
        accepted(b"Upgrade: foo"),
        accepted().replace(b"Upgrade: websocket\r\n", b""),
        accepted().replace(b"Connection: Upgrade\r\n", b""),
        accepted().replace(b"HTTP/1.1", b"HTTP/1.0"),
        # No answer to this very handshake (§4.2.2).
        accepted().replace(PROOF, PROOF[::-1]),
        accepted().replace(b"Sec-WebSocket-Accept: " + PROOF + b"\r\n", b""),
    ],
)
async def test_a_switch_to_anything_else_is_a_bad_gateway(the: Bench, answer: bytes) -> None:
    """§4.1, RFC 9110 §15.2.2 (B-16): only what was asked for may be switched to."""
    caller = await the.caller()
    caller.send(handshake())
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(answer + b"\x81\x00")
    refusal = await caller.answer()
    assert refusal.status == 502
    assert b"upstream_misspoke" in refusal.body
    await upstream.ended()
    assert the.facts.errors["upstream_misspoke"] == 1


@pytest.mark.parametrize("status", [b"200", b"302", b"400", b"401", b"403", b"426", b"503"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_refusal_is_passed_on_and_http_goes_on(
    the: Bench, status: bytes, *, chunked: bool
) -> None:
    """§4.2.2, §4.4 (B-51): body and all; what was pipelined behind the handshake is answered."""
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 6"
    body = b"6\r\nnot so\r\n0\r\n\r\n" if chunked else b"not so"
    caller = await the.caller()
    caller.send(handshake(body=request(line=b"GET /next HTTP/1.1")))
    upstream = await the.upstream.accept()
    await upstream.head()
    upstream.send(
        b"HTTP/1.1 %b Reason\r\nSec-WebSocket-Version: 13\r\n%b\r\n\r\n%b" % (status, framing, body)
    )
    answer = await caller.answer()
    assert answer.head.start == b"HTTP/1.1 %b Reason" % status
    assert answer.head.values("Sec-WebSocket-Version") == [b"13"]
    assert answer.head.values("Connection") == []
    assert answer.body == b"not so"
    assert (await upstream.head()).start == b"GET /next HTTP/1.1"
    upstream.send(OK)
    assert (await caller.answer()).body == b"ok"
    caller.send(handshake())
    await upstream.head()
    upstream.send(accepted())
    assert (await caller.head()).start.startswith(b"HTTP/1.1 101 ")
    await passes_both_ways(caller, upstream)


async def test_a_handshake_refused_for_its_token_is_tried_again_with_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What came behind the handshake waits for the one that is accepted."""
    monkeypatch.setattr(lease, "YOUNG_SECONDS", 0.0)
    async with bench(audience={}) as the:
        caller = await the.caller()
        caller.send(handshake(body=b"early"))
        upstream = await the.upstream.accept()
        assert (await upstream.head()).values("Authorization") == [b"Bearer token-1"]
        upstream.send(
            b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n"
        )
        head = await upstream.head()
        assert head.values("Authorization") == [b"Bearer token-2"]
        assert head.values("Upgrade") == [b"websocket"]
        upstream.send(accepted())
        assert (await caller.head()).start.startswith(b"HTTP/1.1 101 ")
        assert await upstream.exactly(5) == b"early"
        await passes_both_ways(caller, upstream)
        assert the.facts.unauthorized_actions["renewed_ok"] == 1


async def test_an_upstream_that_is_down_is_told_of_before_any_101(the: Bench) -> None:
    """B-51: the upstream's handshake first."""
    the.upstream.stop_listening()
    caller = await the.caller()
    answer = await caller.asks(handshake())
    assert answer.status == 502
    assert answer.head.values("Content-Type") == [b"application/problem+json"]
    assert b"upstream_unreachable" in answer.body
    # The caller did nothing wrong.
    assert (await caller.asks(request())).status == 502


async def test_a_handshake_that_is_not_answered_in_time_is_a_timeout() -> None:
    async with bench(timeouts={"response_seconds": 0.2}) as the:
        caller = await the.caller()
        caller.send(handshake())
        upstream = await the.upstream.accept()
        await upstream.head()
        answer = await caller.answer()
        assert answer.status == 504
        assert b"upstream_timeout" in answer.body
        await upstream.ended()


async def test_what_may_not_be_asked_for_may_not_be_tunnelled_to() -> None:
    async with bench(paths=["/open"]) as the:
        caller = await the.caller()
        answer = await caller.asks(handshake())
        assert answer.status == 403
        assert b"not_allowed" in answer.body
        assert the.upstream.connections == 0


async def test_a_caller_that_leaves_during_its_handshake_ends_it_upstream(the: Bench) -> None:
    caller = await the.caller()
    caller.send(handshake())
    upstream = await the.upstream.accept()
    await upstream.head()
    caller.abort()
    await upstream.ended()


async def test_plain_requests_and_a_handshake_share_a_connection(the: Bench) -> None:
    """And afterwards neither connection is HTTP's any more."""
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
    await passes_both_ways(caller, upstream)
    caller.finish()
    upstream.finish()
    await both_have_ended(caller, upstream)
    await opened(the)
    assert the.upstream.connections == 2
