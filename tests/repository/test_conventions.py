"""What the project asks of every file, checked rather than remembered."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "proxy").rglob("*.py"))
LINES_MAX = 300
FUNCTION_LINES_MAX = 70
NO_NAMES = {"base", "common", "helpers", "manager", "utils"}
DEMONSTRATION = {"demo", "demo_servers", "demo_story"}

# Put together here, so that this file does not hold what it looks for.
MACHINE_PATHS = [f"/{name}/" for name in ("work", "root", "home")]
REGISTRIES = [".".join(name) for name in (("pypi", "org"), ("pythonhosted", "org"))]
REGISTRIES += [".".join(name) for name in (("npmjs", "org"), ("npmjs", "com"), ("yarnpkg", "com"))]


def source(module: Path) -> str:
    return (ROOT / module).read_text(encoding="utf-8")


def tracked() -> list[Path]:
    """Return the files that are in the repository, or would be if everything were added."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    # A file that was deleted and not yet committed is listed still.
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def imported(tree: ast.Module) -> set[str]:
    """Return the full names of what a module imports, late imports too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_can_be_held_in_the_head(module: Path) -> None:
    text = source(module)
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring that says what it is for"
    assert text.count("\n") <= LINES_MAX
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < FUNCTION_LINES_MAX, node.name


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_a_name_that_says_something(module: Path) -> None:
    assert not NO_NAMES.intersection([*module.parts[:-1], module.stem])


def test_the_demonstration_is_imported_by_nothing_else() -> None:
    """Its authorization server knows everybody who asks; it has no business in `run`."""
    names = {f"proxy.commands.{name}" for name in DEMONSTRATION}
    importers = {
        module.stem for module in MODULES if names & imported(ast.parse(source(module)))
    } - DEMONSTRATION
    assert importers == {"demonstrate"}


def test_the_map_names_every_module_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(proxy/[\w/.]*)`", page))
    # A package stands for its own `__init__.py`.
    rooms = {f"{module.parent}/" for module in MODULES if len(module.parts) > 2}
    modules = {
        str(module) for module in MODULES if module.name != "__init__.py" or len(module.parts) == 2
    }
    assert named - {"proxy/"} == modules | rooms


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        relative = path.relative_to(ROOT)
        found += [f"{relative}: {word}" for word in [*MACHINE_PATHS, *REGISTRIES] if word in text]
    assert not found


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert sections[0] == "[Unreleased]"
    kinds = set(re.findall(r"^### (.+)$", changelog, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
