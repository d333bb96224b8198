"""An upstream that answers 401 to our token, end to end."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faults.stepped_time import stepped
from faults.token_server import configuration, running, surroundings, token_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from faults.token_server import Guard, Proxy, TokenServer
    from integration.recording_upstream import RecordingUpstream


class Held:
    """A proxy that holds a token of some age, its server and its upstream."""

    def __init__(
        self, proxy: Proxy, server: TokenServer, upstream: RecordingUpstream, guard: Guard
    ) -> None:
        self.proxy = proxy
        self.server = server
        self.upstream = upstream
        self.guard = guard

    def actions(self) -> dict[str, int]:
        facts = self.proxy.app.telemetry.upstreams["api"]
        return {name: times for name, times in facts.unauthorized_actions.items() if times}

    def sent(self) -> list[str]:
        return [token_of(each) for each in self.upstream.requests]


@asynccontextmanager
async def held(*, age_seconds: float = 10, **upstream_keys: Any) -> AsyncIterator[Held]:
    async with (
        surroundings() as (server, upstream, guard),
        running(configuration(server, upstream.url, upstream=upstream_keys), Path()) as proxy,
    ):
        assert await proxy.status() == 200
        await proxy.advance(age_seconds)
        upstream.requests.clear()
        yield Held(proxy, server, upstream, guard)


@stepped
async def test_a_storm_of_401s_costs_one_token_request_and_every_caller_is_served() -> None:
    async with held() as the:
        the.guard.refused.add("token-1")
        answers = await asyncio.gather(*(the.proxy.call() for _ in range(200)))
        assert Counter((status, body) for status, _, body in answers) == {(200, b"token-2"): 200}
        assert len(the.server.requests) == 2
        assert the.actions() == {"renewed_ok": 200}


@stepped
async def test_a_late_401_for_an_old_token_is_sent_again_with_the_one_that_is_held() -> None:
    async with held() as the:
        the.guard.refused.add("token-1")
        late = asyncio.Event()
        answer, first = the.upstream.answer, asyncio.Event()

        async def slow_for_the_first(request: Any, writer: asyncio.StreamWriter) -> None:
            if not first.is_set():
                first.set()
                await late.wait()
            await answer(request, writer)

        the.upstream.answer = slow_for_the_first
        straggler = asyncio.create_task(the.proxy.call())
        await first.wait()
        assert await the.proxy.status() == 200
        late.set()
        assert (await straggler)[2] == b"token-2"
        assert len(the.server.requests) == 2


@stepped
async def test_an_upstream_that_refuses_every_token_costs_one_request_in_thirty_seconds() -> None:
    async with held() as the:
        the.guard.refuses_all = True
        for _ in range(240):
            assert await the.proxy.status() == 401
            await the.proxy.advance(0.5)
        # Two minutes: the first token, and one at 0, 30, 60 and 90 s.
        assert len(the.server.requests) == 5
        assert the.actions() == {"renewed_still_401": 4, "passed": 236}


@stepped
async def test_a_token_younger_than_five_seconds_is_not_dropped() -> None:
    async with held(age_seconds=4) as the:
        the.guard.refuses_all = True
        assert await the.proxy.status() == 401
        assert len(the.server.requests) == 1
        await the.proxy.advance(1.5)
        assert await the.proxy.status() == 401
        assert len(the.server.requests) == 2


@pytest.mark.parametrize(
    ("challenge", "renews"),
    [
        (None, True),
        ('Bearer error="invalid_token"', True),
        ("Bearer", True),
        ('Basic realm="x", Bearer realm="y"', True),
        ('Bearer error="insufficient_scope", scope="admin"', False),
        ('Basic realm="x"', False),
        ("Negotiate", False),
        ("DPoP algs=ES256", False),
    ],
)
def test_a_401_is_renewed_for_only_where_another_token_may_help(
    challenge: str | None, *, renews: bool
) -> None:
    @stepped
    async def run() -> None:
        async with held() as the:
            the.guard.refused.add("token-1")
            the.guard.challenge = challenge
            status, headers, _ = await the.proxy.call()
            assert status == (200 if renews else 401)
            assert len(the.server.requests) == (2 if renews else 1)
            if not renews:
                assert headers["WWW-Authenticate"] == challenge
                assert the.actions() == {"passed": 1}

    run()


@stepped
async def test_pass_lets_every_401_through() -> None:
    async with held(on_unauthorized="pass") as the:
        the.guard.refuses_all = True
        assert await the.proxy.status() == 401
        assert (len(the.server.requests), len(the.upstream.requests)) == (1, 1)
        assert the.actions() == {"passed": 1}


@stepped
async def test_a_body_that_is_held_is_sent_again_whole() -> None:
    async with held() as the:
        the.guard.refused.add("token-1")
        body = bytes(range(256)) * 256
        status, _, _ = await the.proxy.call(method="POST", data=body)
        assert status == 200
        assert [each.body for each in the.upstream.requests] == [body, body]
        assert the.sent() == ["token-1", "token-2"]


@stepped
async def test_a_larger_body_is_not_sent_twice_and_its_401_passes() -> None:
    async with held(replay_body_bytes_max=1000) as the:
        the.guard.refused.add("token-1")
        status, _, _ = await the.proxy.call(method="POST", data=b"x" * 1001)
        assert status == 401
        assert [len(each.body) for each in the.upstream.requests] == [1001]


@stepped
async def test_an_unfinished_body_is_not_sent_twice_and_its_401_passes() -> None:
    async with held() as the:
        finish = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield b"first"
            await finish.wait()
            yield b"last"

        over = asyncio.Event()

        async def refuse_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
            await reader.read()
            writer.close()
            over.set()

        impatient = await asyncio.start_server(refuse_early, "127.0.0.1", 0)
        port = impatient.sockets[0].getsockname()[1]
        config = configuration(the.server, f"http://127.0.0.1:{port}")
        async with impatient, running(config, Path()) as proxy:
            await proxy.advance(10)
            asked = len(the.server.requests)
            status, _, _ = await proxy.call(method="POST", data=body())
            finish.set()
            assert status == 401
            assert len(the.server.requests) == asked
            await over.wait()


@stepped
async def test_when_no_other_token_can_be_had_the_401_passes_and_then_the_error_is_told() -> None:
    async with held() as the:
        the.guard.refused.add("token-1")
        the.server.down = True
        status, headers, body = await the.proxy.call()
        assert (status, body) == (401, b"no")
        assert "Proxy-Status" not in headers
        assert await the.proxy.code() == "authorization_server_unavailable"
        the.server.down = False
        await the.proxy.advance(5)
        assert (await the.proxy.call())[2] == b"token-2"


@stepped
async def test_a_403_passes() -> None:
    async with held() as the:

        async def forbid(_: Any, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        the.upstream.answer = forbid
        assert await the.proxy.status() == 403
        assert len(the.server.requests) == 1
