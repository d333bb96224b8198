"""Every answer that a token endpoint may give, through the real proxy: cold, and at a renewal.

REQUIREMENTS A-20 to A-33, R-04, R-21, T-01 to T-14. A test's name ends with the row of the table
that it is about; the rows of a group were played to one proxy.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from faults.hostile_answers import (
    ODD,
    REDIRECTS,
    REFUSED,
    SECRET,
    UNAVAILABLE,
    WORDS,
    Row,
    elsewhere,
)
from faults.hostile_answers_accepted import ACCEPTED, Accepted
from faults.hostile_answers_bodies import BODIES, QUOTED, TOKENS
from faults.hostile_answers_framing import BROKEN_OFF, FRAMING, SIZES, TIMING
from faults.hostile_bench import STEP_SECONDS, TIMEOUT_SECONDS
from faults.hostile_canaries import leaks
from faults.hostile_renewals import OLD, SOONEST_SECONDS, observe
from faults.hostile_ways import WAYS, Way, authority, context
from faults.token_server import TOKEN_PATH

from proxy.errors import KINDS, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from faults.hostile_bench import Group, Said, Side

    from proxy.telemetry.audience import FetchResult

TABLES: dict[str, Sequence[Row]] = {
    "refused": REFUSED,
    "unavailable": UNAVAILABLE,
    "odd": ODD,
    "redirects": REDIRECTS,
    "bodies": BODIES,
    "tokens": TOKENS,
    "quoted": QUOTED,
    "framing": FRAMING,
    "broken off": BROKEN_OFF,
    "timing": TIMING,
    "sizes": SIZES,
}
FAULTS: dict[FetchResult, Fault] = {
    "refused": Fault.GRANT_REFUSED,
    "unavailable": Fault.AUTHORIZATION_SERVER_UNAVAILABLE,
    "timeout": Fault.AUTHORIZATION_SERVER_UNAVAILABLE,
    "misspoke": Fault.AUTHORIZATION_SERVER_MISSPOKE,
}
MEMORY_BYTES_MAX = 8 << 20
"""R-04."""
TAKEN_BYTES_MAX = 16 << 20
"""Of a GiB, with all that the kernel's buffers on both sides take."""
OLD_CREDENTIAL = f"Bearer {OLD}"


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Group]]:
    """Return what finds a group's observations, made when they are first wanted."""
    groups: dict[str, Group | Exception] = {}

    def make(name: str) -> Group:
        if name == "accepted":
            return observe(ACCEPTED)
        if name != "ways":
            return observe(TABLES[name])
        file = tmp_path_factory.mktemp("trust") / "ca.pem"
        authority().cert_pem.write_to_path(str(file))
        tls = {"ca_file": str(file)}
        return observe(
            WAYS,
            client=lambda side, _: {"token_endpoint": side.server.url, "tls": tls},
            tls=context(),
        )

    def find(name: str) -> Group:
        if name not in groups:
            try:
                groups[name] = make(name)
            except Exception as error:  # noqa: BLE001 - every row of the group is to fail by it
                groups[name] = error
        found = groups[name]
        if isinstance(found, Exception):
            raise found
        return found

    yield find
    elsewhere().close()
    elsewhere.cache_clear()


