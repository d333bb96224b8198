"""The command against a listener on a real socket that answers with a fixed document."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from unit.commands.status_example import document, in_trouble

from proxy.commands import status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Runner


@contextmanager
def serving(body: bytes | dict[str, Any], code: int = 200) -> Iterator[str]:
    """Give the address of a listener that answers `/status.json` so."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    class Admin(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code if self.path == "/status.json" else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Admin)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_it_shows_a_table_wherever_the_address_comes_from(run: Runner, directory: Path) -> None:
    with serving(in_trouble()) as admin:
        outcome = run("status", "--admin", admin)
        assert (outcome.status, outcome.err) == (0, "")
        assert outcome.out.startswith("token-proxy 1.2.3 serving, up 3 h 12 min")
        assert "\x1b" not in outcome.out
        (directory / "c.yaml").write_text(f"admin: {{listen: '{admin}'}}\nnonsense: [here]\n")
        assert run("status", "-c", "c.yaml", TOKEN_PROXY_ADMIN="127.0.0.1:1") == outcome
        assert run("status", TOKEN_PROXY_ADMIN=admin) == outcome


@pytest.mark.parametrize(
    ("columns", "width"), [("", 80), ("120", 120), ("1", 20), ("99999", 80), ("x", 80)]
)
def test_what_is_no_terminal_is_as_wide_as_it_is_told_to_be(
    run: Runner, columns: str, width: int
) -> None:
    with serving(in_trouble()) as admin:
        told = run("status", "--admin", admin, COLUMNS=columns).out.splitlines()
    assert width - 6 < max(map(len, told)) <= width


def test_the_document_is_printed_as_it_is(run: Runner) -> None:
    said = document(unheard_of=["\x1b[2J\u202e"])
    with serving(said) as admin:
        outcome = run("status", "--admin", admin, "--format", "json")
    assert (outcome.status, outcome.err) == (0, "")
    assert json.loads(outcome.out) == said
    assert outcome.out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not found", 404),
        (b"<html>", 200),
        (b"[]", 200),
        (b"{}", 200),
        (b'{"audiences": {}, "upstreams": [], "configuration": {}}', 200),
        (b'{"audiences": [], "upstreams": [], "configuration": {}, "now": NaN}', 200),
        (b'{"audiences": [], "upstreams": [], "configuration": {}, "now": 1e999}', 200),
        (b"[" * 100_000, 200),
        (b"\xff\xfe", 200),
    ],
    ids=["404", "html", "list", "empty", "types", "nan", "infinite", "deep", "bytes"],
)
def test_another_program_on_the_port_is_told_apart(run: Runner, body: bytes, code: int) -> None:
    with serving(body, code) as admin:
        outcome = run("status", "--admin", admin)
    assert (outcome.status, outcome.out) == (69, "")
    [line] = outcome.err.splitlines()
    assert line.startswith(f"token-proxy status: {admin} answered ")
    assert "another program" in line
    assert "--admin" in line


def test_an_endless_answer_is_not_read(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "BODY_BYTES_MAX", 100)
    with serving(document()) as admin:
        outcome = run("status", "--admin", admin)
    assert outcome.status == 69
    assert "more than 100 bytes" in outcome.err


def test_nobody_there_is_said_with_the_address_and_what_to_do(run: Runner) -> None:
    with serving(document()) as admin:
        pass
    outcome = run("status", "--admin", admin)
    assert (outcome.status, outcome.out) == (69, "")
    assert f"{admin} does not answer" in outcome.err
    for question in ("Is the proxy running", "not null", "not another port", "--admin or -c"):
        assert question in outcome.err


@pytest.mark.parametrize(
    ("text", "expected", "reason"),
    [
        ("admin: {listen: null}", 69, "switched off"),
        ("admin: {listen: '127.0.0.1:0'}", 69, "chosen at each start"),
        ("admin: {listen: nowhere}", 78, "admin.listen: should be host:port"),
        ("admin: {listen: 9090}", 78, "admin.listen: should be an address"),
        ("admin: [", 78, "is not YAML"),
        (None, 78, "cannot be read"),
    ],
)
def test_a_file_that_tells_no_address_says_why(
    run: Runner, directory: Path, text: str | None, expected: int, reason: str
) -> None:
    if text is not None:
        (directory / "c.yaml").write_text(text)
    for watch in ([], ["--watch"]):
        outcome = run("status", "-c", "c.yaml", *watch)
        assert (outcome.status, outcome.out) == (expected, "")
        assert reason in outcome.err


@pytest.mark.parametrize("argv", [["--admin", "nowhere"], ["--format", "xml"], ["--wat"], ["x"]])
def test_arguments_that_make_no_sense_end_with_64(run: Runner, argv: list[str]) -> None:
    assert run("status", *argv).status == 64


def test_an_output_that_is_not_utf8_gets_a_question_mark_not_an_end() -> None:
    name = "a-name-that-is-cut" * 9
    said = document(listen=["unix:/日本"], audiences=[document()["audiences"][0]])
    said["audiences"][0]["audience"] = name
    with serving(said) as admin:
        done = subprocess.run(
            [sys.executable, "-m", "proxy", "status", "--admin", admin],
            capture_output=True,
            env={"PYTHONIOENCODING": "ascii"},
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"listening on unix:/??" in done.stdout
    assert re.search(rb"^a-name-that-[a-z-]+\?  live ", done.stdout, re.MULTILINE)


def test_it_loads_little() -> None:
    script = (
        "import sys; from proxy.__main__ import main; "
        "status = main(['status', '--admin', sys.argv[1]]); "
        "loaded = {'pydantic', 'yaml', 'aiohttp', 'asyncio', 'prometheus_client', 'shtab'}; "
        "loaded &= set(sys.modules); sys.exit(str(loaded) if loaded else status)"
    )
    with serving(document()) as admin:
        done = subprocess.run(
            [sys.executable, "-c", script, admin], capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
