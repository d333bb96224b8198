"""The README's configuration loads, its commands parse, its links lead somewhere.

That the output it shows is what `demo` prints is in `tests/integration/test_demo.py`, where the
demonstration runs.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from proxy.commands.command_line import build_parser
from proxy.config.loader import load_text

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
YAML_BLOCKS = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
TYPED = re.findall(r"^\$ (.+)$", README, re.MULTILINE)
SECRET_FILE = "/run/secrets/billing"
PAGES = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_there_is_a_configuration_to_copy() -> None:
    assert YAML_BLOCKS


@pytest.mark.parametrize("text", YAML_BLOCKS)
def test_a_configuration_of_the_readme_loads(text: str, tmp_path: Path) -> None:
    assert SECRET_FILE in text
    secret = tmp_path / "billing"
    secret.write_text("s3cret\n")
    config = load_text(
        text.replace(SECRET_FILE, str(secret)), "README.md", {"BILLING_CLIENT_ID": "us"}, tmp_path
    )
    assert list(config.listen) == ["127.0.0.1:8080"]
    assert [str(each.url) for each in config.upstreams.values()] == ["https://api.example.com/v1"]


def test_the_smallest_configuration_is_ten_lines() -> None:
    assert YAML_BLOCKS[0].count("\n") == 10


def test_each_command_that_the_readme_types_parses() -> None:
    commands = [shlex.split(line)[1:] for line in TYPED if line.startswith("token-proxy ")]
    assert [command[0] for command in commands] == ["validate", "run", "run"]
    for command in commands:
        build_parser().parse_args(command)


def test_make_targets_that_the_readme_types_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {line.split()[1] for line in TYPED if line.startswith("make ")}
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_table_of_commands_is_that_of_the_parser() -> None:
    listed = re.findall(r"^\| `token-proxy (\w+)` \|", README, re.MULTILINE)
    parser = build_parser()
    known = next(
        action.choices
        for action in parser._actions
        if action.dest == "command" and action.choices is not None
    )
    assert sorted(listed) == sorted(known)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            path = (ROOT / page).parent / target.partition("#")[0]
            assert path.exists(), f"{page}: {target}"
