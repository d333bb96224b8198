"""Running commands as a shell would: in a directory of their own, with a clean environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

from proxy.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = """\
clients:
  billing:
    token_endpoint: https://auth.example.com/token
    client_id: billing
    client_secret: ${SECRET}
audiences:
  orders: {client: billing}
upstreams:
  orders: {url: "https://api.example.com/v1", audience: orders}
"""


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


class Runner(Protocol):
    def __call__(self, *argv: str, **environ: str) -> Outcome: ...


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory; it is empty."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TOKEN_PROXY_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def configuration(directory: Path) -> Path:
    """Return the path of a valid file, which needs `SECRET` in the environment."""
    file = directory / "proxy.yaml"
    file.write_text(CONFIGURATION)
    return file


@pytest.fixture
def run(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Runner:
    assert directory.is_dir()

    def run(*argv: str, **environ: str) -> Outcome:
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            status = main(list(argv))
        out, err = capsys.readouterr()
        return Outcome(status, out, err)

    return run
