"""A server that fails or refuses: how often it is asked, attempt by attempt, and its `Retry-After`.

Time is stepped, the token endpoint is real; whatever is said of a delay holds for every chance.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from faults.stepped_time import now, stepped
from faults.token_server import http_answer, refusal
from unit.tokens.cache_bench import WALL_AT_START, bench, gaps

from proxy.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.token_server import TokenServer
    from unit.tokens.cache_bench import Bench

CHANCES = [0.0, 0.5, 0.999999]
JITTER_MAX = 0.15
"""SPEC §3 names the delays; jitter only shortens them, and not by much."""

TROUBLE = [1, 2, 4, 8, 16, 32, 60, 60, 60]
WANTED = [1, 2, 4, 5, 5, 5]
REFUSALS = [10, 20, 40, 60, 60]


def resets(server: TokenServer) -> None:
    server.down = True


def answers_503(server: TokenServer) -> None:
    server.answer = lambda _: http_answer(b"", status="503 Down")


def answers_429(server: TokenServer) -> None:
    server.answer = lambda _: refusal("slow_down", status="429 Slower")


def misspeaks(server: TokenServer) -> None:
    server.answer = lambda _: http_answer(b"<html>")


def refuses(server: TokenServer) -> None:
    server.answer = lambda _: refusal("invalid_scope")


Trouble = pytest.mark.parametrize("trouble", [resets, answers_503, answers_429, misspeaks])


def let_chance_be(the: Bench, chance: float) -> None:
    the.cache.keeper.chance = lambda: chance


def attempts(server: TokenServer) -> list[float]:
    return sorted([each.at for each in server.requests] + server.refused_at)


def keeps_to(found: list[float], nominal: list[int]) -> bool:
    """Whether each delay is the one that SPEC §3 names, less some jitter."""
    return len(found) >= len(nominal) and all(
        (1 - JITTER_MAX) * named <= gap <= named for gap, named in zip(found, nominal, strict=False)
    )


async def insist(the: Bench, seconds: float, *, every: float = 0.1) -> list[Fault]:
    """Ask for `seconds`; return what was told each time. Nobody may be made to wait for it."""
    told = []
    for _ in range(round(seconds / every)):
        asked_at = now()
        error = await the.refusal()
        assert now() == asked_at
        assert error.retry_after_seconds is not None
        told.append(error.fault)
        await the.advance(every)
    return told


@Trouble
@pytest.mark.parametrize("chance", CHANCES)
@stepped
async def test_while_the_old_token_lives_attempts_double_from_a_second_to_a_minute(
    trouble: Callable[[TokenServer], None], chance: float
) -> None:
    async with bench(lifetime_seconds=3600) as the:
        await the.token()
        await the.advance(2700 - 1)
        let_chance_be(the, chance)
        trouble(the.server)
        for _ in range(300):
            await the.advance(1)
            assert await the.token() == "token-1"
        assert keeps_to(gaps(the.server)[1:], TROUBLE)
        assert the.facts.joined == the.facts.refused == 0


@Trouble
@pytest.mark.parametrize("chance", CHANCES)
@stepped
async def test_without_a_token_they_double_from_a_second_to_five(
    trouble: Callable[[TokenServer], None], chance: float
) -> None:
    """R-06: at most fifteen in the first minute."""
    async with bench() as the:
        let_chance_be(the, chance)
        trouble(the.server)
        told = await insist(the, 60)
        assert len(set(told)) == 1
        assert keeps_to(gaps(the.server), WANTED)
        began_at = attempts(the.server)[0]
        assert 12 <= sum(at < began_at + 60 for at in attempts(the.server)) <= 15


@pytest.mark.parametrize("chance", CHANCES)
@stepped
async def test_nobody_asking_the_first_minute_of_a_cold_outage_has_fifteen_attempts_at_most(
    chance: float,
) -> None:
    """R-06. Exactly the named delays, as nobody's asking decides when."""
    async with bench(audience={"prefetch": True}) as the:
        let_chance_be(the, chance)
        the.server.down = True
        the.cache.start()
        await the.advance(60)
        assert keeps_to(gaps(the.server), WANTED)
        assert 12 <= len(the.server.refused_at) <= 15


