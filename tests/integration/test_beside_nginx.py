"""The same requests and answers through this proxy and through nginx: what differs is listed.

Whatever is not in the tables is not to differ, and what no longer differs is not to be in them.
nginx is set to change as little as it can (`nginx_process`), and adds a token too. The tables were
written beside nginx 1.22; `SPEC` in a reason is what we promise our users.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conformance.bench import bench
from conformance.wire import connect
from integration import nginx_answers, nginx_framing, nginx_requests
from integration.nginx_process import Nginx, run_nginx
from integration.side_by_side import (
    AUTHORITY,
    CREDENTIAL,
    Case,
    differences,
    file_upstream,
    outcome,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ALWAYS = {
    "up + Via: 1.1 token-proxy-ID": "RFC 9110 §7.6.3: a gateway names itself; nginx does not",
    "down - Connection: keep-alive": "RFC 9112 §9.3: that is the default; nginx says it anyway",
}
HOSTS = ["localhost", "[::1]"]
REQUESTS = nginx_requests.CASES + nginx_framing.CASES


@pytest.fixture(scope="session")
def beside() -> Iterator[Nginx]:
    """Run nginx, in a folder whose path is short enough for a socket file."""
    with (
        tempfile.TemporaryDirectory() as home,
        run_nginx(Path(home), authority=AUTHORITY, credential=CREDENTIAL) as running,
    ):
        yield running


async def unlisted_and_vanished(case: Case, beside: Nginx) -> tuple[list[str], list[str]]:
    """Run the case through both; return what differs beyond its list, and what of it does not."""
    found = await through_both(case, beside) - set(ALWAYS)
    return sorted(found - set(case.differs)), sorted(set(case.differs) - found)


async def through_both(case: Case, beside: Nginx) -> set[str]:
    """Run the case through both; return what differs."""
    async with bench(audience={}, top={"allowed_hosts": HOSTS}) as the:
        ours = await outcome(case, await the.caller(), the.upstream)
    async with file_upstream(beside.upstream_path) as upstream:
        theirs = await outcome(case, await connect("127.0.0.1", beside.port), upstream)
    return differences(ours, theirs)


async def test_the_plainest_request_differs_in_what_always_does(beside: Nginx) -> None:
    plainest = Case("plain", b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert await through_both(plainest, beside) == set(ALWAYS)


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case.name)
async def test_a_request_reaches_the_upstream_as_through_nginx(case: Case, beside: Nginx) -> None:
    assert await unlisted_and_vanished(case, beside) == ([], [])


@pytest.mark.parametrize("case", nginx_answers.CASES, ids=lambda case: case.name)
async def test_an_answer_reaches_the_caller_as_through_nginx(case: Case, beside: Nginx) -> None:
    assert await unlisted_and_vanished(case, beside) == ([], [])


def test_each_difference_has_its_reason_and_each_case_its_name() -> None:
    tables = [nginx_requests.CASES, nginx_framing.CASES, nginx_answers.CASES]
    for cases in tables:
        names = [case.name for case in cases]
        assert len(names) == len(set(names))
        assert all(all(case.differs.values()) for case in cases)
