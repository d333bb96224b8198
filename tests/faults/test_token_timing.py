"""Lifetimes of every length under steady callers: how often it is asked, and who has to wait.

Time is stepped, the token endpoint is real. What callers are given is held against the endpoint's
own record of when each token lapses.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from faults.stepped_time import SteppedLoop, now, stepped
from faults.token_server import Asked, configuration, running, surroundings
from unit.tokens.cache_bench import bench, gaps

from proxy.errors import Fault
from proxy.tokens.lease import LIFETIME_SECONDS_MAX

if TYPE_CHECKING:
    from unit.tokens.cache_bench import Bench

HOUR = 3600
DAY = 86400
YEAR = 31_557_600
LIVES = 5
CALLS_PER_LIFE = 40


async def pass_by(the: Bench, seconds: float) -> None:
    """Let time pass; of days and years not every timer runs, as on a machine that sleeps."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    if seconds > HOUR:
        loop.now += seconds
        # A little more: after years a float of seconds is too coarse for asyncio's own tolerance.
        seconds = the.server.delay_seconds + 0.001
    await the.advance(seconds)


@pytest.mark.parametrize(
    "lifetime", [1, 1.7, 5, 7.77, 20, 59.999, 60, 300, 3600, 30 * DAY, 10 * YEAR, 100 * YEAR]
)
@pytest.mark.parametrize("answers_after", [0.0, 0.1])
@stepped
async def test_a_token_of_any_life_is_renewed_at_three_quarters_and_nobody_waits_but_the_first(
    lifetime: float, answers_after: float
) -> None:
    """T-22, T-23. The endpoint takes up to a tenth of the lifetime to answer."""
    async with bench(lifetime_seconds=lifetime, audience={"idle_seconds": YEAR}) as the:
        the.server.delay_seconds = min(answers_after * lifetime, 2)
        first = asyncio.create_task(the.token())
        await the.advance(the.server.delay_seconds)
        assert await first == "token-1"
        believed = min(lifetime, LIFETIME_SECONDS_MAX)
        step = believed / CALLS_PER_LIFE
        for _ in range(LIVES * CALLS_PER_LIFE):
            await pass_by(the, step)
            asked_at = now()
            assert the.server.expiry[await the.token()] > now() == asked_at
        assert (the.facts.misses, the.facts.joined, the.facts.refused) == (1, 0, 0)
        looked_at = step if step > HOUR else 0.001
        for gap in gaps(the.server):
            assert 0.75 * believed - 0.001 <= gap <= 0.75 * believed + looked_at
        assert the.server.in_flight_max == 1
        assert LIVES <= len(the.server.requests) <= LIVES / 0.75 + 1


@pytest.mark.parametrize("lifetime", [0.01, 0.2, 0.5, 0.6])
@stepped
async def test_tokens_of_half_a_second_cost_no_request_per_call_and_never_lapse_in_use(
    lifetime: float,
) -> None:
    """T-23: nothing is renewed ahead in so short a life without spinning."""
    async with bench(lifetime_seconds=lifetime) as the:
        calls = 1000
        for _ in range(calls):
            assert the.server.expiry[await the.token()] > now()
            await the.advance(lifetime / 20)
        assert min(gaps(the.server)) >= 0.7 * lifetime
        assert len(the.server.requests) <= calls / 14 + 1
        assert the.facts.wait.total == 0


@pytest.mark.parametrize("lifetime", [0.01, 0.5, 1])
@stepped
async def test_the_shortest_lives_do_not_make_us_spin_while_nobody_asks(lifetime: float) -> None:
    async with bench(lifetime_seconds=lifetime, audience={"idle_seconds": 100}) as the:
        await the.token()
        await the.advance(60)
        assert min(gaps(the.server)) >= 0.5
        assert len(the.server.requests) <= 121


