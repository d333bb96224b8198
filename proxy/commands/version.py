"""`token-proxy version`: what to put into a bug report."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from typing import TYPE_CHECKING

from proxy import __version__
from proxy.commands.exit_status import ExitStatus

if TYPE_CHECKING:
    import argparse

DISTRIBUTION = "token-proxy"


def execute(_arguments: argparse.Namespace) -> int:
    """Print one line each for the program, Python and the libraries it is built on."""
    print(f"token-proxy {__version__}")
    print(f"{platform.python_implementation()} {platform.python_version()} ({platform.system()})")
    for library in libraries():
        print(f"{library} {metadata.version(library)}")
    return ExitStatus.OK


def libraries() -> list[str]:
    """Return the names of our direct dependencies that are installed."""
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        # Run from a source tree that was never installed: nobody knows what we require.
        return []
    names = {match[0] for text in required if (match := re.match(r"[A-Za-z0-9._-]+", text))}
    return sorted(name for name in names if _is_installed(name))


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
