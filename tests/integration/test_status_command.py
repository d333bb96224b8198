"""`token-proxy status` as a process, on a real terminal and in a pipe, beside a real proxy."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from unit.commands.status_example import document, in_trouble
from unit.commands.terminal import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.proxy_process import StartProxy

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "proxy", "status")
ENVIRON = {"PYTHONPATH": str(ROOT), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
SECONDS_MAX = 60
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Listener:
    """An admin listener that answers with `document`, can go away, and come back where it was."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = document()
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        listener = self

        class Admin(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(listener.document).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Admin)
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    @property
    def arguments(self) -> tuple[str, ...]:
        return (*COMMAND, "--admin", f"127.0.0.1:{self.port}")


@pytest.fixture
def listener() -> Iterator[Listener]:
    running = Listener()
    running.start()
    yield running
    running.stop()


async def test_it_shows_how_a_real_proxy_stands(
    start_proxy: StartProxy, unused_tcp_port: int
) -> None:
    """No token is to be had: what is said first is what callers get, and what to do."""
    proxy = await start_proxy(
        {
            "clients": {
                "billing": {
                    "token_endpoint": f"http://127.0.0.1:{unused_tcp_port}/token",
                    "client_id": "billing",
                    "client_secret": "s",
                }
            },
            "audiences": {"orders": {"client": "billing"}},
            "upstreams": {
                "orders": {"url": f"http://127.0.0.1:{unused_tcp_port}", "audience": "orders"}
            },
        }
    )
    status, _ = await proxy.get("/")
    assert status == 503
    admin = urlsplit(proxy.admin_url or "").netloc

    async def run(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *("--admin", admin, *arguments),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"COLUMNS": "200", "LC_ALL": "C.UTF-8"},
        )
        async with asyncio.timeout(SECONDS_MAX):
            output, _ = await process.communicate()
        assert process.returncode == 0
        return output.decode()

    text = await run()
    assert (
        "The token is failing: callers of orders get 503 authorization_server_unavailable" in text
    )
    assert re.search(r"^orders +failing +- +- +-$", text, re.MULTILINE)
    assert re.search(
        r"^  failing since [\d:]{8}, \d+ s ago; callers get an error; ", text, re.MULTILINE
    )
    assert "  why: authorization_server_unavailable\n" in text
    assert "  what to do: the authorization server cannot be reached or fails: " in text
    assert "errors in the last minute: 503 authorization_server_unavailable once\n" in text
    said = json.loads(await run("--format", "json"))
    assert said["audiences"][0]["failing_with"] == "authorization_server_unavailable"


def test_a_terminal_is_drawn_over_whether_or_not_the_proxy_is_there(listener: Listener) -> None:
    """A proxy that goes away is waited for; Ctrl-C ends it well."""
    listener.document = in_trouble()
    with terminal([*listener.arguments, "--watch"], columns=100, rows=60, environ=ENVIRON) as seen:
        first = seen.until(r"\x1b\[J").end()
        assert seen.written.startswith("\x1b[2J\x1b[H")
        assert "\x1b[1;31mfailing\x1b[0m" in seen.written
        listener.stop()
        gone = seen.until(r"does not answer: ConnectionRefusedError", after=first).end()
        seen.until(r"The last", after=gone)
        listener.document = document(version="2.0.0")
        listener.start()
        back = seen.until(r"\x1b\[H\S*token-proxy 2\.0\.0", after=gone).end()
        seen.until(r"none\x1b\[K\r\n\x1b\[J", after=back)
        assert "\x1b[2J" not in seen.written[first:]
        seen.type("\x03")
        assert seen.rest() == 0
    told = ESCAPES.sub("", seen.written)
    assert "Traceback" not in told
    assert max(map(len, told.splitlines())) <= 100


def test_a_window_that_is_too_low_keeps_what_matters_first(listener: Listener) -> None:
    listener.document = in_trouble()
    with terminal([*listener.arguments, "--watch"], columns=80, rows=12, environ=ENVIRON) as seen:
        seen.until(r"more lines: make the window higher")
        seen.until(r"\x1b\[J")
        seen.process.send_signal(signal.SIGTERM)
        assert seen.rest() == 0
    frame = ESCAPES.sub("", seen.written.partition("\x1b[J")[0]).splitlines()
    assert frame[0].startswith("token-proxy 1.2.3 serving")
    assert len(frame) == 11


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_colour_can_be_refused(listener: Listener, environ: dict[str, str]) -> None:
    listener.document = in_trouble()
    with terminal(listener.arguments, environ=ENVIRON | environ) as seen:
        assert seen.rest() == 0
    assert "failing" in seen.written
    assert "\x1b" not in seen.written


def test_in_a_pipe_one_block_follows_another(listener: Listener) -> None:
    """And nothing of a terminal in it; as JSON, each is one line."""
    with (
        started(*listener.arguments, "--watch") as text,
        started(*listener.arguments, "--watch", "--format", "json") as lines,
    ):
        assert text.stdout is not None
        assert lines.stdout is not None
        first = list(iter(text.stdout.readline, "problem       none\n"))
        assert text.stdout.readline() == "\n"
        assert list(iter(text.stdout.readline, "problem       none\n")) == first
        assert "\x1b" not in "".join(first)
        assert [json.loads(lines.stdout.readline()) for _ in range(2)] == [document()] * 2
        for process in (text, lines):
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS_MAX) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRON
    )
