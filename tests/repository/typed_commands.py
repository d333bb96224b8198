"""What pages have people type: lines taken apart, and each program's arguments looked at.

`PROGRAMS` is the table: a program that is not in it may not be on a page. Some have nothing that
could be checked without them; they are there so that a slip of the pen is no program.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import yaml

from proxy.admin.listener import _PATHS as ADMIN_PATHS
from proxy.commands.command_line import build_parser
from proxy.config.addresses import DEFAULT_ADMIN, DEFAULT_LISTEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/token-proxy"
HELM = {"create", "dependency", "install", "lint", "rollback", "show", "template", "test"}
HELM |= {"uninstall", "upgrade"}
KUBECTL = {"apply", "config", "create", "debug", "delete", "describe", "diff", "exec", "get"}
KUBECTL |= {"label", "logs", "port-forward", "rollout", "run", "wait"}

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_REDIRECTIONS = {"<", ">", ">>", ">&", "&>", "<<", "<<<"}
_SEPARATORS = {"|", "||", "&", "&&", ";", "(", ")", ");", "|&"}
_OURS = re.compile(r"(?:\./)?((?:benchmarks|docs|helm|proxy|tests)/\S+)$")


def lines_of(text: str, prompt: str) -> list[str]:
    """Return what is typed after the prompt, a pattern, continued lines whole.

    What a here-document holds is not typed at a prompt.
    """
    typed: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        prompted = re.match(prompt, line)
        if not prompted or not line.strip():
            continue
        whole = line[prompted.end() :]
        while whole.endswith("\\"):
            whole = whole[:-1] + next(lines).removeprefix("> ").strip()
        if document := re.search(r"<<-?\s*'?(\w+)", whole):
            while next(lines).strip() != document[1]:
                pass
        typed.append(whole)
    return typed


def commands_of(line: str) -> list[list[str]]:
    """Return the commands of a line, each as its words, without redirections and assignments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    words: Iterator[str] = iter(lexer)
    for word in words:
        if word in _REDIRECTIONS:
            next(words)
        elif word in _SEPARATORS:
            found.append([])
        elif found[-1] or not _ASSIGNMENT.match(word):
            found[-1].append(word)
    return [command for command in found if command]


def check_line(line: str) -> None:
    """Fail unless each command of the line could be typed as it stands."""
    for command in commands_of(line):
        _check_command(command)


def _check_command(command: list[str]) -> None:
    program, *arguments = command
    name = Path(program).name
    assert name in PROGRAMS, f"{name}: not in PROGRAMS"
    PROGRAMS[name](arguments)
    _check_files(arguments)


def _check_files(arguments: list[str]) -> None:
    """Fail for a file that should be in the repository, and is not."""
    for argument in arguments:
        if found := _OURS.match(argument.removeprefix("file://")):
            assert (ROOT / found[1]).exists(), f"{argument}: no such file"


def _token_proxy(arguments: list[str]) -> None:
    try:
        build_parser().parse_args(arguments)
    except SystemExit as leaving:
        assert leaving.code == 0, f"token-proxy {shlex.join(arguments)}"  # noqa: PT017


def _make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    target, *variables = arguments
    assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"make {target}: no target"
    for variable in variables:
        name, equals, value = variable.partition("=")
        assert equals
        assert name in makefile, variable
        if target == "demo":
            _token_proxy(["demo", *shlex.split(value)])
        if target == "bench":
            program = (ROOT / "benchmarks/compare.py").read_text(encoding="utf-8")
            for flag in re.findall(r"--[a-z]+", value):
                assert f'"{flag}"' in program, flag


def _curl(arguments: list[str]) -> None:
    """Take any path of the proxy, its admin listener's own, and no real server's."""
    urls = [word for word in arguments if re.match(r"https?://", word)]
    assert urls, "curl without a URL"
    for url in urls:
        host, path = urlsplit(url).netloc, urlsplit(url).path or "/"
        if host == DEFAULT_ADMIN or host.endswith(":9090"):
            assert path in ADMIN_PATHS, f"{url}: no such page"
        else:
            assert host == DEFAULT_LISTEN or host.endswith((".example.com", ".example")), url


