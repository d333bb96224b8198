from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy import __version__
from proxy.commands.command_line import build_parser

if TYPE_CHECKING:
    from conftest import Runner

ROOT = Path(__file__).parents[3]
COMMANDS = [
    *("run", "validate", "demo", "schema", "config", "doctor", "status"),
    *("healthcheck", "completion", "version"),
]


def test_each_command_has_help_with_an_example(run: Runner) -> None:
    [subparsers] = [
        action
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    assert sorted(subparsers.choices) == sorted(COMMANDS)
    for command in COMMANDS:
        outcome = run(command, "--help")
        assert outcome.status == 0
        assert f"example:\n  token-proxy {command}" in outcome.out


def test_the_example_of_each_help_can_be_parsed() -> None:
    parser = build_parser()
    [subparsers] = [
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    for command, subparser in subparsers.choices.items():
        example = subparser.epilog.split("token-proxy ", 1)[1].split(" > ")[0]
        assert parser.parse_args(example.split()).command == command


@pytest.mark.parametrize(
    "argv",
    [[], ["serve"], ["run", "--nonsense"], ["validate", "--format", "xml"], ["version", "x"]],
)
def test_arguments_that_make_no_sense_end_with_64(run: Runner, argv: list[str]) -> None:
    outcome = run(*argv)
    assert outcome.status == 64
    assert "--help" in outcome.err
    assert outcome.out == ""


def test_flags_are_not_guessed_from_their_beginning(run: Runner) -> None:
    assert run("validate", "--upstr", "https://a.example").status == 64


def test_version_is_said_in_both_ways(run: Runner) -> None:
    assert run("--version").out == f"token-proxy {__version__}\n"
    lines = run("version").out.splitlines()
    assert lines[0] == f"token-proxy {__version__}"
    assert f" {sys.version.split()[0]} " in lines[1]


def test_the_schema_is_json(run: Runner) -> None:
    outcome = run("schema")
    assert outcome.status == 0
    assert json.loads(outcome.out)["properties"]["upstreams"]["minProperties"] == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_what_nobody_foresaw_is_one_line_and_70() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "proxy", "schema"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 70
    [line] = done.stderr.splitlines()
    assert line.startswith("token-proxy schema: internal error: OSError at ")
    assert "command_line.py:" in line


BROKEN_CLOCK = """\
import sys, time
import proxy.commands.run
from proxy.__main__ import main

class ForeignError(Exception):
    pass

def broken():
    raise ForeignError("hunter2")

time.time = broken
sys.exit(main(["run", "-c", "c.yaml"]))
"""


def test_an_internal_error_is_told_without_its_text_at_any_level(directory: Path) -> None:
    (directory / "c.yaml").write_text(
        "listen: 127.0.0.1:0\nadmin: {listen: null}\nlog: {level: debug}\n"
        "upstreams: {a: {url: 'http://127.0.0.1:1', audience: none}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_CLOCK],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 70
    assert "hunter2" not in done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("token-proxy run: internal error: ForeignError at <string>:9 broken, ")


@pytest.mark.parametrize(("command", "status"), [("run", 0), ("validate", 130)])
def test_an_early_interrupt_ends_well_only_what_has_no_other_end(
    directory: Path, command: str, status: int
) -> None:
    fifo = directory / "c.yaml"
    os.mkfifo(fifo)
    with subprocess.Popen(
        [sys.executable, "-m", "proxy", command, "-c", str(fifo)],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process, fifo.open("wb"):  # fmt: skip
        # Both ends are open: it is reading its configuration.
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (status, "")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "proxy", "schema"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0
