"""Histories of a token cache, for Hypothesis to make up: all that may happen to one audience.

The cache is the real one and so is the token endpoint; time is stepped. Callers come and leave, a
server dies, hangs, refuses, repeats itself and returns, upstreams answer 401, and time passes, or
has passed in one go. What must hold meanwhile is said in `test_cache_laws.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from faults.stepped_time import SteppedLoop, now
from faults.token_server import Asked, TokenServer, http_answer, refusal
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from unit.tokens.cache_bench import ORDERS, bench

from proxy.errors import ProxyError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from unit.tokens.cache_bench import Bench

    from proxy.model import Token

WAIT_SECONDS_MAX = 15.0
ILLS = {
    "answers_503": http_answer(b"", status="503 Down", fields=("Retry-After: 7",)),
    "misspeaks": http_answer(b"<html>"),
    "refuses": refusal("invalid_scope"),
}


class Histories(RuleBasedStateMachine):
    """What may happen. Each example has a loop, an endpoint and a cache of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=SteppedLoop)
        self.mood = "grants"
        self.lifetime = 100.0
        self.grants: dict[str, int] = {}
        self.handed_out: list[Token] = []
        self.rejected_after: dict[str, int] = {}
        self.ill_at: set[float] = set()
        self.dropped_at = float("-inf")
        self.refusals: list[ProxyError] = []
        self.callers: dict[asyncio.Task[None], float] = {}

    def run(self, what: Coroutine[Any, Any, None]) -> None:
        self.runner.run(what)

    @initialize(
        prefetch=st.booleans(),
        renew_at=st.sampled_from([0.05, 0.5, 0.75, 0.95]),
        timeout_seconds=st.sampled_from([3, 10, 30]),
    )
    def begin(self, *, prefetch: bool, renew_at: float, timeout_seconds: float) -> None:
        self.renew_at = renew_at

        async def begin() -> None:
            audience = {"prefetch": prefetch, "renew_at": renew_at}
            self._bench = bench(
                client={"timeout_seconds": timeout_seconds},
                audience=audience | {"wait_seconds_max": WAIT_SECONDS_MAX},
            )
            self.the: Bench = await self._bench.__aenter__()
            self.server: TokenServer = self.the.server
            self.server.answer = self._answer
            self.the.cache.start()
            await self.the.advance(0)

        self.run(begin())

    def _answer(self, asked: Asked) -> bytes:
        if self.mood in ILLS:
            self.ill_at.add(asked.at)
            return ILLS[self.mood]
        latest = next(reversed(self.server.expiry), None)
        if self.mood == "repeats" and latest is not None and self.server.expiry[latest] > now():
            # The very same token, no younger than it was.
            self.grants[latest] += 1
            left = self.server.expiry[latest] - now()
            answer = {"access_token": latest, "token_type": "Bearer", "expires_in": left}
            return http_answer(answer)
        token = f"token-{len(self.grants) + 1}"
        self.grants[token] = 1
        self.server.lifetime_seconds = self.lifetime
        return self.server.grant(asked, token=token)

    def _attempts(self) -> list[float]:
        return sorted([each.at for each in self.server.requests] + self.server.refused_at)

    @rule(many=st.sampled_from([1, 1, 3, 20]))
    def callers_come(self, many: int) -> None:
        async def come() -> None:
            for _ in range(many):
                self.callers[asyncio.create_task(self._ask())] = now()
            await self.the.advance(0)

        self.run(come())

    @rule(seconds=st.sampled_from([1.0, 6.0]))
    def callers_insist(self, seconds: float) -> None:
        async def insist() -> None:
            for _ in range(round(seconds / 0.2)):
                self.callers[asyncio.create_task(self._ask())] = now()
                await self.the.advance(0.2)

        self.run(insist())

    async def _ask(self) -> None:
        try:
            token = await self.the.cache.token(ORDERS)
        except ProxyError as error:
            self.refusals.append(error)
            return
        name = token.credential.decode().removeprefix("Bearer ")
        assert self.server.expiry[name] > now(), f"{name} has lapsed"
        # Rejected after so many grants of it, it takes one more of them.
        assert self.grants[name] > self.rejected_after.get(name, 0), f"{name} was rejected"
        self.handed_out.append(token)

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def a_caller_leaves(self, data: st.DataObject) -> None:
        leaver = data.draw(st.sampled_from(list(self.callers)))

        async def leave() -> None:
            leaver.cancel()
            await self.the.advance(0)

        self.run(leave())

    @rule(seconds=st.sampled_from([0.1, 0.5, 1, 4, 5.1, 20, 31, 70, 100, 400]))
    def time_passes(self, seconds: float) -> None:
        self.run(self.the.advance(seconds))

    @precondition(lambda self: self.server.expiry)
    @rule(end=st.booleans(), seconds=st.sampled_from([-0.02, 0, 0.001, 0.1]))
    def time_passes_to_the_renewal_or_the_end_of_the_latest_token(
        self, *, end: bool, seconds: float
    ) -> None:
        self.run(self._until(end=end, seconds=seconds))

    @precondition(lambda self: self.server.expiry)
    @rule(end=st.booleans())
    def the_server_hangs_when_it_is_asked_next(self, *, end: bool) -> None:
        self.server.hold()
        self.run(self._until(end=end, seconds=0.1))
        self.callers_come(3)
        self.time_passes(WAIT_SECONDS_MAX + 1)

    async def _until(self, *, end: bool, seconds: float) -> None:
        at = max(self.server.expiry.values())
        if not end:
            at -= self.server.lifetime_seconds * (1 - self.renew_at)
        await self.the.advance(max(0, at + seconds - now()))

    @rule(seconds=st.sampled_from([1, 20, 120, 3600]))
    def the_process_is_stopped(self, seconds: float) -> None:
        async def stop() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SteppedLoop)
            loop.now += seconds
            await self.the.advance(0)

        self.run(stop())

    @rule(mood=st.sampled_from(["grants", "repeats", *ILLS]))
    def the_server_answers_otherwise(self, mood: str) -> None:
        self.mood = mood
        self.server.down = False
        self._release()

    @rule(lifetime=st.sampled_from([1.0, 2.5, 7.0, 30.0, 100.0, 3600.0]))
    def tokens_live_otherwise(self, lifetime: float) -> None:
        self.lifetime = lifetime

    @rule()
    def the_server_dies(self) -> None:
        self.server.down = True

    @rule()
    def the_server_hangs(self) -> None:
        self.server.hold()

    @rule()
    def the_server_answers_again(self) -> None:
        self._release()

    def _release(self) -> None:
        async def release() -> None:
            self.server.release()
            await self.the.advance(0)

        self.run(release())

    @precondition(lambda self: self.handed_out)
    @rule(back=st.integers(1, 3), times=st.sampled_from([1, 5]))
    def an_upstream_answers_401(self, back: int, times: int) -> None:
        token = self.handed_out[-min(back, len(self.handed_out))]
        self.run(self._reject(token, times))

    @precondition(lambda self: self.handed_out)
    @rule()
    def an_upstream_answers_401_while_the_server_is_away(self) -> None:
        self.time_passes(5.1)
        self.server.down = True
        self.an_upstream_answers_401(1, 1)
        self.callers_come(1)

    @rule(every=st.sampled_from([2.0, 5.1, 12.0]))
    def an_upstream_answers_401_to_every_token_for_a_while(self, every: float) -> None:
        self.the_server_answers_otherwise("grants")
        self.lifetime = 100.0

        async def refuse_all() -> None:
            for _ in range(8):
                self.callers[asyncio.create_task(self._ask())] = now()
                await self.the.advance(every)
                if self.handed_out:
                    await self._reject(self.handed_out[-1], 1)

        self.run(refuse_all())

    async def _reject(self, token: Token, times: int) -> None:
        name = token.credential.decode().removeprefix("Bearer ")
        attempts = len(self._attempts())
        for _ in range(times):
            if self.the.cache.reject(ORDERS, token):
                self.rejected_after[name] = self.grants[name]
        await self.the.advance(0)
        if len(self._attempts()) > attempts:
            assert now() >= self.dropped_at + 30, "at most one request in 30 s for 401s"
            self.dropped_at = now()
