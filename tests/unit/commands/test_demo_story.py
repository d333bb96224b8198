"""That the demonstration does not tell what did not happen: each act against a server that errs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from proxy.commands.demo import set_up
from proxy.commands.demo_servers import AuthorizationServer, LoopbackServer
from proxy.commands.demo_story import DemoFailed, Figures, Story
from proxy.listeners import AddressUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PAGE = """\
# TYPE tokenproxy_token_fetches counter
tokenproxy_token_fetches_total{audience="demo",reason="miss",result="success"} 1.0
tokenproxy_token_fetches_total{audience="demo",reason="renewal",result="success"} 2.0
tokenproxy_token_fetches_total{audience="demo",reason="renewal",result="timeout"} 4.0
tokenproxy_token_wait_seconds_sum{audience="demo"} 0.15
tokenproxy_token_wait_seconds_count{audience="demo"} 8.0
tokenproxy_event_loop_lag_seconds 1.5e-05
process_open_fds 12.0
"""


def test_figures_are_sums_over_the_labels_that_are_not_named() -> None:
    figures = Figures(PAGE)
    assert figures("token_fetches_total") == 7
    assert figures("token_fetches_total", reason="renewal") == 6
    assert (figures.granted, figures.renewed, figures.waited) == (3, 2, 8)
    assert figures("event_loop_lag_seconds") == 1.5e-05
    assert figures("token_wait_seconds_sum") == 0.15
    assert figures("token_fetches_total", reason="start") == 0


class Play:
    """A story whose proxy is a server of ours; `page` is what its metrics say."""

    def __init__(self, session: aiohttp.ClientSession, *, status: int = 200) -> None:
        self.status = status
        self.good_calls = 0
        self.body: object = {"headers": {"Authorization": "Bearer always…"}}
        self.headers: dict[str, str] = {}
        self.page: Callable[[int], str] = lambda _calls: ""
        self.answer_after = asyncio.Event()
        self.answer_after.set()
        self.calls = 0
        self.said: list[str] = []
        self.proxy = LoopbackServer(self._answer)
        self.server = AuthorizationServer(lifetime_seconds=1, answer_seconds=0)
        self._session = session

    async def story(self) -> Story:
        await self.proxy.start()
        await self.server.start()
        return Story(
            session=self._session,
            proxy_url=self.proxy.url,
            admin_url=self.proxy.url,
            authorization_server=self.server,
            say=lambda heading, _: self.said.append(heading),
        )

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        await self.answer_after.wait()
        if request.path == "/metrics":
            return web.Response(text=self.page(self.calls))
        self.calls += 1
        status = 200 if self.calls <= self.good_calls else self.status
        return web.Response(text=json.dumps(self.body), status=status, headers=self.headers)


@pytest.fixture
async def play() -> AsyncIterator[Play]:
    async with aiohttp.ClientSession() as session:
        opened = Play(session)
        yield opened
        await opened.proxy.stop()
        await opened.server.stop()


def metrics(**counts: float) -> str:
    """Return a page with these; `renewed`, `missed` and `waited` as the story reads them."""
    series = {
        "renewed": 'token_fetches_total{reason="renewal",result="success"}',
        "first": 'token_fetches_total{reason="miss",result="success"}',
        "missed": 'token_lookups_total{result="miss"}',
        "failures": 'token_consecutive_failures{audience="demo"}',
        "waited": 'token_wait_seconds_count{audience="demo"}',
    }
    return "".join(f"tokenproxy_{series[name]} {count}\n" for name, count in counts.items())


async def test_a_cold_call_that_fails_is_not_shown(play: Play) -> None:
    play.status, play.body = 502, {"code": "grant_refused"}
    story = await play.story()
    with pytest.raises(DemoFailed, match="502 grant_refused"):
        await story.cold_and_cached()
    assert not play.said


async def test_a_cold_call_that_cost_no_token_request_is_not_shown(play: Play) -> None:
    story = await play.story()
    with pytest.raises(DemoFailed, match="first token request"):
        await story.cold_and_cached()
    assert not play.said


async def test_a_cached_call_that_waited_is_not_shown(play: Play) -> None:
    play.page = lambda calls: metrics(missed=1, first=1, waited=calls)
    story = await play.story()
    with pytest.raises(DemoFailed, match="though there was one"):
        await story.cold_and_cached()
    assert play.said == ["cold"]


async def test_a_renewal_that_leaves_the_old_token_in_use_is_not_shown(play: Play) -> None:
    play.page = lambda calls: metrics(renewed=int(calls > 2))
    story = await play.story()
    with pytest.raises(DemoFailed, match="old token"):
        await story.renewal()
    assert not play.said


async def test_an_outage_with_a_failed_call_was_not_survived(play: Play) -> None:
    play.status, play.body = 503, {"code": "authorization_server_unavailable"}
    play.page = lambda calls: metrics(failures=int(calls > 2))
    story = await play.story()
    with pytest.raises(DemoFailed, match="not 200"):
        await story.outage_survived()
    assert not play.said


async def test_an_outage_in_which_every_call_failed_was_not_survived_either(play: Play) -> None:
    play.status, play.body = 503, {"code": "authorization_server_unavailable"}
    story = await play.story()
    with pytest.raises(DemoFailed, match="not one call"):
        await story.outage_outlasted()
    assert play.said == ["outage"]


async def test_a_refusal_that_names_no_time_is_not_shown(play: Play) -> None:
    play.good_calls = 2
    play.status, play.body = 503, {"code": "authorization_server_unavailable"}
    story = await play.story()
    with pytest.raises(DemoFailed, match="Retry-After"):
        await story.outage_outlasted()
    assert play.said == ["outage", "alive"]


async def test_an_authorization_server_whose_port_was_taken_is_told_as_that(play: Play) -> None:
    story = await play.story()
    port = int(play.server.url.rpartition(":")[2])
    thief = LoopbackServer(play._answer)
    thief._port = port
    await play.server.stop()
    await thief.start()
    try:
        with pytest.raises(DemoFailed, match="port"):
            await story._bring_back()
    finally:
        await thief.stop()


@pytest.mark.parametrize("body", [[1, 2], 3, None, "text"])
async def test_an_answer_that_is_none_of_ours_is_told_as_that(play: Play, body: object) -> None:
    play.body = body
    story = await play.story()
    with pytest.raises(DemoFailed, match="no answer of ours"):
        await story.cold_and_cached()


async def test_a_call_that_is_not_answered_in_time_is_told_as_that(play: Play) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.05)) as hasty:
        play._session = hasty
        play.answer_after = asyncio.Event()
        story = await play.story()
        with pytest.raises(DemoFailed, match="no answer of ours: TimeoutError"):
            await story.cold_and_cached()
        with pytest.raises(DemoFailed, match="no figures: TimeoutError"):
            await story.figures()
        play.answer_after.set()


async def test_figures_that_are_no_numbers_are_told_as_that(play: Play) -> None:
    play.page = lambda _calls: "tokenproxy_token_waiters many\n"
    story = await play.story()
    with pytest.raises(DemoFailed, match="no figures: ValueError"):
        await story.figures()


async def test_a_port_that_is_taken_is_told_as_that_before_the_first_act(play: Play) -> None:
    await play.proxy.start()
    late = LoopbackServer(play._answer)
    late._port = play.proxy._port
    with pytest.raises(AddressUnavailable, match=r"127\.0\.0\.1 .*: Address already in use"):
        async with contextlib.AsyncExitStack() as stage:
            await set_up(late, stage)
