"""docs/logs.md has a heading for each event that the program can write, with its fields."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from proxy.telemetry import ecs
from proxy.tokens.fetch import WARNINGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### `(\w+)`\n\n(.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(SECTION.findall(PAGE))
LEVELS = {
    "announce": "info",
    "debug": "debug",
    "error": "error",
    "exception": "error",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
}
METHODS = {*LEVELS, "access", "write"}


@dataclass(slots=True)
class Written:
    """What the code writes of one event. `open_ended`: there are fields that it does not name."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    open_ended: bool = False


def targets(assignment: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return assignment.targets if isinstance(assignment, ast.Assign) else [assignment.target]


def assigned(
    function: ast.FunctionDef | ast.AsyncFunctionDef, node: ast.expr, before: int
) -> ast.expr:
    """Return what a local name was given last before that line; anything else as it is."""
    if not isinstance(node, ast.Name):
        return node
    given = {
        each.lineno: each.value
        for each in ast.walk(function)
        if isinstance(each, ast.Assign | ast.AnnAssign)
        and each.value is not None
        and each.lineno < before
        and node.id in {ast.unparse(target) for target in targets(each)}
    }
    return given[max(given)] if given else node


def texts(node: ast.expr) -> set[str]:
    """Return the texts that an expression can come to, as far as they stand there."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    return set()


def put_off(node: ast.AST) -> ast.AST:
    """Return the call that `partial(log.info, ...)` is for; anything else as it is."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "partial":
        return node
    call = ast.Call(func=node.args[0], args=node.args[1:], keywords=node.keywords)
    return ast.copy_location(call, node)


def calls(tree: ast.Module) -> list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, ast.Call]]:
    """Return the calls that write to a log, each with the function that it is in."""
    return [
        (function, node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in map(put_off, ast.walk(function))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in METHODS
        and ast.unparse(node.func.value).rpartition(".")[2] in {"log", "_log", "facts"}
    ]


def note(
    found: dict[str, Written], function: ast.FunctionDef | ast.AsyncFunctionDef, call: ast.Call
) -> None:
    """Add what one call can write."""
    assert isinstance(call.func, ast.Attribute)
    method = call.func.attr
    if method == "access":
        events, levels = {"request"}, {"info"}
    elif method == "write":
        events = texts(call.args[1])
        levels = texts(assigned(function, call.args[0], call.lineno))
    else:
        events, levels = texts(call.args[0]), {LEVELS[method]}
    if not events:
        where = f"{ast.unparse(call)[:60]} in {function.name}"
        # The one place where an event is handed through: those of the token half's warnings.
        assert method in {"warn", "warning"}, f"the name of the event is not to be seen: {where}"
        assert function.name in {"warn", "granted"}, where
        return
    for event in events:
        written = found.setdefault(event, Written())
        written.levels |= levels
        if method == "exception":
            written.fields |= {"error", "places"}
        for keyword in call.keywords:
            written.fields |= {keyword.arg} if keyword.arg else set()
        if method == "write":
            members(written, function, call)


def members(
    written: Written, function: ast.FunctionDef | ast.AsyncFunctionDef, call: ast.Call
) -> None:
    """Add the fields of a `write`, and what is added to them under way."""
    given = assigned(function, call.args[3], call.lineno)
    assert isinstance(given, ast.Dict), ast.unparse(call)
    more = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.AugAssign) and ast.unparse(node.target) == ast.unparse(call.args[3])
    ]
    for each in (given, *more):
        assert isinstance(each, ast.Dict), ast.unparse(call)
        written.open_ended |= None in each.keys
        written.fields |= {name for key in each.keys if key for name in texts(key)}


def written() -> dict[str, Written]:
    """Return each event that the program can write."""
    found: dict[str, Written] = {}
    for path in (ROOT / "proxy").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function, call in calls(tree):
            note(found, function, call)
    handed_through = {*WARNINGS, "credential", "metadata", "authentication"}
    for event in handed_through:
        found[event] = Written({"warning"}, {"audience", "times"})
    for event in ("internal_error", "library"):
        # Folded in the log itself.
        found[event].fields.add("times")
    return found


EVENTS = written()


def documented(event: str) -> tuple[set[str], set[str]]:
    """Return levels and fields as an event's section has them, in its first two sentences."""
    level, _, rest = SECTIONS[event].replace("\n", " ").partition(". ")
    listed = rest.partition(". ")[0] if rest.startswith("Fields: ") else ""
    return set(re.split(r", | or ", level.lower())), set(re.findall(r"`(\w+)`", listed))


def test_what_is_handed_through_is_what_the_token_half_warns_of() -> None:
    fetch = (ROOT / "proxy/tokens/fetch.py").read_text(encoding="utf-8")
    named = set(re.findall(r'warnings\["(\w+)"\] = ', fetch))
    assert named | set(WARNINGS) == {e for e in EVENTS if EVENTS[e].fields == {"audience", "times"}}


def test_each_event_has_its_heading_and_each_heading_its_event() -> None:
    assert len(SECTION.findall(PAGE)) == len(SECTIONS)
    assert set(SECTIONS) == set(EVENTS)


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_a_section_tells_level_and_fields_and_what_to_do(event: str) -> None:
    levels, fields = documented(event)
    assert levels == EVENTS[event].levels
    if EVENTS[event].open_ended:
        assert fields >= EVENTS[event].fields
    else:
        assert fields == EVENTS[event].fields
    assert "*What to do:*" in SECTIONS[event].replace("\n", " ")


def test_each_field_is_explained_once() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([\w.@]+)` \|", PAGE, re.MULTILINE)
    everywhere = {"time", "level", "event", "message", "dropped"}
    fields = {name for event in EVENTS for name in documented(event)[1]}
    assert sorted(name for name, _ in rows) == sorted(fields | everywhere)


def test_each_field_has_the_name_that_an_ecs_line_gives_it() -> None:
    heads = {
        "time": "@timestamp",
        "level": "log.level",
        "event": "event.action",
        "message": "message",
    }
    for name, theirs in re.findall(r"^\| `(\w+)` \| `([\w.@]+)` \|", PAGE, re.MULTILINE):
        assert theirs == heads.get(name, ecs.NAMES.get(name, ecs.OURS + name)), name


def test_no_event_has_two_fields_that_ecs_calls_the_same() -> None:
    for event, said in EVENTS.items():
        theirs = [ecs.NAMES.get(name, ecs.OURS + name) for name in said.fields]
        assert len(theirs) == len(set(theirs)), event


def test_the_configuration_on_the_page_is_one() -> None:
    from proxy.config.schema import Log

    example = yaml.safe_load(PAGE.partition("```yaml\n")[2].partition("```")[0])
    Log.model_validate(example["log"])
