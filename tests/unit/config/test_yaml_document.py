from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.config.document import BROKEN, Document, Position, dotted
from proxy.config.problem import ConfigurationError
from proxy.config.yaml_document import DEPTH_MAX, TEXT_CHARACTERS_MAX, read_document

if TYPE_CHECKING:
    from proxy.config.problem import Problem


def document(text: str, **environ: str) -> Document:
    return read_document(text, "f.yaml", environ)


def failure(text: str) -> Problem:
    with pytest.raises(ConfigurationError) as caught:
        document(text)
    [problem] = caught.value.problems
    return problem


def test_scalars_become_what_yaml_says() -> None:
    tree = document("{a: 1, b: 0.5, c: true, d: null, e: 'x', f: \"1\", g: [1, [2]], h: {}, i: ~}")
    assert tree.values == {
        "a": 1, "b": 0.5, "c": True, "d": None, "e": "x", "f": "1", "g": [1, [2]], "h": {},
        "i": None,
    }  # fmt: skip
    assert tree.problems == []


def test_an_empty_text_is_an_empty_document() -> None:
    assert document("# nothing\n").values is None


def test_keys_and_values_know_their_places() -> None:
    tree = document("a:\n  - b: x\n  - c:   y\n")
    assert tree.key_of(("a", 1, "c")) == Position(3, 5)
    assert tree.place_of(("a", 1, "c")) == Position(3, 10)
    assert tree.place_of(("a", 1, "c", "beyond")) == Position(3, 10)
    assert dotted(("a", 1, "c")) == "a[1].c"


def test_a_duplicate_key_is_reported_where_it_stands_and_the_first_holds() -> None:
    tree = document("a: 1\nb: 2\na: 3\n")
    [problem] = tree.problems
    assert (problem.line, problem.column, problem.path) == (3, 1, "a")
    assert "first in line 1" in problem.message
    assert tree.values == {"a": 1, "b": 2}


def test_a_key_that_is_no_text_is_refused() -> None:
    tree = document("1: x\ntrue: y\n? [a]\n: z\n")
    assert [problem.line for problem in tree.problems] == [1, 2, 3]


def test_variables_are_replaced_in_values_plain_and_quoted_but_not_in_keys() -> None:
    tree = document('{a: \'${X}\', "${X}": "${X}"}', X="v: [1]")
    assert tree.values == {"a": "v: [1]", "${X}": "v: [1]"}


def test_an_unset_variable_leaves_a_broken_value_behind() -> None:
    tree = document("a: ${X}\n")
    assert tree.values == {"a": BROKEN}
    assert ("a",) in tree.broken
    assert repr(tree.values["a"]) == "BROKEN"


def test_aliases_and_merges_are_followed_and_own_keys_win() -> None:
    tree = document(
        "base: &base {a: 1, b: 2}\n"
        "more: &more\n  <<: *base\n  c: 3\n"
        "one:\n  <<: *more\n  b: 9\n"
        "two:\n  <<: [{d: 4}, *base]\n"
    )
    assert tree.values["one"] == {"a": 1, "b": 9, "c": 3}
    assert tree.values["two"] == {"a": 1, "b": 2, "d": 4}
    assert tree.key_of(("one", "a")) == Position(1, 14)
    assert tree.problems == []


def test_a_merge_of_what_is_no_mapping_is_refused() -> None:
    assert "mappings only" in document("a:\n  <<: 3\n").problems[0].message


@pytest.mark.parametrize(
    "value",
    [
        "2020-01-01",
        "!!binary aGk=",
        "!!set {a}",
        "!mine x",
        "!!int abc",
        "!!python/name:os.system x",
    ],
)
def test_tags_and_dates_that_are_no_plain_values_are_refused(value: str) -> None:
    tree = document(f"a: {value}\n")
    assert tree.values == {"a": BROKEN}
    assert tree.problems[0].path == "a"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: [1\nb: 2\n", 2, 2),
        ("a: 1\n\tb: 2\n", 2, 1),
        ("a: b: c\n", 1, 5),
        ("a: 1\n---\nb: 2\n", 2, 1),
        ("a: x\x00y\n", 1, 5),
        ("a: *nowhere\n", 1, 4),
    ],
)
def test_broken_yaml_is_reported_at_its_place(text: str, line: int, column: int) -> None:
    problem = failure(text)
    assert (problem.line, problem.column) == (line, column)


def test_a_yaml_error_repeats_no_value() -> None:
    assert "s3cr3t" not in str(failure("client_secret: *s3cr3t\n"))
    assert "s3cr3t" not in str(failure("client_secret: !s3cr3t!s3cr3t x\n"))
    assert "s3cr3t" not in str(failure('client_secret: "\\q s3cr3t"\n'))


def test_a_variable_in_braces_without_quotes_gets_a_hint() -> None:
    assert "must be in quotes" in failure("a: {b: ${X}}\n").message


def test_bombs_are_refused() -> None:
    assert "nested" in failure("[" * 700 + "]" * 700).message
    assert "bounds" in failure("a: &a [*a]\n").message
    assert "bounds" in failure("[" * (DEPTH_MAX + 2) + "]" * (DEPTH_MAX + 2)).message
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "bounds" in failure("\n".join(levels)).message
    assert "too long" in failure("#" * (TEXT_CHARACTERS_MAX + 1)).message
