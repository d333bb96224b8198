"""Each query of the dashboard, put to a real Prometheus that has scraped the demonstration.

`token-proxy demo --once --outage`: a cold call, cached ones, a renewal, an authorization server
that goes away until callers are refused, and its return. It may end before Prometheus has seen the
callers refused; so a call with a foreign `Host` is refused as well, long before the end.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from monitoring.dashboard import QUERIES, VARIABLES, filled_in
from monitoring.prometheus_server import Door, scraping

if TYPE_CHECKING:
    from monitoring.prometheus_server import Prometheus

ROOT = Path(__file__).parents[2]
DEMONSTRATION_SECONDS_MAX = 60
wall = time.time  # noqa: TID251 - Prometheus is asked by the wall clock
RATE_INTERVAL = "4s"
"""What Grafana reckons at a scrape each second: four scrapes."""
MAY_BE_EMPTY = {
    "Wait for a token A": "the call that waits is the first, often over at the first scrape",
    "Wait for a token B": "the same",
    "401s of the upstream A": "the demonstration's upstream takes every live token",
    "Limits reached A": "so few calls reach no limit",
    "Connections to the upstream B": "the demonstration's upstream takes every connection",
}


async def demonstrate(door: Door) -> tuple[float, float]:
    """Run the demonstration behind the door to its end; return when it began and ended."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "demo", "--once", "--outage"),
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout
    urls: dict[str, str] = {}
    try:
        async with asyncio.timeout(DEMONSTRATION_SECONDS_MAX):
            async for line in process.stdout:
                heading, _, rest = line.decode().partition(" ")
                if found := re.match(r" *(http://\S+)", rest):
                    urls[heading] = found[1]
                if heading == "status":
                    door.leads_to = urlsplit(urls["status"] + "metrics")
                    began_at = wall()
                if heading == "outage":
                    await be_refused(urls["proxy"])
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return began_at, wall()


async def be_refused(url: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={"Host": "elsewhere.example"}) as answer,
    ):
        assert answer.status == 421


def numbers(series: list[dict[str, Any]]) -> list[float]:
    values = [float(value) for each in series for _, value in each["values"]]
    return [value for value in values if not math.isnan(value)]


async def states_seen(prometheus: Prometheus, began_at: float, ended_at: float) -> set[float]:
    query = next(query for query in QUERIES if query.panel == "State by audience")
    return set(numbers(await prometheus.range(query.filled_in(RATE_INTERVAL), began_at, ended_at)))


@pytest.mark.slow
async def test_each_query_has_an_answer_once_the_demonstration_was_scraped(tmp_path: Path) -> None:
    """One test, so that the demonstration runs once; it names every query that has none."""
    async with Door().open() as door, scraping(door.address, tmp_path) as prometheus:
        began_at, ended_at = await demonstrate(door)
        empty = [
            str(query)
            for query in QUERIES
            if not numbers(
                await prometheus.range(query.filled_in(RATE_INTERVAL), began_at, ended_at)
            )
        ]
        assert set(empty) <= MAY_BE_EMPTY.keys()
        assert {0, 1} <= await states_seen(prometheus, began_at, ended_at)
        for name in VARIABLES.keys() - {"datasource"}:
            asked = VARIABLES[name]["query"]["query"]
            selector = re.sub(r"^label_values\((.*), \w+\)$", r"\1", asked)
            assert any(await prometheus.values(name, filled_in(selector))), name
