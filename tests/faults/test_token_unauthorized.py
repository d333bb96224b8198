"""An upstream that answers 401 to our token, end to end: how often that costs a token request."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from faults.held_token import Held, held
from faults.stepped_time import stepped
from faults.token_server import configuration, running, surroundings
from unit.tokens.cache_bench import gaps

if TYPE_CHECKING:
    from integration.recording_upstream import RecordedRequest

ADMIN = {"admin": {"listen": "127.0.0.1:0"}}


class Dam:
    """Keeps what an upstream answers back, for all requests that came until it `opens`."""

    def __init__(self, the: Held) -> None:
        self._answer = the.upstream.answer
        self._open = asyncio.Event()
        self.waiting = 0
        the.upstream.answer = self._wait

    async def _wait(self, request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        self.waiting += 1
        await self._open.wait()
        await self._answer(request, writer)

    async def holds(self, requests: int) -> None:
        while self.waiting < requests:
            await asyncio.sleep(0)

    def opens(self) -> None:
        self._open.set()


@stepped
async def test_a_storm_of_401s_costs_one_token_request_and_every_caller_is_served() -> None:
    """T-36."""
    async with held() as the:
        the.guard.refused.add("token-1")
        answers = await asyncio.gather(*(the.proxy.call() for _ in range(200)))
        assert Counter((status, body) for status, _, body in answers) == {(200, b"token-2"): 200}
        assert len(the.server.requests) == 2
        assert the.actions() == {"renewed_ok": 200}
        assert Counter(the.sent()) == {"token-1": 200, "token-2": 200}


@stepped
async def test_a_storm_at_an_upstream_that_refuses_every_token_costs_one_request_too() -> None:
    """T-36, T-38: each caller gets its 401, and nobody a third attempt."""
    async with held() as the:
        the.guard.refuses_all = True
        answers = await asyncio.gather(*(the.proxy.call() for _ in range(200)))
        assert Counter((status, body) for status, _, body in answers) == {(401, b"no"): 200}
        assert len(the.server.requests) == 2
        assert the.actions() == {"renewed_still_401": 200}
        assert Counter(the.sent()) == {"token-1": 200, "token-2": 200}


@stepped
async def test_a_storm_during_a_renewal_waits_for_that_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proxy.app.random", SimpleNamespace(random=lambda: 0.5))
    async with held(age_seconds=2695) as the:
        the.guard.refused.add("token-1")
        the.server.hold()
        await the.proxy.advance(6, the.server)
        assert the.server.held == 1
        callers = [asyncio.create_task(the.proxy.call()) for _ in range(50)]
        while the.proxy.facts().waiters < 50:
            await asyncio.sleep(0)
        the.server.release()
        assert {body for _, _, body in await asyncio.gather(*callers)} == {b"token-2"}
        assert len(the.server.requests) == 2


@stepped
async def test_a_late_401_for_an_old_token_is_sent_again_with_the_one_that_is_held() -> None:
    """T-37: the other 401 has brought another token already."""
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


@pytest.mark.parametrize("the_new_one_is_good", [True, False])
@stepped
async def test_late_401s_after_a_renewal_cost_no_token_request_at_all(
    *,
    the_new_one_is_good: bool,
) -> None:
    """T-37: whether or not the upstream takes the new one, it is not dropped for the old one."""
    # That they are late for the timeout, too, is not what this is about.
    timeouts = {"response_seconds": 3600, "idle_seconds": 3600}
    async with held(age_seconds=2500, timeouts=timeouts) as the:
        the.guard.refused.add("token-1")
        the.guard.refuses_all = not the_new_one_is_good
        dam = Dam(the)
        stragglers = [asyncio.create_task(the.proxy.call()) for _ in range(30)]
        await dam.holds(30)
        await the.proxy.advance(400)
        assert the.proxy.facts().fetches["renewal", "success"] == 1
        dam.opens()
        statuses = Counter(status for status, _, _ in await asyncio.gather(*stragglers))
        assert statuses == {200 if the_new_one_is_good else 401: 30}
        assert Counter(the.sent()) == {"token-1": 30, "token-2": 30}
        assert len(the.server.requests) == 2
        came = "renewed_ok" if the_new_one_is_good else "renewed_still_401"
        assert the.actions() == {came: 30}


@stepped
async def test_an_upstream_that_refuses_every_token_costs_one_request_in_thirty_seconds() -> None:
    """T-38, over five minutes; a request goes upstream twice only when there is a new token."""
    async with held() as the:
        the.guard.refuses_all = True
        for _ in range(600):
            assert await the.proxy.status() == 401
            await the.proxy.advance(0.5)
        # The first token, and one at 0, 30, … and 270 s.
        assert len(the.server.requests) == 11
        assert min(gaps(the.server)[1:]) >= 30
        assert the.actions() == {"renewed_still_401": 10, "passed": 590}
        assert len(the.upstream.requests) == 610


@stepped
async def test_two_upstreams_that_refuse_the_token_they_share_cost_no_more_than_one() -> None:
    """SPEC §3 counts by audience."""
    async with surroundings(lifetime_seconds=100) as (server, upstream, guard):
        config = configuration(server, upstream.url, upstream={"match": {"path": "/one"}})
        config["upstreams"]["other"] = config["upstreams"]["api"] | {"match": {"path": "/other"}}
        async with running(config, Path()) as proxy:
            the = Held(proxy, server, upstream, guard)
            guard.refuses_all = True
            for _ in range(300):
                statuses = await asyncio.gather(*(proxy.status(f"/{n}") for n in ("one", "other")))
                assert statuses == [401, 401]
                await proxy.advance(1)
            fetches = proxy.facts().fetches
            # What is granted so often needs no renewal of its own accord besides.
            assert 9 <= fetches["rejected", "success"] <= 10
            assert fetches["renewal", "success"] == 0
            assert the.actions().keys() == {"renewed_still_401", "passed"}
            renewed = the.actions()["renewed_still_401"] + the.actions("other")["renewed_still_401"]
            assert len(upstream.requests) == 600 + renewed <= 620


@stepped
async def test_a_token_younger_than_five_seconds_is_not_dropped() -> None:
    async with held(age_seconds=4) as the:
        the.guard.refuses_all = True
        assert await the.proxy.status() == 401
        assert len(the.server.requests) == 1
        await the.proxy.advance(1.5)
        assert await the.proxy.status() == 401
        assert len(the.server.requests) == 2


@stepped
async def test_pass_lets_every_401_through() -> None:
    async with held(on_unauthorized="pass") as the:
        the.guard.refuses_all = True
        for _ in range(20):
            assert await the.proxy.status() == 401
            await the.proxy.advance(10)
        assert (len(the.server.requests), len(the.upstream.requests)) == (1, 20)
        assert the.actions() == {"passed": 20}


@stepped
async def test_when_no_other_token_can_be_had_the_401_passes_and_then_the_error_is_told() -> None:
    async with held() as the:
        the.guard.refused.add("token-1")
        the.server.down = True
        status, headers, body = await the.proxy.call()
        assert (status, body) == (401, b"no")
        assert "Proxy-Status" not in headers
        assert the.actions() == {"passed": 1}
        assert await the.proxy.code() == "authorization_server_unavailable"
        the.server.down = False
        await the.proxy.advance(5)
        assert (await the.proxy.call())[2] == b"token-2"


@stepped
async def test_when_the_very_token_that_was_refused_is_granted_again_the_401_passes() -> None:
    """It is sent no second time for the same request."""
    async with held() as the:
        the.guard.refused.add("token-1")
        the.server.answer = lambda asked: the.server.grant(asked, token="token-1")
        assert await the.proxy.status() == 401
        assert the.sent() == ["token-1"]
        assert the.actions() == {"passed": 1}


@pytest.mark.parametrize(
    "challenge", [None, 'Bearer error="insufficient_scope"', 'Bearer error="invalid_token"']
)
@stepped
async def test_a_403_passes_whatever_it_says(challenge: str | None) -> None:
    """T-40."""
    async with held() as the:

        async def forbid(_: Any, writer: asyncio.StreamWriter) -> None:
            said = "" if challenge is None else f"WWW-Authenticate: {challenge}\r\n"
            writer.write(f"HTTP/1.1 403 Forbidden\r\n{said}Content-Length: 0\r\n\r\n".encode())

        the.upstream.answer = forbid
        status, headers, _ = await the.proxy.call()
        assert (status, headers.get("WWW-Authenticate")) == (403, challenge)
        assert (len(the.server.requests), len(the.upstream.requests)) == (1, 1)
        assert the.actions() == {}


@stepped
async def test_the_metric_tells_what_came_of_each_401_from_zero_on() -> None:
    async with held(top=ADMIN) as the:
        told = {"renewed_ok": 0, "renewed_still_401": 0, "passed": 0}
        assert await the.told_actions() == told
        the.guard.refused.add("token-1")
        assert await the.proxy.status() == 200
        told["renewed_ok"] += 1
        assert await the.told_actions() == told
        the.guard.refuses_all = True
        assert await the.proxy.status() == 401
        told["passed"] += 1
        assert await the.told_actions() == told
        await the.proxy.advance(31)
        assert await the.proxy.status() == 401
        told["renewed_still_401"] += 1
        assert await the.told_actions() == told