def rows_of(tables: dict[str, Sequence[Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("group", "row"),
        [
            pytest.param(name, row, id=f"{name}: {row.name}")
            for name, rows in tables.items()
            for row in rows
        ],
    )


def logged_once(side: Side, result: FetchResult, level: str) -> dict[str, Any]:
    """R-04: one line for one attempt."""
    (line,) = [line for line in side.lines if line["event"] != "token_granted"]
    assert line["event"] == "token_fetch_failed"
    assert (line["code"], line["result"]) == (FAULTS[result].value, result)
    assert line["level"] == level
    return line


def told(said: Said, side: Side, result: FetchResult) -> None:
    """See that a caller is told what is the matter, in words of our own."""
    fault = FAULTS[result]
    problem = json.loads(said.body)
    assert (problem["code"], problem["status"]) == (fault.value, KINDS[fault].status)
    assert said.status == KINDS[fault].status
    assert problem["upstream"] == side.name
    assert said.fields["Content-Type"] == "application/problem+json"
    assert said.fields["Proxy-Status"].startswith("token-proxy; error=")
    text = f"{said.fields!r} {said.body.decode()}"
    assert WORDS not in text.lower()
    assert leaks([text]) == []


@rows_of(TABLES | {"ways": WAYS})
def test_without_a_token_callers_learn_what_is_the_matter_and_nothing_goes_upstream(
    observed: Callable[[str], Group], group: str, row: Row | Way
) -> None:
    seen = observed(group).rows[row.name]
    cold = seen.cold
    for said in cold.said[:2]:
        told(said, cold, row.result)
        seconds = int(said.fields["Retry-After"])
        if row.retry_after is None:
            assert 1 <= seconds <= 10
        else:
            assert row.retry_after <= seconds <= min(row.retry_after * 1.05 + 1, 300)
    assert seen.waited_seconds <= TIMEOUT_SECONDS + STEP_SECONDS
    assert cold.failures == {("miss", row.result): 1}
    logged_once(cold, row.result, "error")
    heals = row.retry_after is None or row.retry_after < SOONEST_SECONDS
    assert cold.errors == {FAULTS[row.result].value: 2 if heals else 3}
    assert cold.sent == [OLD_CREDENTIAL] * heals, "the next answer is believed again"


@rows_of(TABLES | {"ways": WAYS})
def test_a_renewal_that_fails_costs_nobody_a_request(
    observed: Callable[[str], Group], group: str, row: Row | Way
) -> None:
    held = observed(group).rows[row.name].held
    assert len(held.said) >= 2
    assert {said.status for said in held.said} == {200}
    assert held.fetches["miss", "success"] == 1
    assert held.failures == {("renewal", row.result): 1}
    assert held.errors == {}
    assert held.sent == [OLD_CREDENTIAL] * len(held.said)
    assert logged_once(held, row.result, "warning")["live_for_seconds"] > 20


@rows_of(TABLES)
def test_an_attempt_is_one_request_and_nothing_is_kept_of_its_answer(
    observed: Callable[[str], Group], group: str, row: Row
) -> None:
    """T-08, T-12."""
    for side in observed(group).rows[row.name].sides:
        assert side.server.connections == len(side.server.requests) == side.attempts
        for asked in side.server.requests:
            assert asked.field("grant_type") == "client_credentials"
            assert asked.secret == SECRET
            assert "cookie" not in asked.headers


@rows_of({"redirects": REDIRECTS})
def test_no_redirect_is_followed(observed: Callable[[str], Group], group: str, row: Row) -> None:
    for side in observed(group).rows[row.name].sides:
        assert {asked.target for asked in side.server.requests} == {TOKEN_PATH}
    with pytest.raises(BlockingIOError):
        elsewhere().accept()


@rows_of({"sizes": [row for row in SIZES if row.flood]})
def test_an_answer_without_end_costs_neither_memory_nor_patience(
    observed: Callable[[str], Group], group: str, row: Row
) -> None:
    """R-04, T-13, A-27."""
    seen = observed(group).rows[row.name]
    assert seen.peak_bytes <= MEMORY_BYTES_MAX
    assert max(side.server.sent_max for side in seen.sides) <= TAKEN_BYTES_MAX


@rows_of({"accepted": ACCEPTED})
def test_an_answer_that_is_odd_and_yet_a_token_is_used(
    observed: Callable[[str], Group], group: str, row: Accepted
) -> None:
    """T-03 to T-06."""
    cold, held = observed(group).rows[row.name].sides
    assert {said.status for said in cold.said + held.said} == {200}
    assert set(cold.sent) == {row.credential}
    assert held.sent[0] != held.sent[-1] == row.credential
    assert cold.fetches == {("miss", "success"): 1}
    assert held.fetches == {("miss", "success"): 1, ("renewal", "success"): 1}
    assert cold.errors == held.errors == {}
    assert cold.lifetime_seconds == pytest.approx(row.lifetime_seconds)
    for side in (cold, held):
        events = {line["event"] for line in side.lines}
        assert sorted(events - {"token_granted"}) == sorted(row.warnings)


@rows_of(TABLES | {"ways": WAYS})
def test_no_secret_and_no_token_is_in_the_log(
    observed: Callable[[str], Group], group: str, row: Row | Way
) -> None:
    """R-21, A-29, A-33, T-14: whatever the server quotes, and however it spells it."""
    for side in observed(group).rows[row.name].sides:
        assert leaks(str(value) for line in side.lines for value in line.values()) == []


@pytest.mark.parametrize("group", [*TABLES, "ways", "accepted"])
def test_what_a_server_said_is_not_in_the_metrics_and_nothing_is_said_beside_the_log(
    observed: Callable[[str], Group], group: str
) -> None:
    """R-21, A-33, T-14."""
    seen = observed(group)
    assert WORDS not in seen.exposition.lower()
    assert leaks([seen.exposition]) == []
    events = [json.loads(line) for line in seen.log.splitlines()]
    assert {each["event"] for each in events if "audience" not in each} == {"listening"}
    assert seen.said_elsewhere == []
