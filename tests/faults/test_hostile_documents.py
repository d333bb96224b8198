"""Every metadata document that may be published, through the real proxy: at first, and again later.

REQUIREMENTS A-70 to A-73. A document that is refused sends no credential anywhere; one that is
refused later leaves the token endpoint where it was. A test's name ends with its row.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from faults.hostile_answers import SECRET, WORDS
from faults.hostile_bench import STEP_SECONDS, TIMEOUT_SECONDS
from faults.hostile_canaries import leaks
from faults.hostile_discovery import Discovered, discover
from faults.hostile_documents_bodies import ACCEPTED, REFUSED
from faults.token_server import TOKEN_PATH

from proxy.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.hostile_bench import Side
    from faults.hostile_documents import Document

FOUND = "Bearer found-token"
CODES = {
    "misspoke": (Fault.AUTHORIZATION_SERVER_MISSPOKE.value, 502),
    "unavailable": (Fault.AUTHORIZATION_SERVER_UNAVAILABLE.value, 503),
    "timeout": (Fault.AUTHORIZATION_SERVER_UNAVAILABLE.value, 503),
}
TABLES = REFUSED | {"accepted": ACCEPTED}


@pytest.fixture(scope="module")
def discovered() -> Callable[[str], Discovered]:
    """Return what finds a group's observations, made when they are first wanted."""
    groups: dict[str, Discovered | Exception] = {}

    def find(name: str) -> Discovered:
        if name not in groups:
            try:
                groups[name] = discover(TABLES[name])
            except Exception as error:  # noqa: BLE001 - every row of the group is to fail by it
                groups[name] = error
        found = groups[name]
        if isinstance(found, Exception):
            raise found
        return found

    return find


def rows_of(tables: dict[str, list[Document]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("group", "row"),
        [
            pytest.param(name, row, id=f"{name}: {row.name}")
            for name, rows in tables.items()
            for row in rows
        ],
    )


def kept_together(side: Side, *targets: str) -> None:
    """See that the credential went to the token endpoint, for each token once, and only there."""
    shown = [asked for asked in side.server.requests if asked.method != "GET"]
    assert {(asked.method, asked.target) for asked in shown} == {("POST", each) for each in targets}
    assert len(shown) == side.attempts - sum(side.failures.values())
    assert {asked.secret for asked in shown} == {SECRET}
    for asked in side.server.requests:
        assert "cookie" not in asked.headers
        if asked not in shown:
            assert (asked.body, asked.headers.get("authorization")) == (b"", None)


@rows_of(REFUSED)
def test_a_document_that_is_not_believed_sends_no_credential_anywhere(
    discovered: Callable[[str], Discovered], group: str, row: Document
) -> None:
    """A-70, A-72."""
    found = discovered(group)
    seen = found.group.rows[row.name]
    cold = seen.cold
    code, status = CODES[row.result]
    for said in cold.said[:2]:
        problem = json.loads(said.body)
        assert (problem["code"], said.status) == (code, status)
        assert 1 <= int(said.fields["Retry-After"]) <= 5
        assert WORDS not in f"{said.fields!r} {said.body.decode()}".lower()
        assert "evil" not in said.body.decode().lower()
    assert seen.waited_seconds <= TIMEOUT_SECONDS + STEP_SECONDS
    assert cold.failures == {("miss", row.result): 1}
    (line,) = cold.events("token_fetch_failed")
    assert (line["code"], line["result"], line["level"]) == (code, row.result, "error")
    assert cold.said[-1].status == 200
    assert cold.sent == [FOUND], "the next document is believed"
    assert found.elsewhere[row.name] == 0
    kept_together(cold, TOKEN_PATH)


@rows_of(REFUSED)
def test_a_document_that_is_not_believed_later_leaves_the_endpoint_where_it_was(
    discovered: Callable[[str], Discovered], group: str, row: Document
) -> None:
    """A-72: a failed refresh keeps the old metadata."""
    held = discovered(group).group.rows[row.name].held
    assert {said.status for said in held.said} == {200}
    assert set(held.sent) == {FOUND}
    assert held.failures == {}
    assert held.fetches["renewal", "success"] >= 2
    assert held.events("metadata"), "that the document could not be had again is said"
    asked_for = [asked for asked in held.server.requests if asked.method == "GET"]
    assert len(asked_for) > 1, "it was asked for again"
    kept_together(held, TOKEN_PATH)


@rows_of({"accepted": ACCEPTED})
def test_a_document_that_is_odd_and_yet_right_is_believed(
    discovered: Callable[[str], Discovered], group: str, row: Document
) -> None:
    """A-71, A-73."""
    found = discovered(group)
    for side in found.group.rows[row.name].sides:
        assert {said.status for said in side.said} == {200}
        assert side.failures == {}
        assert side.fetches["renewal", "success"] >= 2
        assert not side.events("metadata")
        # Cold it is the document of the beginning, held that of an hour later.
        kept_together(side, row.token_target, TOKEN_PATH)
    assert found.elsewhere[row.name] == 0


@pytest.mark.parametrize("group", TABLES)
def test_no_name_is_looked_up_and_nothing_of_a_document_is_told(
    discovered: Callable[[str], Discovered], group: str
) -> None:
    found = discovered(group)
    assert set(found.names) <= {"127.0.0.1"}
    assert WORDS not in found.group.exposition.lower()
    assert leaks([found.group.exposition]) == []
    lines = [json.loads(line) for line in found.group.log.splitlines()]
    assert {each["event"] for each in lines if "audience" not in each} == {"listening"}
    assert leaks({str(value) for each in lines for value in each.values()}) == []
    assert found.group.said_elsewhere == []
