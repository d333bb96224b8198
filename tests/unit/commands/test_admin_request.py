"""One GET to a listener that misbehaves: every wait and every read has an end."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from proxy.commands import admin_request
from proxy.commands.admin_request import NoAnswerError, ask
from proxy.config.addresses import TcpAddress, UnixAddress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
DRIP_SECONDS = 0.02


@contextmanager
def answering(text: bytes, *, drips: bool = False, stays: bool = False) -> Iterator[TcpAddress]:
    """Answer one connection; then end it, or leave it open, or send a byte now and then."""
    over = threading.Event()

    def answer() -> None:
        connection, _ = listener.accept()
        # Who asked may be gone by then: that is what some tests are about.
        with connection, suppress(ConnectionError):
            connection.recv(65536)
            connection.sendall(text)
            while drips and not over.wait(DRIP_SECONDS):
                connection.sendall(b"x")
            if stays:
                over.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield TcpAddress("127.0.0.1", listener.getsockname()[1])
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("text", [b"HTTP/1.1 200 ", HEAD, b"HTTP/1.1 200 OK\r\n\r\n"])
@pytest.mark.parametrize("drips", [True, False])
def test_the_whole_answer_has_one_time_limit_however_it_comes(
    monkeypatch: pytest.MonkeyPatch, text: bytes, *, drips: bool
) -> None:
    """Each dripping byte comes soon, so a limit for each read would never be reached."""
    monkeypatch.setattr(admin_request, "ADMIN_SECONDS", 0.2)
    with (
        answering(text, drips=drips, stays=True) as address,
        pytest.raises(NoAnswerError, match="did not answer within"),
    ):
        ask(address, "/", body_bytes_max=1_000_000)


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b"x" * 11,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 11,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n"
        + b"x" * 11
        + b"\r\n0\r\n\r\n",
    ],
    ids=["counted", "until the end", "chunked"],
)
def test_a_body_is_read_up_to_its_bound(text: bytes) -> None:
    with answering(text) as address:
        assert ask(address, "/", body_bytes_max=11) == (200, b"x" * 11)
    with answering(text) as address, pytest.raises(NoAnswerError, match="more than 10 bytes"):
        ask(address, "/", body_bytes_max=10)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "does not answer: RemoteDisconnected"),
        (b"SSH-2.0-OpenSSH\r\n", "does not answer: BadStatusLine"),
        (HEAD + b"x" * 999, "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nx", "IncompleteRead"),
    ],
)
def test_what_is_no_whole_http_answer_is_none(text: bytes, reason: str) -> None:
    with answering(text) as address, pytest.raises(NoAnswerError, match=reason):
        ask(address, "/", body_bytes_max=2000)


def test_no_socket_at_all_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(NoAnswerError, match="does not answer: FileNotFoundError"):
        ask(UnixAddress(str(tmp_path / "none.sock")), "/", body_bytes_max=1)
