"""Upstreams and callers that are slow: what is waited for, how long, and who is blamed."""

from __future__ import annotations

import asyncio
import socket

from conformance.bench import OK, bench, eventually, request


async def test_an_upstream_that_does_not_answer_is_timed_out() -> None:
    async with bench(timeouts={"response_seconds": 0.3}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        answer = await caller.answer()
        assert answer.status == 504
        assert b"upstream_timeout" in answer.body
        assert answer.head.values("Proxy-Status") == [b"token-proxy; error=http_response_timeout"]
        await upstream.ended()
        # The caller did nothing wrong.
        caller.send(request())
        again = await the.upstream.accept()
        await again.head()
        again.send(OK)
        assert (await caller.answer()).status == 200


async def test_a_request_that_is_timed_out_on_a_kept_connection_is_not_sent_again() -> None:
    async with bench(timeouts={"response_seconds": 0.3}) as the:
        await the.pass_through(request())
        upstream = the.upstream._peers[0]
        caller = await the.caller()
        caller.send(request())
        await upstream.head()
        assert (await caller.answer()).status == 504
        assert the.upstream.connections == 1


async def test_the_time_to_answer_counts_from_the_requests_end() -> None:
    async with bench(timeouts={"response_seconds": 0.4, "idle_seconds": 20}) as the:
        caller = await the.caller()
        caller.send(request(b"Content-Length: 3", line=b"POST /a HTTP/1.1"))
        upstream = await the.upstream.accept()
        await upstream.head()
        for byte in (b"a", b"b", b"c"):
            await asyncio.sleep(0.25)
            caller.send(byte)
            assert await upstream.exactly(1) == byte
        upstream.send(OK)
        assert (await caller.answer()).status == 200


async def test_a_body_that_comes_to_a_halt_upstream_is_broken_off() -> None:
    async with bench(timeouts={"idle_seconds": 0.3}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        assert (await caller.head()).start == b"HTTP/1.1 200 OK"
        assert await caller.exactly(5) == b"hello"
        assert await caller.broken_off()
        await upstream.ended()
        assert the.facts.errors["upstream_timeout"] == 1


async def test_a_body_that_trickles_is_not_timed_out() -> None:
    async with bench(timeouts={"idle_seconds": 0.5, "response_seconds": 0.3}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for _ in range(6):
            await asyncio.sleep(0.15)
            upstream.send(b"x")
        assert (await caller.answer()).body == b"x" * 6


async def test_a_body_that_comes_to_a_halt_at_the_caller_is_broken_off() -> None:
    async with bench(timeouts={"idle_seconds": 0.3}) as the:
        caller = await the.caller()
        caller.send(request(b"Content-Length: 10", line=b"POST /a HTTP/1.1", body=b"hello"))
        upstream = await the.upstream.accept()
        await upstream.head()
        answer = await caller.answer()
        assert answer.status == 408
        assert answer.head.values("Connection") == [b"close"]
        await upstream.ended()


async def test_an_upstream_that_takes_nothing_of_a_body_is_timed_out() -> None:
    async with bench(timeouts={"idle_seconds": 0.4}, buffer_bytes=1024) as the:
        caller = await the.caller()
        size = 16 << 20
        caller.send(request(b"Content-Length: %d" % size, line=b"POST /a HTTP/1.1"))
        caller.send(bytes(size))
        upstream = await the.upstream.accept()
        assert (await caller.answer()).status == 504
        await upstream.ended()
        assert the.facts.errors["upstream_timeout"] == 1


async def test_a_caller_that_takes_nothing_of_an_answer_is_let_go() -> None:
    async with bench(timeouts={"idle_seconds": 0.4}) as the:
        caller = await the.caller(buffer_bytes=1024)
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        size = 16 << 20
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        await upstream.ended()
        await eventually(lambda: the.facts.in_flight == 0, "the request is given up")


async def test_a_slow_caller_is_not_the_upstreams_fault() -> None:
    # Either side is quiet for less than idle_seconds, both together for longer.
    async with bench(timeouts={"idle_seconds": 1.5}) as the:
        caller = await the.caller(buffer_bytes=1024)
        caller.send(request())
        upstream = await the.upstream.accept()
        await upstream.head()
        size = 16 << 20
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await caller.head()
        await asyncio.sleep(0.9)
        upstream.send(bytes(size))
        await asyncio.sleep(0.9)
        assert len(await caller.exactly(size)) == size


async def test_an_upstream_that_does_not_accept_is_timed_out() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # What the queue holds is not refused, and what it cannot hold is not answered.
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        try:
            async with bench(
                url=f"http://127.0.0.1:{full.getsockname()[1]}", timeouts={"connect_seconds": 0.3}
            ) as the:
                answer = await (await the.caller()).asks(request())
                assert answer.status == 502
                assert b"upstream_unreachable" in answer.body
                assert answer.head.values("Proxy-Status") == [
                    b"token-proxy; error=connection_timeout"
                ]
                assert the.facts.connects["timeout"] == 1
        finally:
            for each in waiting:
                each.close()


async def test_an_upstream_that_is_silent_to_an_expectation_is_timed_out() -> None:
    async with bench(timeouts={"idle_seconds": 0.2, "response_seconds": 0.6}) as the:
        caller = await the.caller()
        caller.send(
            request(b"Expect: 100-continue", b"Content-Length: 4", line=b"POST /a HTTP/1.1")
        )
        upstream = await the.upstream.accept()
        await upstream.head()
        answer = await caller.answer()
        assert answer.status == 504
        assert b"upstream_timeout" in answer.body


async def test_a_caller_that_is_silent_after_100_is_timed_out() -> None:
    async with bench(timeouts={"idle_seconds": 0.4, "response_seconds": 0.8}) as the:
        caller = await the.caller()
        caller.send(
            request(b"Expect: 100-continue", b"Content-Length: 4", line=b"POST /a HTTP/1.1")
        )
        upstream = await the.upstream.accept()
        await upstream.head()
        upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert (await caller.answer()).status == 100
        assert (await caller.answer()).status == 408


async def test_the_upstreams_time_leaves_the_upload_out() -> None:
    async with bench() as the:
        caller = await the.caller()
        caller.send(request(b"Content-Length: 2", line=b"POST /a HTTP/1.1", body=b"a"))
        upstream = await the.upstream.accept()
        await upstream.head()
        await asyncio.sleep(2)
        caller.send(b"b")
        await upstream.exactly(2)
        upstream.send(OK)
        assert (await caller.answer()).status == 200
        await eventually(lambda: the.events("request"), "its line")
        (line,) = the.events("request")
        assert line["upstream_seconds"] < 1 < line["duration_seconds"]