def _helm(arguments: list[str]) -> None:
    assert arguments[0] in HELM, f"helm {arguments[0]}"
    for flag, value in pairwise(arguments):
        if flag in {"--set", "--set-string", "--set-json"}:
            _check_value(value.partition("=")[0])


def _check_value(key: str) -> None:
    """Fail for a key that the chart does not have; maps that are the user's own end the way."""
    place = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for name in re.split(r"(?<!\\)\.", key.removeprefix("token-proxy.")):
        if not place:
            return
        assert isinstance(place, dict), f"--set {key}"
        assert name in place, f"--set {key}: the chart has no {name}"
        place = place[name]


def _kubectl(arguments: list[str]) -> None:
    words = iter(arguments)
    verb = next(words)
    while verb.startswith("-"):
        # `-n NAMESPACE verb`; `--context=x verb`.
        _ = "=" in verb or next(words)
        verb = next(words)
    assert verb in KUBECTL, f"kubectl {verb}"


def _docker(arguments: list[str]) -> None:
    """Take what follows the image for the program's own arguments."""
    if arguments[0] == "run" and "token-proxy" in arguments:
        own = arguments[arguments.index("token-proxy") + 1 :]
        _token_proxy(own or ["run"])
    if arguments[0] == "compose":
        _compose(arguments[1:])
    assert arguments[0] in {"build", "buildx", "compose", "history", "run"}, arguments[0]


def _compose(arguments: list[str]) -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    if arguments[0] == "--profile":
        profiles = [name for each in services.values() for name in each.get("profiles", [])]
        assert arguments[1] in profiles, f"compose.yaml has no profile {arguments[1]}"
        arguments = arguments[2:]
    verb, *rest = [word for word in arguments if not word.startswith("-")]
    assert verb in {"down", "exec", "logs", "up"}, f"docker compose {verb}"
    for name in rest[:1] if verb == "exec" else rest:
        assert name in services, f"compose.yaml has no service {name}"
    if verb == "exec":
        _check_command(rest[1:])


def _installed(arguments: list[str]) -> None:
    """`pip install`: this project, with extras that it has, or a tool that a page speaks of."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    words = [word for word in arguments if not word.startswith("-") and word != "pip"]
    assert words[0] == "install"
    for word in words[1:]:
        name, _, extras = word.rstrip("]").partition("[")
        assert name in {".", "token-proxy", "py-spy"}, word
        for extra in extras.split(",") if extras else ():
            assert extra in project["optional-dependencies"], word


def _script(arguments: list[str]) -> None:
    assert arguments, "python without a program"
    if arguments[0] == "-m" and arguments[1] == "proxy":
        _token_proxy(arguments[2:])


def _prefix(arguments: list[str]) -> None:
    """`sudo`, `env`: what follows is the command."""
    words = [word for word in arguments if not _ASSIGNMENT.match(word)]
    _check_command(words)


def _unknowable(_arguments: list[str]) -> None:
    """Nothing to compare with here; files of the repository are looked at for all programs."""


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "token-proxy": _token_proxy,
    "make": _make,
    "curl": _curl,
    "helm": _helm,
    "kubectl": _kubectl,
    "docker": _docker,
    "pip": _installed,
    "uv": _installed,
    "python": _script,
    "python3": _script,
    # Run in tests/integration/test_recipes.py.
    "openssl": _unknowable,
    # Tools of those who operate it.
    **dict.fromkeys(["grep", "journalctl", "kill", "promtool", "py-spy", "strace"], _unknowable),
    **dict.fromkeys(["buildah", "podman", "systemctl"], _unknowable),
    # What comes with any system.
    "env": _prefix,
    "sudo": _prefix,
    **dict.fromkeys(["cp", "install", "source", "tail"], _unknowable),
}
