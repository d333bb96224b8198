"""`proxy.tokens.cache`: renewal ahead of the end, and backing off when it fails."""

from __future__ import annotations

import asyncio

import pytest
from faults.stepped_time import now, stepped
from faults.token_server import Asked, http_answer, refusal
from unit.tokens.cache_bench import bench, gaps

from proxy.errors import Fault, ProxyError


@stepped
async def test_a_token_is_renewed_in_the_background_ahead_of_its_end() -> None:
    async with bench() as the:
        await the.token()
        await the.advance(74)
        assert len(the.server.requests) == 1
        the.server.hold()
        await the.advance(2)
        assert [await the.token() for _ in range(3)] == ["token-1"] * 3
        assert (the.facts.stale, the.facts.waiters) == (3, 0)
        the.server.release()
        await the.advance(0)
        assert await the.token() == "token-2"
        assert the.facts.fetches["miss", "success"] == 1
        assert the.facts.fetches["renewal", "success"] == 1
        assert the.facts.misses == 1


@stepped
async def test_tokens_of_five_seconds_are_renewed_without_a_wait_or_a_lapse() -> None:
    async with bench(lifetime_seconds=5) as the:
        await the.token()
        for _ in range(900):
            await the.advance(1)
            assert the.server.expiry[await the.token()] > now()
        assert the.facts.misses == 1
        assert the.facts.joined == the.facts.refused == 0
        assert set(gaps(the.server)) == {3.75}


@stepped
async def test_a_lifetime_counts_from_when_the_token_was_asked_for() -> None:
    async with bench(lifetime_seconds=10, audience={"renew_at": 0.9}) as the:
        the.server.delay_seconds = 4
        caller = asyncio.create_task(the.token())
        await the.advance(4)
        assert await caller == "token-1"
        the.server.hold()
        await the.advance(5.4)
        assert await the.token() == "token-1"
        await the.advance(0.2)
        waiting = asyncio.create_task(the.token())
        await the.advance(0)
        assert not waiting.done()
        the.server.delay_seconds = 0
        the.server.release()
        await the.advance(4)
        assert await waiting == "token-2"


@stepped
async def test_a_token_whose_life_was_over_before_it_came_is_not_used() -> None:
    async with bench(lifetime_seconds=3) as the:
        the.server.delay_seconds = 5
        caller = asyncio.create_task(the.refusal())
        await the.advance(6)
        assert caller.result().fault is Fault.AUTHORIZATION_SERVER_UNAVAILABLE
        assert the.facts.fetches["miss", "timeout"] == 1


@stepped
async def test_the_same_token_again_is_not_asked_for_at_once() -> None:
    async with bench(lifetime_seconds=1000) as the:
        ends_at = now() + 1000

        def again(asked: Asked) -> bytes:
            return the.server.grant(asked, token="same", expires_in=int(ends_at - now()))

        the.server.answer = again
        await the.token()
        await the.advance(993)
        assert await the.token() == "same"
        assert min(gaps(the.server)) >= 1
        assert len(the.server.requests) < 10


@stepped
async def test_a_renewal_in_trouble_backs_off_and_the_old_token_serves_to_its_end() -> None:
    async with bench(lifetime_seconds=400) as the:
        await the.token()
        await the.advance(299)
        the.server.down = True
        while now() < the.server.expiry["token-1"] - 6.1:
            await the.advance(1)
            assert await the.token() == "token-1"
        # The delays of SPEC §3 less their jitter: callers do not shorten them meanwhile.
        assert gaps(the.server)[1:6] == [0.94, 1.88, 3.76, 7.52, 15.04]
        await the.advance(1.2)
        error = await the.refusal()
        assert (error.fault, error.status) == (Fault.AUTHORIZATION_SERVER_UNAVAILABLE, 503)
        lives = [each.get("live_for_seconds") for each in the.events("token_fetch_failed")]
        assert lives[0] == pytest.approx(95)
        assert lives[-1] is None


@stepped
async def test_beyond_the_tokens_end_callers_learn_it_at_once_and_no_storm_begins() -> None:
    async with bench() as the:
        the.server.down = True
        await the.refusal()
        tries = len(the.server.refused_at)
        began = now()
        for _ in range(400):
            await the.advance(0.1)
            asked_at = now()
            error = await the.refusal()
            assert now() == asked_at
            assert error.retry_after_seconds is not None
            assert 0 <= error.retry_after_seconds <= 5
        assert now() - began == pytest.approx(40)
        assert len(the.server.refused_at) - tries <= 11
        assert max(gaps(the.server)) <= 5


