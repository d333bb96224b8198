"""Cold starts, end to end: many callers, one token request; limits of waiting."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faults.stepped_time import stepped
from faults.token_server import configuration, eventually, running, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLERS = 1000


@pytest.fixture
def many_files() -> Iterator[None]:
    """Allow this process the sockets of both ends of a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CALLERS
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
async def test_a_thousand_first_requests_cost_one_token_request_though_the_first_leaves(
    tmp_path: Path,
) -> None:
    async with surroundings(delay_seconds=1.5) as (server, upstream, _):
        # So that a slow machine fails nobody: a thousand want one of 256 connections at once.
        patient = {"timeouts": {"connect_seconds": 60}}
        config = configuration(server, upstream.url, audience={"prefetch": False}, upstream=patient)
        async with running(config, tmp_path) as proxy:
            first = asyncio.create_task(proxy.status())
            await eventually(lambda: len(server.requests) == 1)
            others = [asyncio.create_task(proxy.call()) for _ in range(CALLERS - 1)]
            await eventually(lambda: proxy.facts().waiters > 0)
            first.cancel()
            answers = await asyncio.gather(*others)
            assert Counter(status for status, _, _ in answers) == {200: CALLERS - 1}
            assert {body for _, _, body in answers} == {b"token-1"}
            assert len(server.requests) == 1
            assert first.cancelled()


async def test_twenty_audiences_cost_twenty_token_requests(tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(20)]
    async with surroundings(delay_seconds=0.2) as (server, upstream, _):
        config = configuration(server, upstream.url)
        config["audiences"] = {
            name: {"client": "billing", "audience": name, "prefetch": False} for name in names
        }
        config["upstreams"] = {
            name: {"url": upstream.url, "audience": name, "match": {"path": f"/{name}"}}
            for name in names
        }
        async with running(config, tmp_path) as proxy:
            paths = [f"/{name}/x" for name in names for _ in range(10)]
            answers = await asyncio.gather(*(proxy.call(path) for path in paths))
            for path, (status, _, body) in zip(paths, answers, strict=True):
                assert status == 200
                # No token of one audience ever reaches another's upstream.
                assert body.decode().partition("-")[0] == path.split("/")[1]
            assert Counter(each.field("audience") for each in server.requests) == Counter(names)


async def test_what_is_prefetched_is_there_before_the_first_request(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        async with running(configuration(server, upstream.url), tmp_path) as proxy:
            await eventually(lambda: proxy.facts().has_had_token)
            assert await proxy.status() == 200
            assert (proxy.facts().misses, proxy.facts().hits) == (0, 1)
        assert len(server.requests) == 1


async def test_what_is_not_prefetched_is_asked_for_by_the_first_request(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        config = configuration(server, upstream.url, audience={"prefetch": False})
        async with running(config, tmp_path) as proxy:
            assert server.requests == []
            assert await proxy.status() == 200
            assert len(server.requests) == 1


@stepped
async def test_who_waits_too_long_gets_503_and_nothing_goes_upstream() -> None:
    async with surroundings() as (server, upstream, _):
        server.hold()
        config = configuration(server, upstream.url, audience={"wait_seconds_max": 2})
        async with running(config, Path()) as proxy:
            caller = asyncio.create_task(proxy.call())
            while not proxy.facts().waiters:
                await asyncio.sleep(0)
            await proxy.advance(2.5, server)
            status, headers, body = await caller
            assert (status, headers["Retry-After"]) == (503, "1")
            assert b"token_wait_timeout" in body
            assert upstream.requests == []
            server.release()
            assert await proxy.status() == 200
        assert len(server.requests) == 1


async def test_more_waiters_than_allowed_are_told_so_at_once(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _):
        server.hold()
        limits: dict[str, Any] = {"waiters_per_audience_max": 3}
        config = configuration(server, upstream.url, limits=limits)
        async with running(config, tmp_path) as proxy:
            waiting = [asyncio.create_task(proxy.status()) for _ in range(3)]
            await eventually(lambda: proxy.facts().waiters == 3)
            assert await proxy.code() == "overloaded"
            assert upstream.requests == []
            server.release()
            assert await asyncio.gather(*waiting) == [200] * 3
