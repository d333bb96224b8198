from __future__ import annotations

import socketserver
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Runner


class _Admin(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/livez" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
        pass

    def address_string(self) -> str:
        return "caller"


class _Failing(_Admin):
    status = 503


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def admin() -> Iterator[str]:
    """Return the address of a listener whose `/livez` answers 200."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Admin)
    with serving(server):
        yield f"127.0.0.1:{server.server_port}"


def test_a_live_proxy_is_healthy_wherever_the_address_comes_from(
    run: Runner,
    admin: str,
    directory: Path,
) -> None:
    assert run("healthcheck", "--admin", admin) == (0, "", "")
    assert run("healthcheck", TOKEN_PROXY_ADMIN=admin).status == 0
    (directory / "c.yaml").write_text(f"admin: {{listen: '{admin}'}}\nnonsense: [here]\n")
    assert run("healthcheck", "-c", "c.yaml", TOKEN_PROXY_ADMIN="127.0.0.1:1").status == 0
    assert run("healthcheck", TOKEN_PROXY_CONFIG="c.yaml").status == 0
    everywhere = admin.replace("127.0.0.1", "0.0.0.0")
    assert run("healthcheck", "--admin", everywhere, http_proxy="http://127.0.0.1:1").status == 0


def test_a_unix_socket_is_asked_too(run: Runner, directory: Path) -> None:
    assert directory.is_dir()
    with serving(_UnixServer("admin.sock", _Admin)):
        assert run("healthcheck", "--admin", f"unix:{directory}/admin.sock").status == 0


def test_another_answer_than_200_is_unhealthy(run: Runner) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Failing)
    with serving(server):
        outcome = run("healthcheck", "--admin", f"127.0.0.1:{server.server_port}")
    assert outcome.status == 1
    assert outcome.err.endswith("answered 503\n")


def test_nobody_there_is_unhealthy(run: Runner, directory: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Admin)
    server.server_close()
    outcome = run("healthcheck", "--admin", f"127.0.0.1:{server.server_port}")
    assert outcome.status == 1
    assert outcome.err.startswith("unhealthy: ")
    assert run("healthcheck", "--admin", f"unix:{directory}/none.sock").status == 1
    (directory / "c.yaml").write_text("admin: {listen: null}\n")
    assert "switched off" in run("healthcheck", "-c", "c.yaml").err


def test_an_address_that_is_none_is_a_usage_error(run: Runner) -> None:
    assert run("healthcheck", "--admin", "nowhere").status == 64
    assert "chosen at each start" in run("healthcheck", "--admin", "127.0.0.1:0").err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "none.yaml:1:1: cannot be read"),
        ("admin: [", "is not YAML"),
        ("admin: {listen: 9090}", "admin.listen: should be an address"),
        ("admin: {listen: nowhere}", "should be host:port"),
        ("admin: {listen: '127.0.0.1:0'}", "chosen at each start"),
    ],
)
def test_a_file_that_tells_no_address_is_unhealthy_and_no_other_status(
    run: Runner, directory: Path, text: str | None, reason: str
) -> None:
    if text is not None:
        (directory / "none.yaml").write_text(text)
    for outcome in (
        run("healthcheck", "-c", "none.yaml"),
        run("healthcheck", TOKEN_PROXY_CONFIG="none.yaml"),
    ):
        assert (outcome.status, outcome.out) == (1, "")
        [line] = outcome.err.splitlines()
        assert line.startswith("unhealthy: ")
        assert reason in line


def test_it_imports_the_standard_library_only(admin: str) -> None:
    script = (
        "import sys; from proxy.__main__ import main; "
        f"status = main(['healthcheck', '--admin', '{admin}']); "
        "loaded = {'pydantic', 'yaml', 'aiohttp', 'asyncio', 'authlib'} & set(sys.modules); "
        "sys.exit(str(loaded) if loaded else status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
