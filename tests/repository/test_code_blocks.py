"""Every fenced block of README.md, the other pages at the top, docs/ and helm/ holds what it says.

`KINDS` is the table: a block's tag, and what is done with it. A tag that is not there fails, and so
does a block without one. What a page's own test looks into more closely is not repeated: the output
of `demo` in tests/integration/test_demo.py, recipes in tests/integration/test_recipes.py.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from helm_python import HelmRenderError
from jsonschema import ValidationError as SchemaError
from kubernetes_validate import ValidationError
from monitoring.queries import unknown_in
from repository import shown_yaml, typed_commands
from repository.code_blocks import PAGES, ROOT, Block, all_blocks, blocks_of

from proxy import errors
from proxy.commands.doctor.report import SIGNS, Result
from proxy.config.problem import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BLOCKS = all_blocks()
STARTS_DIAGRAM = {"flowchart", "sequenceDiagram"}
OPENS = {"alt", "box", "critical", "loop", "opt", "par", "rect", "subgraph"}
COUNTED: dict[Result, str] = {
    "failure": "failure",
    "warning": "warning",
    "ok": "fine",
    "skipped": "not checked",
}
LOG_LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} (?:debug|error|info|warning) +(\w+): \S")
LOG_PAGE = (ROOT / "docs/logs.md").read_text(encoding="utf-8")
MESSAGE = re.compile(r"(\w+) *(?:-->>|->>|--x|-x|--\)|-\)) *[+-]?(\w+): \S.*")


def check_console(block: Block, _directory: Path) -> None:
    """Look at what is typed, which stands after `$ `, or `# ` for root; the rest is output."""
    prompt = "# " if block.text.startswith("# ") else "$ "
    typed = typed_commands.lines_of(block.text, re.escape(prompt))
    assert typed, "nothing is typed: is it text?"
    for line in typed:
        typed_commands.check_line(line)
    if "\nthis proxy\n" in block.text:
        check_report(block.text)


def check_shell(block: Block, _directory: Path) -> None:
    """Look at every line: all are typed."""
    for line in typed_commands.lines_of(block.text, ""):
        typed_commands.check_line(line)


def check_yaml(block: Block, directory: Path) -> None:
    shown_yaml.check(block.text, directory)


def check_template(block: Block, directory: Path) -> None:
    shown_yaml.check_template(block.text, directory)


def check_json(block: Block, _directory: Path) -> None:
    """One value, or lines of the log; an answer of ours has the status of its code."""
    is_log = block.text.startswith('{"time"')
    for text in block.text.splitlines() if is_log else [block.text]:
        shown = json.loads(text)
        if "type" in shown:
            fault = errors.Fault(shown["code"])
            assert shown["status"] == errors.KINDS[fault].status


def check_promql(block: Block, _directory: Path) -> None:
    """Look for series that are not there; an empty line stands between two queries."""
    for query in block.text.strip().split("\n\n"):
        assert not unknown_in(query)


def check_python(block: Block, _directory: Path) -> None:
    compile(block.text, block.place, "exec")


def check_text(block: Block, _directory: Path) -> None:
    """Take it for what the program prints: lines of its log, or a report of its doctor."""
    if re.match(r"\d\d:\d\d:\d\d", block.text):
        for line in block.text.splitlines():
            found = LOG_LINE.match(line)
            assert found, line
            assert f"### `{found[1]}`" in LOG_PAGE, line
    else:
        check_report(block.text)


def check_report(text: str) -> None:
    """Count what the doctor found: what it says of a running proxy is not in its count."""
    own, _, told = text.partition("\n\nclient ")
    assert "this proxy\n" in own, "unknown text"
    *lines, summary = told.strip().splitlines()
    signs = [line.split()[0] for line in lines if re.match(r"  \S", line)]
    for result, name in COUNTED.items():
        [count] = re.findall(rf"(\w+) {name}", summary) or ["no"]
        assert signs.count(SIGNS[result]) == int(count.replace("no", "0")), f"{count} {name}"


def check_mermaid(block: Block, _directory: Path) -> None:
    """Take it apart: what is opened is closed, messages go between those who take part."""
    kind, *lines = [line.strip() for line in block.text.splitlines() if line.strip()]
    assert kind.split()[0] in STARTS_DIAGRAM
    opened = [line for line in lines if line.split()[0] in OPENS]
    assert len(opened) == lines.count("end")
    if kind == "sequenceDiagram":
        named = [re.match(r"(?:participant|actor) (\w+)(?: as .+)?$", line) for line in lines]
        parties = {found[1] for found in named if found}
        for line in lines:
            if line.split()[0] in {*OPENS, "actor", "and", "else", "end", "participant"}:
                continue
            note = re.match(r"Note (?:over|left of|right of) (\w+)(?:,(\w+))?: \S", line)
            found = note or MESSAGE.fullmatch(line)
            assert found, f"no message: {line}"
            assert set(filter(None, found.groups())) <= parties, line


WAYS_TO_FAIL = (
    AssertionError,
    ConfigurationError,
    HelmRenderError,
    KeyError,
    SchemaError,
    SyntaxError,
    ValidationError,
    ValueError,
)

KINDS: dict[str, Callable[[Block, Path], None]] = {
    "console": check_console,
    "sh": check_shell,
    "yaml": check_yaml,
    "gotmpl": check_template,
    "json": check_json,
    "promql": check_promql,
    "python": check_python,
    "text": check_text,
    "mermaid": check_mermaid,
}


def test_there_are_blocks_on_many_pages() -> None:
    assert len({block.page for block in BLOCKS}) > 20
    assert {block.tag for block in BLOCKS} == set(KINDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_fence_of_a_page_has_its_other_one(page: Path) -> None:
    fences = re.findall(r"^ *(?:```|~~~)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(blocks_of(page))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_a_block_holds_what_its_tag_says(block: Block, tmp_path: Path) -> None:
    assert block.tag in KINDS, f"{block.tag!r} is no kind of block; see KINDS"
    comment = "" if block.tag == "console" else "#"
    assert re.search(rf"^ *[^ {comment}\n]", block.text, re.MULTILINE), "nothing is in it"
    KINDS[block.tag](block, tmp_path)


REPORT = "this proxy\n  - running\n\nclient billing\n"
WRONG = [
    ("", "anything", "no kind of block"),
    ("brainfuck", "+", "no kind of block"),
    ("console", "$ token-proxy run --confg x", "--confg"),
    ("console", "$ token-proxy validate -c FILE | tokn-proxy status", "tokn-proxy: not in"),
    ("console", "$ make demmo", "no target"),
    ("console", "$ make demo ARGS=--onze", "--onze"),
    ("console", "$ make bench ARGS='--round 3'", "--round"),
    ("console", "$ curl -s http://127.0.0.1:9090/readiness", "no such page"),
    ("console", "$ pip install 'token-proxy[otlp]'", "otlp"),
    ("console", "$ kubectl -n shop apply -f docs/no-such-file.yaml", "no such file"),
    ("console", "$ kubectl -n shop aply -f x.yaml", "kubectl aply"),
    ("console", "$ docker run --rm token-proxy versio", "versio"),
    ("sh", "docker compose --profile proxi up", "no profile proxi"),
    ("sh", "docker compose upp", "upp"),
    ("sh", "docker compose up application proxi", "no service proxi"),
    ("sh", "docker compose exec demo token-proxy statos", "statos"),
    ("sh", "# nothing", "nothing is in it"),
    ("yaml", "# nothing", "nothing is in it"),
    ("python", "", "nothing is in it"),
    ("console", "$ helm install x helm/token-proxy --set standalone.enable=true", "no enable"),
    ("console", "output only", "nothing is typed"),
    ("sh", "OTEL=x token-proxy serve", "serve"),
    ("yaml", "clients: {us: {client_id: us, token_endpint: x}}", "token_endpint"),
    ("yaml", "upstreams: {api: {url: 'http://api.example.com'}}", "allow_http"),
    (
        "yaml",
        "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {container: []}}",
        "container",
    ),
    ("yaml", "spec: {containers: [{name: x, image: y, mounts: []}]}", "mounts"),
    ("yaml", "{route: {}, inhibit_rules: [{source_matchers: [alertname = X]}]}", "target_matchers"),
    ("yaml", "anything: else", "no known kind"),
    ("yaml", "token-proxy: {confg: {}}", "confg"),
    ("yaml", "dependencies: [{name: token-proxy, version: 9.9.9}]", "9.9.9"),
    ("gotmpl", '{{ include "token-proxy.sidecar" . }}', "index .Subcharts"),
    ("gotmpl", '{{ include "token-proxy.side" (index .Subcharts "token-proxy") }}', "no template"),
    ("json", '{"type": "x", "code": "no_such_code", "status": 503}', "no_such_code"),
    ("json", '{"type": "x", "code": "no_route", "status": 503}', "404"),
    ("json", '{"time": "x"}\n{"time": ', "line 1 column 10"),
    ("promql", "tokenproxy_no_such_series", "tokenproxy_no_such_series"),
    ("promql", "sum by (audience) (rate(", "unclosed"),
    ("python", "import", "invalid syntax"),
    ("text", f"{REPORT}  √ name: x\n\n2 failures, no warnings, 1 fine", "2 failure"),
    ("text", f"{REPORT}  {SIGNS['failure']} name: x\n\n1 failure, no warnings, 2 fine", "2 fine"),
    ("text", "Once upon a time", "unknown text"),
    ("text", "09:53:39.582 info    no_such_event: it happened", "no_such_event"),
    ("mermaid", "sequenceDiagram\n  participant A\n  A->>B: hello", "A->>B"),
    ("mermaid", "sequenceDiagram\n  participant A\n  loop x\n  A->>A: hello", "loop x"),
    ("mermaid", "sequenceDiagram\n  participant A\n  A says hello", "no message"),
]


@pytest.mark.parametrize(("tag", "text", "told"), WRONG)
def test_a_block_that_is_wrong_is_found_out(
    tag: str, text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [block] = blocks_of(PAGES[0], f"```{tag}\n{text}\n```\n")
    assert (block.tag, block.text) == (tag, f"{text}\n")
    with pytest.raises(WAYS_TO_FAIL) as failed:
        test_a_block_holds_what_its_tag_says(block, tmp_path)
    assert told in f"{failed.value}{capsys.readouterr()}"
