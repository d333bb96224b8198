from __future__ import annotations

import os

import pytest

from proxy.config.substitution import Substituted, SubstitutionError, substitute

ENVIRON = {"A": "one", "EMPTY": "", "MONEY": "$A ${A} $$", "_x9": "low", "ID": "123"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A}", "one"),
        ("a-${A}-${A}", "a-one-one"),
        ("${_x9}", "low"),
        ("${NONE:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${A:-default}", "one"),
        ("${NONE:-}", ""),
        ("${EMPTY}", ""),
        ("${NONE:-a:-b}", "a:-b"),
        ("${NONE:-two\nlines}", "two\nlines"),
        ("${NONE:-cost $$5}", "cost $5"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$${A}", "$one"),
        ("$A costs 5$", "$A costs 5$"),
        ("${MONEY}", "$A ${A} $$"),
        ("no variable", "no variable"),
    ],
)
def test_variables_are_replaced_once_and_dollars_escape(text: str, result: str) -> None:
    assert substitute(text, ENVIRON) == result


@pytest.mark.parametrize(
    "text", ["${", "${}", "${A", "${9}", "${A-x}", "${a b}", "${A:x}", "${N:-${A}}", "x ${ A }"]
)
def test_a_malformed_variable_is_an_error_that_repeats_nothing(text: str) -> None:
    with pytest.raises(SubstitutionError) as caught:
        substitute(text, ENVIRON)
    assert "one" not in str(caught.value)


def test_an_unset_variable_is_named_and_a_near_one_suggested() -> None:
    with pytest.raises(SubstitutionError, match="BILLING_IDD is not set") as caught:
        substitute("${BILLING_IDD}", {"BILLING_ID": "x"})
    assert caught.value.suggestion == "BILLING_ID"


def test_only_text_from_a_variable_is_marked_and_a_default_counts_as_literal() -> None:
    assert not isinstance(substitute("$$ plain", ENVIRON), Substituted)
    from_environment = substitute("${ID:-7}", ENVIRON)
    from_default = substitute("${NONE:-7}", ENVIRON)
    assert isinstance(from_environment, Substituted)
    assert not from_environment.literal
    assert isinstance(from_default, Substituted)
    assert from_default.literal


def test_a_variable_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(SubstitutionError, match="not UTF-8"):
        substitute("${RAW}", {"RAW": os.fsdecode(b"\xff")})
    assert substitute("${NAME}", {"NAME": "Zoë"}) == "Zoë"


def test_text_beside_an_empty_variable_is_literal() -> None:
    beside = substitute("CANARY${EMPTY:-}", {})
    assert beside == "CANARY"
    assert isinstance(beside, Substituted)
    assert beside.literal
    around = substitute("id-${NAME}", {"NAME": "x"})
    assert isinstance(around, Substituted)
    assert not around.literal