@Trouble
@pytest.mark.parametrize("chance", CHANCES)
@stepped
async def test_once_the_token_has_lapsed_and_somebody_asks_they_are_five_seconds_apart(
    trouble: Callable[[TokenServer], None], chance: float
) -> None:
    async with bench(lifetime_seconds=1000) as the:
        await the.token()
        let_chance_be(the, chance)
        trouble(the.server)
        await the.advance(996)
        lapsed_at = now()
        tries = len(attempts(the.server))
        await insist(the, 60)
        since = [at for at in attempts(the.server) if at >= lapsed_at]
        assert since[0] - lapsed_at <= 5
        assert keeps_to([b - a - 0.1 for a, b in itertools.pairwise(since)], [5] * 10)
        assert len(attempts(the.server)) - tries <= 15


@pytest.mark.parametrize("chance", CHANCES)
@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("asked", [True, False])
@stepped
async def test_refusals_double_from_ten_seconds_to_a_minute_whoever_asks(
    *, chance: float, held: bool, asked: bool
) -> None:
    """R-06: at most three in the first minute; a locked account would be our doing."""
    async with bench() as the:
        if held:
            await the.token()
            await the.advance(74.5)
            the.server.requests.clear()
        let_chance_be(the, chance)
        refuses(the.server)
        if held:
            await the.advance(21)
        else:
            assert (await the.refusal()).fault is Fault.GRANT_REFUSED
        if asked:
            assert set(await insist(the, 250, every=0.5)) == {Fault.GRANT_REFUSED}
        else:
            await the.advance(250)
        assert keeps_to(gaps(the.server), REFUSALS)
        tries = attempts(the.server)
        assert sum(at < tries[0] + 60 for at in tries) == 3


@stepped
async def test_a_token_in_between_makes_the_next_trouble_begin_with_a_second_again() -> None:
    """T-21."""
    async with bench() as the:
        for _ in range(3):
            the.server.refused_at.clear()
            the.server.down = True
            await the.advance(120)  # the token, if there is one, has lapsed
            await insist(the, 30)
            assert keeps_to(gaps(the.server), WANTED[:3])
            the.server.down = False
            await the.advance(60)
            the.server.requests.clear()
            assert await the.token()


def seconds_from_now(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(WALL_AT_START + seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    "status", ["429 Slower", "503 Busy", "400 Bad Request", "401 Unauthorized", "403 Forbidden"]
)
@pytest.mark.parametrize(
    ("retry_after", "least"),
    [
        ("120", 120),
        ("300", 300),
        ("301", 300),
        ("99999999999", 300),
        (seconds_from_now(120), 120),
        (seconds_from_now(86400), 300),
        (seconds_from_now(-120), None),
        ("0", None),
        ("-120", None),
        ("soon", None),
        ("2.5", None),
    ],
)
@stepped
async def test_retry_after_is_kept_to_in_both_forms_and_believed_up_to_five_minutes(
    status: str, retry_after: str, least: float | None
) -> None:
    """SPEC §3. What cannot be read, or is over already, changes nothing."""
    if least is None:
        least, most = (1, 1) if status[:3] in {"429", "503"} else (10, 10)
        least *= 1 - JITTER_MAX
    else:
        most = min(1.05 * least, 300)
    async with bench() as the:
        the.server.answer = lambda _: http_answer(
            {"error": "x"}, status=status, fields=(f"Retry-After: {retry_after}",)
        )
        error = await the.refusal()
        assert error.retry_after_seconds is not None
        assert least <= error.retry_after_seconds <= most
        while len(the.server.requests) < 2:
            await the.refusal()
            await the.advance(most / 100)
        (waited,) = gaps(the.server)
        assert least <= waited <= most * 1.01 + 0.001


@pytest.mark.parametrize("retry_after", ["100", seconds_from_now(850)])
@stepped
async def test_retry_after_delays_a_renewal_and_the_old_token_serves_meanwhile(
    retry_after: str,
) -> None:
    async with bench(lifetime_seconds=1000) as the:
        await the.token()
        the.server.answer = lambda _: http_answer(
            b"", status="503 Busy", fields=(f"Retry-After: {retry_after}",)
        )
        await the.advance(849)
        assert await the.token() == "token-1"
        assert len(the.server.requests) == 2
        the.server.answer = None
        await the.advance(7)
        assert await the.token() == "token-2"
        assert the.facts.misses == 1


@stepped
async def test_a_retry_after_is_forgotten_when_a_token_comes() -> None:
    async with bench(lifetime_seconds=100) as the:
        the.server.answer = lambda _: http_answer(
            b"", status="503 Busy", fields=("Retry-After: 60",)
        )
        await the.refusal()
        the.server.answer = None
        await the.advance(63)
        await the.token()
        the.server.requests.clear()
        the.server.down = True
        await the.advance(80)
        assert keeps_to(gaps(the.server), TROUBLE[:2])
