"""What checks the project leaves nothing out, and what is said once stays said once."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from proxy.config.addresses import DEFAULT_ADMIN, DEFAULT_LISTEN
from proxy.config.fields import TEN_YEARS_SECONDS
from proxy.tokens.lease import LIFETIME_SECONDS_MAX

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS: list[dict[str, Any]] = SETTINGS["tool"]["importlinter"]["contracts"]
PARTS = {
    f"proxy.{path.stem}"
    for path in (ROOT / "proxy").iterdir()
    if not path.name.startswith("_") and path.suffix in {"", ".py"}
}


def modules(contract: str) -> set[str]:
    [found] = [each for each in CONTRACTS if contract in each["name"]]
    return set(found["source_modules"])


def test_a_module_that_calls_itself_pure_is_held_to_it() -> None:
    say_so = set()
    for path in (ROOT / "proxy").rglob("*.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if re.search(r"\bPure\b|: pure\b", docstring) and path.name != "__init__.py":
            say_so.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert say_so
    assert say_so <= modules("pure files")


@pytest.mark.parametrize(
    ("contract", "allowed"),
    [
        ("authlib", {"proxy.tokens"}),
        ("prometheus_client", {"proxy.admin", "proxy.telemetry"}),
    ],
)
def test_what_may_not_meet_a_library_is_everything_but_what_may(
    contract: str, allowed: set[str]
) -> None:
    assert modules(f"{contract} is met") == PARTS - allowed


def test_each_phony_target_of_make_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [phony] = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert set(phony.split()) == set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_what_skips_a_test_is_a_failure_under_ci() -> None:
    """`require` in `foreign_server.py` sees to it; no package brings a machine IPv6."""
    skip = "pytest." + "skip("
    skipping = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        if "node_modules" not in path.parts and skip in path.read_text(encoding="utf-8")
    }
    assert skipping == {
        "tests/integration/foreign_server.py",
        "tests/unit/admin/test_listener.py",
    }


@pytest.mark.parametrize(
    "apt", [None, "#!/bin/sh\nexit 9\n"], ids=["no apt-get", "apt-get, and nobody of rank"]
)
def test_ci_fails_where_it_cannot_install_what_is_missing(tmp_path: Path, apt: str | None) -> None:
    programs = {"dirname": shutil.which("dirname"), "bash": shutil.which("bash")}
    for name, program in programs.items():
        assert program
        (tmp_path / name).symlink_to(program)
    scripts = {"id": "#!/bin/sh\necho 1000\n", "make": "#!/bin/sh\nexit 0\n", "apt-get": apt}
    for name, script in scripts.items():
        if script is not None:
            (tmp_path / name).write_text(script)
            (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [tmp_path / "bash", ROOT / ".ci" / "run"],
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "nodejs npm prometheus" in done.stderr


def test_what_several_modules_go_by_is_written_down_once() -> None:
    addresses = {DEFAULT_LISTEN, DEFAULT_ADMIN}
    holders = {
        path.name
        for path in (ROOT / "proxy").rglob("*.py")
        if any(address in path.read_text(encoding="utf-8") for address in addresses)
    }
    assert holders == {"addresses.py"}
    # The token half knows no configuration's bounds, so these are two: but one length of time.
    assert TEN_YEARS_SECONDS == LIFETIME_SECONDS_MAX
