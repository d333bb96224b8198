"""Reading configurations from text: `read` gives the `Config`, `problems` what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from proxy.config.loader import load_text
from proxy.config.problem import ConfigurationError, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.config.schema import Config

VALID = """\
clients:
  billing:
    token_endpoint: https://auth.example.com/token
    client_id: billing
    client_secret: ${SECRET}
audiences:
  orders: {client: billing}
upstreams:
  orders:
    url: https://api.example.com/v1
    audience: orders
"""


class Reader(Protocol):
    def __call__(self, text: str, **environ: str) -> Config: ...


class Inspector(Protocol):
    def __call__(self, text: str, **environ: str) -> list[Problem]: ...


@pytest.fixture
def valid() -> str:
    """Return a small configuration that is right, with `SECRET` for a variable."""
    return VALID


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    def read(text: str, **environ: str) -> Config:
        return load_text(text, "f.yaml", {"SECRET": "s3cr3t", **environ}, tmp_path)

    return read


@pytest.fixture
def problems(tmp_path: Path) -> Inspector:
    def problems(text: str, **environ: str) -> list[Problem]:
        try:
            load_text(text, "f.yaml", {"SECRET": "s3cr3t", **environ}, tmp_path)
        except ConfigurationError as error:
            return error.problems
        return []

    return problems