@pytest.mark.parametrize("lifetime", [0.5, 3.7, 20, 300])
@stepped
async def test_no_lapsed_token_goes_upstream_whatever_its_life(lifetime: float) -> None:
    async with surroundings(lifetime_seconds=lifetime) as (server, upstream, guard):
        config = configuration(server, upstream.url, audience={"prefetch": False})
        async with running(config, Path()) as proxy:
            for _ in range(60):
                assert await proxy.status() == 200
                await proxy.advance(lifetime / 20)
        assert len(upstream.requests) == 60
        assert guard.lapsed == []
        # Three lives: each renewed at 0.7 to 0.8, or (of half a second) begun anew at its end.
        assert 3 <= len(server.requests) <= 5


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("chance", [0.0, 0.999999])
@stepped
async def test_chance_spreads_renewals_by_a_twentieth_either_way_and_no_further(
    fraction: float, chance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-28, in the whole proxy: its chance is the system's."""
    monkeypatch.setattr("proxy.app.random", SimpleNamespace(random=lambda: chance))
    async with surroundings(lifetime_seconds=100) as (server, upstream, _):
        config = configuration(server, upstream.url, audience={"renew_at": fraction})
        async with running(config, Path()) as proxy:
            await proxy.advance(0)
            await proxy.advance(2.2 * 100 * fraction)
        spread = min(0.05, fraction / 2)
        expected = 100 * (fraction + spread * (2 * chance - 1))
        assert gaps(server)[:1] == pytest.approx([expected], abs=0.01)


@pytest.mark.parametrize(
    ("lifetime", "margin"),
    [(0.5, 0.025), (1, 0.05), (20, 1), (60, 3), (100, 5), (300, 5), (3600, 5), (DAY, 5)],
)
@stepped
async def test_a_token_that_cannot_be_renewed_is_used_to_its_end_less_the_margin(
    lifetime: float, margin: float
) -> None:
    """SPEC §3: the smaller of 5 s and 5 % of the lifetime."""
    audience = {"idle_seconds": YEAR}
    async with bench(lifetime_seconds=lifetime, audience=audience) as the:
        await the.token()
        the.server.down = True
        await the.advance(lifetime - margin - 0.001)
        assert await the.token() == "token-1"
        await the.advance(0.002)
        error = await the.refusal()
        assert error.fault is Fault.AUTHORIZATION_SERVER_UNAVAILABLE
        assert error.retry_after_seconds is not None


class Hoarder:
    """An `answer` of a token server that caches: one token until a tenth of its life is left."""

    def __init__(self, the: Bench, *, says_the_whole_life: bool) -> None:
        self.the = the
        self.says_the_whole_life = says_the_whole_life
        self.tokens = 0

    def __call__(self, asked: Asked) -> bytes:
        server = self.the.server
        token = f"same-{self.tokens}"
        left = server.expiry.get(token, 0) - now()
        if left <= server.lifetime_seconds / 10:
            self.tokens += 1
            return server.grant(asked, token=f"same-{self.tokens}")
        lapses_at = server.expiry[token]
        said = server.lifetime_seconds if self.says_the_whole_life else left
        answer = server.grant(asked, token=token, expires_in=said)
        if not self.says_the_whole_life:
            server.expiry[token] = lapses_at
        return answer


@pytest.mark.parametrize("lifetime", [5, 20, 300, 3600, 30 * DAY])
@pytest.mark.parametrize("says_the_whole_life", [True, False])
@stepped
async def test_the_same_token_back_or_one_no_younger_costs_a_few_requests_a_life(
    lifetime: float,
    *,
    says_the_whole_life: bool,
) -> None:
    """T-22: as instance metadata servers do."""
    async with bench(lifetime_seconds=lifetime) as the:
        the.server.answer = Hoarder(the, says_the_whole_life=says_the_whole_life)
        for _ in range(LIVES * CALLS_PER_LIFE):
            assert the.server.expiry[await the.token()] > now()
            await pass_by(the, lifetime / CALLS_PER_LIFE)
        assert (the.facts.misses, the.facts.joined) == (1, 0)
        assert min(gaps(the.server)) >= 0.94
        assert len(the.server.requests) <= 3 * LIVES + 1


@stepped
async def test_a_token_no_younger_than_the_last_is_asked_for_ever_more_seldom() -> None:
    """The patience doubles, to a minute, and ends when the token lapses."""
    async with bench(lifetime_seconds=1000, audience={"renew_at": 0.001}) as the:
        ends_at = now() + 1000

        def no_younger(asked: Asked) -> bytes:
            return the.server.grant(asked, expires_in=ends_at - now())

        the.server.answer = no_younger
        await the.token()
        await the.advance(700)
        assert gaps(the.server)[:9] == [1, 1, 2, 4, 8, 16, 32, 60, 60]
        assert max(gaps(the.server)) == 60
