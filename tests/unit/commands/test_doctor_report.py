from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from proxy.commands.doctor.examination import style_of
from proxy.commands.doctor.places import Places
from proxy.commands.doctor.report import (
    PLAIN_SIGNS,
    Check,
    Group,
    Style,
    is_well,
    lines,
    skipped,
    summary,
    to_json,
)
from proxy.config.yaml_document import read_document

if TYPE_CHECKING:
    from collections.abc import Iterable

BILLING = ("clients", "billing")
ORDERS = ("audiences", "orders")
FILE = "clients:\n  billing:\n    token_endpoint: https://a.example\n"


def group(checks: Iterable[Check]) -> Group:
    return Group("client billing", list(checks))


def written(*checks: Check, **style: Any) -> list[str]:
    places = Places(read_document(FILE, "p.yaml", {}))
    style = {"encoding": "utf-8", "colour": False} | style
    return lines(group(checks), Style(**style), places)


def test_a_sign_stands_before_each_finding_and_hint_and_key_below() -> None:
    assert written(
        Check(BILLING, "name", "ok", "fine"),
        Check(ORDERS, "token", "warning", "odd", "mend it", (*BILLING, "tls", "ca_file")),
        Check(BILLING, "tcp", "failure", "bad", "change it", (*BILLING, "token_endpoint")),
    ) == [
        "",
        "client billing",
        "  √ name: fine",
        "  ! token for orders: odd",
        "      hint: mend it",
        "      key:  clients.billing.tls.ca_file (not set; would belong to p.yaml:2)",
        "  \N{MULTIPLICATION SIGN} tcp: bad",
        "      hint: change it",
        "      key:  clients.billing.token_endpoint (p.yaml:3)",
    ]


def test_what_was_skipped_for_one_reason_is_one_line() -> None:
    found = [*skipped(BILLING, ["tls", "clock"], "not checked"), *skipped(ORDERS, ["token"], "no")]
    assert written(*found)[2:] == ["  - tls, clock: not checked", "  - token for orders: no"]


def test_signs_that_a_stream_cannot_encode_are_words() -> None:
    failed = Check(BILLING, "name", "failure", "no → way", "schön")
    assert written(failed, encoding="ascii")[2:] == ["  XX name: no ? way", "      hint: sch?n"]
    assert written(failed, encoding="latin-1")[2] == "  XX name: no ? way"
    assert written(failed, encoding=None)[2].startswith("  XX ")
    assert len(set(PLAIN_SIGNS.values())) == 4


def test_nothing_that_a_server_said_steers_a_terminal() -> None:
    (_, _, line) = written(Check(BILLING, "name", "ok", "a\x1b[31mred\nb\u202e"))
    assert line == "  √ name: a?[31mred?b?"


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "colour"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_and_never_alone(
    environ: dict[str, str], *, colour: bool
) -> None:
    terminal = Terminal(io.BytesIO(), encoding="utf-8")
    sign = style_of(terminal, environ).sign("failure")
    assert sign == (
        "\x1b[31m\N{MULTIPLICATION SIGN}\x1b[0m" if colour else "\N{MULTIPLICATION SIGN}"
    )
    assert style_of(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), {}).sign("ok") == "√"


def test_only_a_failure_makes_it_unwell_and_all_are_counted() -> None:
    fine = Check(BILLING, "name", "ok", "")
    odd = Check(BILLING, "clock", "warning", "")
    bad = Check(BILLING, "tcp", "failure", "")
    well = [group([fine, odd]), group([*skipped(BILLING, ["tls"], "x")])]
    assert is_well(well)
    assert summary(well) == "no failures, 1 warning, 1 fine, 1 not checked"
    assert not is_well([*well, group([bad])])
    assert summary([group([bad, odd, odd])]) == "1 failure, 2 warnings, 0 fine"
    places = Places(None)
    assert to_json(well, places)["ok"] is True
    assert [each["result"] for each in to_json(well, places)["checks"]] == [
        "ok",
        "warning",
        "skipped",
    ]


def test_where_flags_stand_for_a_file_keys_are_flags() -> None:
    places = Places(None)
    default = ("clients", "default")
    assert places.told((*default, "client_secret_file")) == "--client-secret-file"
    assert places.told((*default, "client_secret")) == "TOKEN_PROXY_CLIENT_SECRET"
    assert places.told((*default, "tls", "ca_file")) == (
        "clients.default.tls.ca_file, which only a file can have"
    )
