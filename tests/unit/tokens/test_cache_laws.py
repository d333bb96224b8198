"""`proxy.tokens.cache`: its laws, over histories that Hypothesis makes up.

The cache is the real one and so is the token endpoint; time is stepped. A history is callers that
come and leave, servers that die, hang, refuse, repeat themselves and return, upstreams that answer
401, and time that passes or has passed in one go. Whatever the history:

- no lapsed token is handed out, by the endpoint's own record of when each lapses;
- at most one token request is in flight, there are never three within half a second, and 401s
  cost at most one in 30 s;
- a rejected token does not come back unless the endpoint grants it anew;
- every caller gets an answer in `wait_seconds_max`, and a token soon after the endpoint is back.
"""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

from faults.stepped_time import SteppedLoop, now
from faults.token_server import Asked, TokenServer, http_answer, refusal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from unit.tokens.cache_bench import ORDERS, bench

from proxy.errors import Fault, ProxyError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from unit.tokens.cache_bench import Bench

    from proxy.model import Token

WAIT_SECONDS_MAX = 15.0
RECOVERY_SECONDS = 61.0
"""The longest pause, a refusal's; the endpoint of these histories names no longer one."""
ILLS = {
    "answers_503": http_answer(b"", status="503 Down", fields=("Retry-After: 7",)),
    "misspeaks": http_answer(b"<html>"),
    "refuses": refusal("invalid_scope"),
}


class Histories(RuleBasedStateMachine):
    """See the module's docstring. Each example has a loop, an endpoint and a cache of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=SteppedLoop)
        self.mood = "grants"
        self.lifetime = 100.0
        self.grants: dict[str, int] = {}
        self.handed_out: list[Token] = []
        self.rejected_after: dict[str, int] = {}
        self.dropped_at = float("-inf")
        self.refusals: list[ProxyError] = []
        self.callers: dict[asyncio.Task[None], float] = {}

    def run(self, what: Coroutine[Any, Any, None]) -> None:
        self.runner.run(what)

    @initialize(prefetch=st.booleans(), renew_at=st.sampled_from([0.05, 0.5, 0.75, 0.95]))
    def begin(self, *, prefetch: bool, renew_at: float) -> None:
        async def begin() -> None:
            audience = {"prefetch": prefetch, "renew_at": renew_at}
            self._bench = bench(audience=audience | {"wait_seconds_max": WAIT_SECONDS_MAX})
            self.the: Bench = await self._bench.__aenter__()
            self.server: TokenServer = self.the.server
            self.server.answer = self._answer
            self.the.cache.start()
            await self.the.advance(0)

        self.run(begin())

    def _answer(self, asked: Asked) -> bytes:
        if self.mood in ILLS:
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

    # What may happen.

    @rule(many=st.sampled_from([1, 1, 3, 20]))
    def callers_come(self, many: int) -> None:
        async def come() -> None:
            for _ in range(many):
                self.callers[asyncio.create_task(self._ask())] = now()
            await self.the.advance(0)

        self.run(come())

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
        leaver = data.draw(st.sampled_from(sorted(self.callers, key=lambda task: task.get_name())))

        async def leave() -> None:
            leaver.cancel()
            await self.the.advance(0)

        self.run(leave())

    @rule(seconds=st.sampled_from([0.1, 0.5, 1, 4, 5.1, 20, 31, 70, 100, 400]))
    def time_passes(self, seconds: float) -> None:
        self.run(self.the.advance(seconds))

    @precondition(lambda self: self.server.expiry)
    @rule(seconds=st.sampled_from([-0.02, 0, 0.001, 0.1]))
    def time_passes_to_the_end_of_the_latest_life(self, seconds: float) -> None:
        async def until() -> None:
            await self.the.advance(max(0, max(self.server.expiry.values()) + seconds - now()))

        self.run(until())

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

    @rule(every=st.sampled_from([2.0, 5.1, 12.0]))
    def an_upstream_answers_401_to_every_token_for_a_while(self, every: float) -> None:
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

    # What must hold.

    @invariant()
    def at_most_one_token_request_is_in_flight(self) -> None:
        if hasattr(self, "the"):
            assert self.the.facts.fetches_in_flight <= 1
            assert self.server.in_flight_max <= 1

    @invariant()
    def there_are_never_three_attempts_within_half_a_second(self) -> None:
        if hasattr(self, "the"):
            attempts = self._attempts()
            for first, third in zip(attempts, attempts[2:], strict=False):
                assert third - first >= 0.5, attempts

    @invariant()
    def whoever_gets_no_token_is_told_when_to_come_back(self) -> None:
        while self.refusals:
            error = self.refusals.pop()
            assert error.fault is not Fault.SHUTTING_DOWN
            assert error.retry_after_seconds is not None

    @invariant()
    def every_caller_gets_an_answer(self) -> None:
        for caller, came_at in list(self.callers.items()):
            if caller.done():
                del self.callers[caller]
                if not caller.cancelled():
                    caller.result()
            else:
                assert self.runner.get_loop().time() < came_at + WAIT_SECONDS_MAX + 0.001

    def teardown(self) -> None:
        async def recover_and_end() -> None:
            try:
                await self._recover()
            finally:
                await self._bench.__aexit__(None, None, None)

        try:
            if hasattr(self, "the"):
                self.run(recover_and_end())
        finally:
            self.runner.close()
            gc.collect(0)

    async def _recover(self) -> None:
        """Make the endpoint well: whoever asks has a token before long, without a restart."""
        self.mood, self.lifetime, self.server.down = "grants", 100.0, False
        self.server.release()
        back_at, given = now(), len(self.handed_out)
        while len(self.handed_out) == given:
            assert now() <= back_at + RECOVERY_SECONDS
            await self.the.advance(0.5)
            await self._ask()
        await self.the.advance(WAIT_SECONDS_MAX)
        for caller in self.callers:
            assert caller.done()


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    # Each is half a second of work, and hours of the stepped clock.
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
