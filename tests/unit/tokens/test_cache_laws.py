"""`proxy.tokens.cache`: its laws, over histories that Hypothesis makes up.

Whatever the history:

- no lapsed token is handed out, by the endpoint's own record of when each lapses;
- at most one token request is in flight; there are never three within half a second, a failed one
  is followed by a pause, and 401s cost at most one in 30 s;
- a rejected token does not come back unless the endpoint grants it anew;
- every caller gets an answer in `wait_seconds_max`, and a token soon after the endpoint is back.
"""

from __future__ import annotations

import itertools

from faults.stepped_time import now
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant
from unit.tokens.histories import WAIT_SECONDS_MAX, Histories

from proxy.errors import Fault

RECOVERY_SECONDS = 61.0
"""The longest pause, a refusal's; the endpoint of these histories names no longer one."""


class Laws(Histories):
    """What must hold after every step, and at the end."""

    @invariant()
    def at_most_one_token_request_is_in_flight(self) -> None:
        if hasattr(self, "the"):
            assert self.the.facts.fetches_in_flight <= 1
            assert self.server.in_flight_max <= 1

    @invariant()
    def a_failed_attempt_is_followed_by_a_pause(self) -> None:
        if hasattr(self, "the"):
            failed = {*self.server.refused_at, *self.ill_at}
            for first, second in itertools.pairwise(self._attempts()):
                assert first not in failed or second - first >= 0.9 - 1e-6, failed

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


TestLaws = Laws.TestCase
TestLaws.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    # To shrink a history takes longer than a test may; one of thirty steps can be read as it is.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
