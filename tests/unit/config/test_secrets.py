from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from proxy.config.secrets import FILE_BYTES_MAX, SecretSource
from proxy.errors import Fault, ProxyError
from proxy.model import Secret

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"s3cr3t", "s3cr3t"),
        (b"s3cr3t\n", "s3cr3t"),
        (b"s3cr3t\r\n", "s3cr3t"),
        (b"s3cr3t\n\n", "s3cr3t\n"),
        (b" s3 \r", " s3 \r"),
        ("pä€".encode(), "pä€"),
    ],
)
def test_one_trailing_newline_is_no_part_of_a_secret(
    tmp_path: Path, content: bytes, secret: str
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert SecretSource(file=file).read() == Secret(secret)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "is not UTF-8"),
        (b"x" * (FILE_BYTES_MAX + 1), "longer than"),
    ],
)
def test_a_file_that_holds_no_secret_is_unreadable(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(ProxyError, match=reason) as caught:
        SecretSource(file=file).read()
    assert caught.value.fault is Fault.CREDENTIAL_UNREADABLE


def test_a_swapped_directory_is_seen_at_the_next_read(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_text(name)
    (tmp_path / "now").symlink_to("one")
    source = SecretSource(file=tmp_path / "now" / "secret")
    assert source.read() == Secret("one")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "now")
    assert source.read() == Secret("two")
    (tmp_path / "now").unlink()
    with pytest.raises(ProxyError, match="No such file"):
        source.read()


def test_a_pipe_that_was_read_at_start_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    source = SecretSource(file=pipe, first=Secret("s3cr3t"))
    with pytest.raises(ProxyError, match="no regular file"):
        source.read()
    assert "s3cr3t" not in repr(source)


def test_a_value_is_read_as_it_is_and_never_shown() -> None:
    source = SecretSource(value=Secret("s3cr3t\n"))
    assert source.read().reveal() == "s3cr3t\n"
    assert "s3cr3t" not in repr(source)
