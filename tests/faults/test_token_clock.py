"""A wall clock that is set an hour forward or back while the proxy runs.

A token's life is counted on the monotonic clock, so that nothing comes of it. Time is stepped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import faults.token_server
import pytest
from faults.stepped_time import now, stepped
from faults.token_server import Asked, configuration, http_answer, running, surroundings
from prometheus_client.parser import text_string_to_metric_families
from unit.tokens.cache_bench import gaps
from unit.tokens.some import jwt

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.token_server import Proxy

HOUR = 3600.0
ADMIN = {"listen": "127.0.0.1:0"}


@pytest.fixture
def set_wall(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what sets the proxy's wall clock forward, or back, by so many seconds."""

    def by(seconds: float) -> None:
        before = faults.token_server.WALL_AT_START
        monkeypatch.setattr(faults.token_server, "WALL_AT_START", before + seconds)

    return by


def wall() -> float:
    return faults.token_server.WALL_AT_START + now()


async def expiry(proxy: Proxy) -> float:
    """Return what the metric says of the token's expiry."""
    (found,) = (
        sample.value
        for family in text_string_to_metric_families(await proxy.metrics())
        for sample in family.samples
        if sample.name == "tokenproxy_token_expiry_timestamp_seconds"
    )
    return found


@pytest.mark.parametrize("step", [HOUR, -HOUR])
@stepped
async def test_setting_the_wall_clock_neither_ends_a_tokens_life_nor_prolongs_it(
    step: float, set_wall: Callable[[float], None]
) -> None:
    """T-27."""
    async with surroundings(lifetime_seconds=100) as (server, upstream, guard):
        config = configuration(server, upstream.url, audience={"prefetch": False})
        async with running(config, Path()) as proxy:
            for second in range(400):
                if second in {10, 174, 303}:  # young, about to be renewed, and in between
                    set_wall(step)
                assert await proxy.status() == 200
                await proxy.advance(1)
            assert all(70 <= gap <= 80 for gap in gaps(server))
            assert (proxy.facts().misses, proxy.facts().joined) == (1, 0)
            assert guard.lapsed == []


@pytest.mark.parametrize("step", [HOUR, -HOUR])
@stepped
async def test_a_token_that_cannot_be_renewed_ends_when_it_does_whatever_the_wall_clock_says(
    step: float, set_wall: Callable[[float], None]
) -> None:
    async with (
        surroundings(lifetime_seconds=100) as (server, upstream, guard),
        running(configuration(server, upstream.url), Path()) as proxy,
    ):
        assert await proxy.status() == 200
        server.down = True
        await proxy.advance(50)
        set_wall(step)
        await proxy.advance(44.9)
        assert await proxy.status() == 200
        await proxy.advance(0.2)
        assert await proxy.status() == 503
        assert guard.lapsed == []


@pytest.mark.parametrize("step", [HOUR, -HOUR])
@stepped
async def test_after_the_clock_was_set_the_next_token_is_told_by_the_new_time(
    step: float, set_wall: Callable[[float], None]
) -> None:
    async with (
        surroundings(lifetime_seconds=100) as (server, upstream, _),
        running(configuration(server, upstream.url, admin=ADMIN), Path()) as proxy,
    ):
        assert await proxy.status() == 200
        assert await expiry(proxy) == pytest.approx(wall() + 100)
        set_wall(step)
        await proxy.advance(80)
        renewed_for = server.requests[-1].at - now() + 100
        assert await expiry(proxy) == pytest.approx(wall() + renewed_for)
        assert proxy.facts().state == "live"
        assert proxy.facts().last_success_at == pytest.approx(wall() + renewed_for - 100)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
@stepped
async def test_a_token_that_lives_is_told_to_live_though_the_clock_was_set(
    step: float, set_wall: Callable[[float], None]
) -> None:
    """An alert that compares the metric with the time must not go off, nor sleep, for an hour."""
    async with (
        surroundings(lifetime_seconds=100) as (server, upstream, _),
        running(configuration(server, upstream.url, admin=ADMIN), Path()) as proxy,
    ):
        assert await proxy.status() == 200
        await proxy.advance(10)
        set_wall(step)
        assert proxy.facts().state == "live"
        assert proxy.facts().expires_in_seconds == pytest.approx(90)
        assert await expiry(proxy) == pytest.approx(wall() + 90)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
@stepped
async def test_a_life_that_only_the_jwt_tells_is_counted_from_when_it_was_asked_for(
    step: float, set_wall: Callable[[float], None]
) -> None:
    """Its `exp` is wall time: read once, against the clock as it was then."""

    def grant(asked: Asked) -> bytes:
        number = len(server.expiry) + 1
        token = jwt({"exp": round(wall() + 1000), "jti": str(number)})
        return server.grant(asked, token=token, expires_in=None)

    async with (
        surroundings(lifetime_seconds=1000, answer=grant) as (server, upstream, guard),
        running(configuration(server, upstream.url), Path()) as proxy,
    ):
        assert await proxy.status() == 200
        set_wall(step)
        await proxy.advance(690)
        assert len(server.requests) == 1
        await proxy.advance(111)
        assert await proxy.status() == 200
        assert len(server.requests) == 2
        assert guard.lapsed == []


@pytest.mark.parametrize("step", [HOUR, -HOUR])
@pytest.mark.parametrize("form", ["seconds", "date"])
@stepped
async def test_a_delay_that_runs_is_neither_cut_short_nor_drawn_out_by_a_clock_that_is_set(
    step: float, form: str, set_wall: Callable[[float], None]
) -> None:
    """A date in `Retry-After` is compared with the clock when it comes, and not again."""

    def busy(_: Asked) -> bytes:
        at = datetime.fromtimestamp(wall() + 120, UTC)
        told = "120" if form == "seconds" else format_datetime(at, usegmt=True)
        return http_answer(b"", status="503 Busy", fields=(f"Retry-After: {told}",))

    async with (
        surroundings(answer=busy) as (server, upstream, _),
        running(configuration(server, upstream.url), Path()) as proxy,
    ):
        assert await proxy.status() == 503
        set_wall(step)
        server.answer = None
        await proxy.advance(118)
        assert await proxy.status() == 503
        assert len(server.requests) == 1
        await proxy.advance(9)
        assert await proxy.status() == 200


@pytest.mark.parametrize(("off_by", "least", "most"), [(-HOUR, 300, 300), (HOUR, 0.5, 1)])
@stepped
async def test_a_retry_after_date_read_by_a_wrong_clock_holds_us_back_five_minutes_at_most(
    off_by: float, least: float, most: float, set_wall: Callable[[float], None]
) -> None:
    def busy(_: Asked) -> bytes:
        at = datetime.fromtimestamp(wall() - off_by + 120, UTC)
        fields = (f"Retry-After: {format_datetime(at, usegmt=True)}",)
        return http_answer(b"", status="503 Busy", fields=fields)

    set_wall(off_by)
    async with (
        surroundings(answer=busy) as (server, upstream, _),
        running(configuration(server, upstream.url), Path()) as proxy,
    ):
        await proxy.advance(302)
        assert least <= gaps(server)[0] <= most
