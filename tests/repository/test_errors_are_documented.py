"""docs/errors.md has a heading for each code that this program answers with, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.errors import KINDS, Fault

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### `(\w+)`\n\n(.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(SECTION.findall(PAGE))


def test_each_code_has_its_heading_and_each_heading_its_code() -> None:
    assert [name for name, _ in SECTION.findall(PAGE)] == [fault.value for fault in Fault]


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.value)
def test_a_section_tells_status_fault_and_remedy(fault: Fault) -> None:
    text = SECTIONS[fault.value]
    kind = KINDS[fault]
    assert text.startswith(str(kind.status))
    first_sentence = text.partition(". ")[0]
    # `shutting_down` closes the connection instead of naming a time.
    assert ("`Retry-After`" in first_sentence) == kind.retry
    assert "*Whose fault:*" in text
    assert "*What to do:*" in text.replace("\n", " ")


def test_the_example_is_an_answer_of_ours() -> None:
    import json

    from proxy.errors import ProxyError
    from proxy.forwarding.answer import problem

    example = json.loads(PAGE.partition("```json\n")[2].partition("```")[0])
    error = ProxyError(Fault.NO_ROUTE, "no upstream's `match` fits this host and path")
    answer = problem(error, "", minor=1, close=False, to_head=False)
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == example
