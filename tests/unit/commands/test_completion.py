"""What the printed scripts do in the shells themselves; zsh and fish where they are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from integration.foreign_server import require
from unit.commands.terminal import terminal

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Runner

# What a shell does at Tab, short of showing it.
BASH = """\
source ./completion
function=$(complete -p token-proxy | sed -E 's/.* -F ([^ ]+) .*/\\1/')
read -ra COMP_WORDS <<<"$1"
[[ $1 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$function
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = "source ./completion; complete -C $argv[1]"
LINES = [
    ("token-proxy va", {"validate"}),
    ("token-proxy validate --fo", {"--format"}),
    ("token-proxy validate --format ", {"text", "json"}),
    ("token-proxy status --w", {"--watch"}),
    ("token-proxy completion ", {"bash", "zsh", "fish"}),
    ("token-proxy run -c con", {"config.yaml", "conf.d"}),
    ("token-proxy run --client-secret-file con", {"config.yaml", "conf.d"}),
    ("token-proxy run --con", {"--config"}),
]


@pytest.fixture
def environ(directory: Path) -> dict[str, str]:
    """Make files to be completed, and return a clean environment for a shell beside them."""
    (directory / "config.yaml").touch()
    (directory / "conf.d").mkdir()
    return {"HOME": str(directory), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "dumb"}


def write_script(run: Runner, directory: Path, shell: str) -> None:
    """Write the shell's script; skip where the shell is missing."""
    require(shutil.which(shell), f"{shell} is missing: install the distribution's package {shell}")
    outcome = run("completion", shell)
    assert (outcome.status, outcome.err) == (0, "")
    (directory / "completion").write_text(outcome.out)


@pytest.mark.parametrize(
    ("shell", "command"),
    [("bash", ["bash", "--norc", "-c", BASH, "bash"]), ("fish", ["fish", "-N", "-c", FISH])],
    ids=["bash", "fish"],
)
def test_bash_and_fish_complete_commands_flags_choices_and_files(
    run: Runner, directory: Path, environ: dict[str, str], shell: str, command: list[str]
) -> None:
    write_script(run, directory, shell)
    for line, expected in LINES:
        done = subprocess.run(
            [*command, line], capture_output=True, text=True, check=False, env=environ
        )
        found = {re.split(r"\t|/$", one)[0] for one in done.stdout.splitlines()}
        assert (done.returncode, found) == (0, expected), done.stderr


def test_bash_takes_the_script_as_the_page_says(run: Runner, environ: dict[str, str]) -> None:
    script = run("completion", "bash").out
    done = subprocess.run(
        ["bash", "--norc", "-c", 'eval "$1"; complete -p token-proxy', "bash", script],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" token-proxy\n")


def test_zsh_completes_commands_choices_and_files(
    run: Runner, directory: Path, environ: dict[str, str]
) -> None:
    """In a terminal, for zsh completes nowhere else; it is taken as the page says."""
    write_script(run, directory, "zsh")
    with terminal(["zsh", "-f", "-i"], environ=environ) as shell:
        shell.type('PS1="> "; autoload -U compinit; compinit -u -D; eval "$(<./completion)"\n')
        shell.type('echo RE""ADY\n')
        shell.until("READY")
        for typed, completed in (
            ("token-proxy va", "token-proxy validate"),
            ("token-proxy validate --format t", "token-proxy validate --format text"),
            ("token-proxy completion f", "token-proxy completion fish"),
            ("token-proxy run -c config", "token-proxy run -c config.yaml"),
            ("token-proxy status --wa", "token-proxy status --watch"),
        ):
            # The line is not run, but printed by what is put before it.
            before = len(shell.written)
            shell.type(f"{typed}\t\x01print -r -- 'GOT:\x05:TOG'\n")
            assert shell.until(r"\nGOT:(.*):TOG", after=before)[1] == completed


def test_what_cannot_be_completed_is_a_usage_error(run: Runner) -> None:
    assert run("completion").status == 64
    assert run("completion", "powershell").status == 64


def test_the_help_tells_how_each_shell_is_given_it(run: Runner) -> None:
    text = run("completion", "--help").out
    for line in (
        'eval "$(token-proxy completion bash)"',
        'eval "$(token-proxy completion zsh)"',
        "token-proxy completion fish > ~/.config/fish/completions/token-proxy.fish",
    ):
        assert line in text
