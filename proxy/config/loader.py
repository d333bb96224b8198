"""The way from a file to a `Config`, or to every problem in it at once.

Read the text, replace variables, resolve secrets and paths, then validate the structure and what
holds between keys; each step reports into one `Document`, and no step hides the next one's
findings. Nothing that is printed holds a value.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.config import checks, credentials, validation
from proxy.config.addresses import DEFAULT_ADMIN
from proxy.config.file_state import FileState, state_of
from proxy.config.problem import ConfigurationError, Problem
from proxy.config.yaml_document import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.config.document import Document
    from proxy.config.schema import Config


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and where it came from.

    `source` is for people; `file` is the regular file that it can be read from again, None if
    there is none; `sha256` is that of the file, in hex, None where the file may hold secrets: a
    short one could be found by trying. `state` is the file's from before it was read.
    """

    config: Config
    source: str
    file: Path | None = None
    sha256: str | None = None
    state: FileState = ()


def load(path: Path, environ: Mapping[str, str], *, again: bool = False) -> Loaded:
    """Read the configuration file at `path`; read `again`, it has to be a regular file still.

    Raises `ConfigurationError` with all problems; a file that cannot be read is one, too.
    """
    file = path.absolute()
    state = state_of([str(file)])
    if again and state != (None,) and not file.is_file():
        # Whoever opens a pipe waits for its writer, and nothing would end that.
        message = "is no regular file, and was one at start"
        raise ConfigurationError([Problem(str(path), 1, 1, "", message)])
    content = _content(path)
    config = load_text(_decoded(content, path), str(path), environ, file.parent)
    return Loaded(
        config,
        str(path),
        file if file.is_file() else None,
        None if config.allow_inline_secrets else hashlib.sha256(content).hexdigest(),
        state,
    )


def load_text(
    text: str, file_name: str, environ: Mapping[str, str], base_directory: Path
) -> Config:
    """Read a configuration from YAML text.

    `file_name` is what problems are reported under; relative paths in the text count from
    `base_directory`. Raises `ConfigurationError`.
    """
    return load_document(read_document(text, file_name, environ), base_directory)


def load_document(document: Document, base_directory: Path) -> Config:
    """Make a configuration of a tree, which is used up. Raises `ConfigurationError`."""
    if document.values is None:
        document.values = {}
    credentials.resolve_files(document, base_directory)
    config = validation.validate(document)
    checks.check(document)
    document.refuse_if_wrong()
    assert config is not None
    return config


def read_text(path: Path) -> str:
    """Return the file's text. Raises `ConfigurationError` if it is none or cannot be read."""
    return _decoded(_content(path), path)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigurationError([Problem(str(path), 1, 1, "", message)]) from None


def _decoded(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise ConfigurationError(
            [Problem(str(path), line, column, "", "is not UTF-8 here")]
        ) from None


def admin_address(path: Path, environ: Mapping[str, str]) -> str | None:
    """Return `admin.listen` of a file, and look at nothing else of it; None: switched off.

    A running proxy may be healthy beside a file that it could not reload. Raises
    `ConfigurationError` when the file is no YAML or the key is wrong.
    """
    document = read_document(read_text(path), str(path), environ)
    place = ("admin", "listen")
    admin = document.section("admin")
    value = admin.get("listen", DEFAULT_ADMIN)
    if value is not None and not isinstance(value, str):
        document.wrong_value(place, "should be an address")
        raise ConfigurationError(document.problems)
    return value
