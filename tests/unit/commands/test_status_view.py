"""What `status` shows of a document, line by line; its words against the status page's."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.commands.status_example import LONG_NAME, NOW, audience, document, in_trouble, upstream

from proxy.admin import page
from proxy.commands.status_document import status_of
from proxy.commands.status_lines import rendered, width
from proxy.commands.status_view import lines

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def shown(document: dict[str, Any], room: int = 80, *, coloured: bool = False) -> str:
    told = lines(status_of(document), room)
    return "\n".join(rendered(line, room, coloured=coloured) for line in told)


def row(text: str, name: str) -> list[str]:
    """Return the cells of the line that begins with a name."""
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return re.split(r" {2,}", line)


def test_a_healthy_proxy_says_so_at_once() -> None:
    top = shown(document()).split("\n\n")[0].splitlines()
    assert top == [
        "token-proxy 1.2.3 serving, up 3 h 12 min; 2026-03-01 03:12:04 UTC",
        "listening on 127.0.0.1:8080; admin on 127.0.0.1:9090",
        "The token is live",
    ]


def test_a_token_has_its_line() -> None:
    text = shown(document())
    assert row(text, "billing") == ["billing", "live", "41 min 7 s", "1 h", "02:53:11"]
    assert "why:" not in text
    assert "problem       none" in text


def test_a_failing_audience_says_since_when_why_and_what_to_do() -> None:
    text = " ".join(shown(in_trouble()).split())
    assert (
        "failing since 03:07:01, 5 min 3 s ago; old token in use; 4 failures in a row; "
        "next try in 12 s why: authorization_server_unavailable what to do: the authorization "
        "server cannot be reached or fails: see whether it is up" in text
    )
    assert (
        "failing since 28 Feb 02:07:01, 1 d 1 h ago; callers get an error; 1 failure in a row; "
        "next try in 42 s, or sooner if a caller asks why: grant_refused" in text
    )


def test_what_is_worst_stands_first() -> None:
    states = re.findall(
        r"^\S+ +(live|failing|rejected|idle|absent) ", shown(in_trouble()), re.MULTILINE
    )
    assert states == ["failing", "failing", "rejected", "live", "idle", "absent"]
    assert shown(in_trouble()).index("get 502") < shown(in_trouble()).index("still served")


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"left": -63.0}, "expired 1 min 3 s ago"),
        ({"left": None}, "-"),
        ({"left": 500.0, "usable": False}, "refused by an upstream"),
    ],
)
def test_a_token_that_no_longer_serves_says_so(others: dict[str, Any], said: str) -> None:
    text = shown(document(audiences=[audience("a", "rejected", **others)]))
    assert row(text, "a")[2] == said


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"fetches_in_flight": 1, "retry_at": NOW + 9}, "trying now"),
        ({"retry_at": NOW - 1}, "next try now"),
        ({"retry_at": NOW + 9}, "next try in 9 s, or sooner if a caller asks"),
    ],
)
def test_the_next_try_is_told(others: dict[str, Any], said: str) -> None:
    failing = audience("a", "failing", failing_with="grant_refused", failing_since=NOW, **others)
    assert f"; {said}\n" in shown(document(audiences=[failing]), 140)


def test_an_upstream_has_its_line_and_its_notes() -> None:
    used = upstream(
        "orders",
        requests_in_flight=2,
        requests_per_second=12.34,
        codes={"2xx": 700, "5xx": 40},
        errors={"upstream_timeout": 3},
        errors_last_minute={"upstream_timeout": 1},
        unauthorized={"renewed_ok": 3, "passed": 2},
        unauthorized_last_minute={"renewed_ok": 1},
        latency_seconds={"p50": 0.0045, "p99": 31.0},
        connections={"active": 2, "idle": 7},
    )
    text = shown(document(upstreams=[used, upstream("")]), 100)
    assert " ".join(row(text, "upstream")) == (
        "upstream req/s 2xx 4xx 5xx 401 p50 p99 in flight active idle"
    )
    assert " ".join(row(text, "orders")) == "orders 12.3 700 0 40 1 4 ms ≥30 s 2 2 7"
    assert "errors in the last minute: 504 upstream_timeout once\n" in text
    assert "errors since the start: 504 upstream_timeout 3 times\n" in text
    assert "start: 3 answered with a new token, 2 passed to the caller\n" in text
    assert "(none)" not in text


def test_errors_that_were_all_in_the_last_minute_are_told_once() -> None:
    errors = {"token_wait_timeout": 2}
    text = shown(document(upstreams=[upstream("orders", errors=errors, errors_last_minute=errors)]))
    assert "errors in the last minute: 503 token_wait_timeout 2 times" in text
    assert "errors since the start" not in text


def test_answers_before_an_upstream_was_known_have_a_line_once_there_were_some() -> None:
    text = shown(document(upstreams=[upstream("", requests_total=3, errors={"no_route": 3})]))
    assert row(text, "(none)")[1] == "0"
    assert "errors since the start: 404 no_route 3 times" in text


def test_only_the_last_few_fetches_are_shown() -> None:
    text = shown(in_trouble())
    assert "(the last 5 of 20, newest first)" in text
    assert text.count(" renewal ") == 5


def test_a_configuration_that_could_not_be_read_again_is_told_of() -> None:
    text = shown(in_trouble())
    assert "problem       the file cannot be used; the configuration before it is in use\n" in text
    assert "\n              config.yaml:12:3: audience: names none" in text
    assert "last read     03:07:01, 5 min 3 s ago" in text


def test_nothing_configured_is_no_trouble() -> None:
    text = shown(document(audiences=[], upstreams=[]))
    assert "No audience is configured" in text
    assert "Upstreams" not in text


@pytest.mark.parametrize("room", [20, 40, 80, 140, 500])
def test_no_line_is_longer_than_there_is_room(room: int) -> None:
    told = shown(in_trouble(), room).splitlines()
    assert max(map(width, told)) <= room
    assert all(line == line.rstrip() for line in told)


def test_a_long_name_is_cut_at_80_columns_and_whole_where_there_is_room() -> None:
    narrow, wide = shown(in_trouble(), 80), shown(in_trouble(), 240)
    assert re.search(r"^a-very-long-name-of-[a-z-]*…  failing ", narrow, re.MULTILINE)
    assert re.search(rf"^{LONG_NAME}  failing ", wide, re.MULTILINE)


def test_colour_is_never_alone() -> None:
    coloured = shown(in_trouble(), coloured=True)
    assert "\x1b[1;31mfailing\x1b[0m" in coloured
    assert ESCAPES.sub("", coloured) == shown(in_trouble())


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x9b1m", "a\nb", "\u202eevil", "\u2028", "\ud800"])
def test_nothing_that_a_name_holds_reaches_the_terminal_raw(hostile: str) -> None:
    everywhere = {
        key: hostile if isinstance(value, str) else value
        for key, value in audience("a", "live", 5, failing_with="x", advice="y").items()
    }
    text = shown(
        document(
            version=hostile,
            state=hostile,
            admin=hostile,
            listen=[hostile],
            configuration={"file": hostile, "sha256": hostile, "problem": hostile},
            audiences=[everywhere, everywhere | {"state": "failing"}],
            fetches=[dict.fromkeys(("audience", "reason", "result", "code"), hostile)],
            upstreams=[upstream(hostile, errors={hostile: 1}, unauthorized={hostile: 2})],
        )
    )
    assert all(character.isprintable() or character == "\n" for character in text)
    text.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_member_of_any_other_type_is_no_reason_to_fail(data: st.DataObject) -> None:
    odd = in_trouble()
    for holder in (
        odd,
        odd["configuration"],
        *odd["audiences"][:2],
        *odd["fetches"][:1],
        *odd["upstreams"][:1],
    ):
        key = data.draw(st.sampled_from(sorted(holder)))
        holder[key] = data.draw(JSON)
    assert max(map(width, shown(odd).splitlines())) <= 80


def test_the_page_says_it_in_the_same_words() -> None:
    """Each note of the page's, in words, is found here; but for times of which it shows more."""
    html = "".join(page.pieces(status_of(in_trouble()), 0))
    told = unescape(re.sub(r"<style>.*?</style>|<[^>]+>", "", html, flags=re.DOTALL))
    # The page has a second time for the next try, in brackets.
    words = re.sub(r" \([0-9:]+\)", "", " ".join(told.split()))
    text = " ".join(shown(in_trouble(), 500).split())
    for sentence in (
        "1 of 6 tokens failing: callers of",
        "old token in use",
        "callers get an error",
        "4 failures in a row",
        "next try in 42 s, or sooner if a caller asks",
        "refused by an upstream",
        "expired 1 min 3 s ago",
        "401 to our token since the start: 3 answered with a new token, 2 passed to the caller",
        "the file cannot be used; the configuration before it is in use",
        "502 grant_refused 12 times, 504 upstream_timeout 3 times",
    ):
        assert sentence in words
        assert sentence in text
