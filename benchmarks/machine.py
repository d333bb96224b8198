"""What the figures depend on: the machine, and the versions of everything that takes part."""

from __future__ import annotations

import platform
import re
import ssl
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from surroundings import find


def versions() -> dict[str, str]:
    """Return name and version of each; a program that is not installed is not in it."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    python = [platform.python_version(), *map(_library, ("aiohttp", "uvloop"))]
    wanted = {
        "nginx": _said("nginx", "-V", r"nginx/(\S+)", r"(?:.*running|built) with (OpenSSL [\d.]+)"),
        "Go": _said("go", "version", r"go(\d\S+)"),
        "Envoy": _said("envoy", "--version", r"version: \S*?/([\d.]+)", r"(BoringSSL)"),
        "wrk": _said("wrk", "--version", r"wrk (?:debian/)?(\S+)"),
    }
    return {
        "processor": processor[1] if processor else platform.machine(),
        "kernel": platform.release(),
        "Python": ", ".join([*python, ssl.OPENSSL_VERSION]),
        **{name: said for name, said in wanted.items() if said},
    }


def _library(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"no {name}"


def _said(program: str, argument: str, *patterns: str) -> str:
    """Return what the program says of itself, the first match of each pattern; "" without it."""
    path = find(program)
    if path is None:
        return ""
    answer = subprocess.run([path, argument], capture_output=True, check=False, text=True)
    matches = [re.search(pattern, answer.stdout + answer.stderr) for pattern in patterns]
    return ", ".join(each[1] for each in matches if each) or "unknown version"