@stepped
async def test_recovery_takes_no_longer_than_five_seconds_after_a_long_outage() -> None:
    async with bench() as the:
        await the.token()
        the.server.down = True
        for _ in range(500):
            await the.advance(4.9)
            if now() > the.server.expiry["token-1"]:
                await the.refusal()
        the.server.down = False
        back_at = now()
        while True:
            try:
                await the.token()
                break
            except ProxyError:
                await the.advance(0.25)
        assert now() - back_at <= 5
        assert the.facts.consecutive_failures == 0


@stepped
async def test_nobody_asking_an_outage_is_tried_once_a_minute_and_ends_by_itself() -> None:
    async with bench() as the:
        await the.token()
        the.server.down = True
        await the.advance(1000)
        assert gaps(the.server)[-3:] == [56.4, 56.4, 56.4]
        the.server.down = False
        await the.advance(60)
        assert (await the.token(), the.facts.misses) == ("token-2", 1)


@stepped
async def test_before_a_first_token_it_is_tried_every_five_seconds_without_anybody_asking() -> None:
    async with bench(audience={"prefetch": True}) as the:
        the.server.down = True
        the.cache.start()
        await the.advance(60)
        assert gaps(the.server) == [0.94, 1.88, 3.76, *[4.7] * (len(the.server.refused_at) - 4)]
        assert the.facts.fetches["start", "unavailable"] == len(the.server.refused_at)


@stepped
async def test_retry_after_of_the_server_is_kept_to() -> None:
    async with bench() as the:
        busy = http_answer(b"", status="503 Busy", fields=("Retry-After: 120",))
        the.server.answer = lambda _: busy
        error = await the.refusal()
        assert error.retry_after_seconds == pytest.approx(123)
        await the.advance(119)
        assert (await the.refusal()).retry_after_seconds == pytest.approx(4)
        assert len(the.server.requests) == 1
        await the.advance(5)
        assert len(the.server.requests) == 2


@stepped
async def test_a_refusal_stays_visible_by_its_own_code_with_retry_after() -> None:
    async with bench() as the:
        the.server.answer = lambda _: refusal("invalid_scope", error_description="CANARY")
        for _ in range(20):
            error = await the.refusal()
            assert (error.fault, error.status) == (Fault.GRANT_REFUSED, 502)
            assert error.retry_after_seconds is not None
            assert error.retry_after_seconds > 0
            assert "CANARY" not in error.detail
            await the.advance(0.4)
        assert len(the.server.requests) == 1
        (told,) = the.events("token_fetch_failed")
        assert "CANARY" in told["detail"]
        await the.advance(60)
        assert gaps(the.server) == [9.4, 18.8, 37.6][: len(gaps(the.server))]


@stepped
async def test_tokens_of_a_moment_cost_no_request_per_call() -> None:
    async with bench(lifetime_seconds=0.2) as the:
        for _ in range(1000):
            await the.token()
            await the.advance(0.01)
        assert len(the.server.requests) <= 60


@stepped
async def test_the_log_says_when_the_next_attempt_is_made_of_our_own_accord() -> None:
    async with bench() as the:
        await the.token()
        the.server.down = True
        await the.advance(110)
        last = the.events("token_fetch_failed")[-1]
        assert "live_for_seconds" not in last
        tried_at = the.server.refused_at[-1]
        await the.advance(60)
        following = next(at for at in the.server.refused_at if at > tried_at)
        assert last["retry_in_seconds"] == pytest.approx(following - tried_at)
        assert last["retry_in_seconds"] > 5


@stepped
async def test_the_retry_after_of_a_refusal_is_honoured_too() -> None:
    async with bench() as the:
        the.server.answer = lambda _: http_answer(
            {"error": "slow_down"}, status="403 Forbidden", fields=("Retry-After: 40",)
        )
        await the.refusal()
        await the.advance(39)
        assert len(the.server.requests) == 1
        await the.advance(5)
        assert len(the.server.requests) == 2


@stepped
async def test_what_somebody_waits_for_is_not_idle_however_long_it_takes() -> None:
    async with bench(audience={"idle_seconds": 2}) as the:
        the.server.delay_seconds = 4
        caller = asyncio.create_task(the.token())
        await the.advance(4)
        assert await caller == "token-1"
        assert len(the.server.requests) == 1
        await the.advance(3)
        assert the.facts.state == "idle"
