"""The command: where it takes a configuration from, what it prints, its exit status."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Runner


@contextmanager
def closed_port() -> Iterator[int]:
    """Hold a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield int(sock.getsockname()[1])


@pytest.fixture
def nowhere(directory: Path) -> Iterator[Path]:
    """Return a sound file whose servers all refuse."""
    file = directory / "proxy.yaml"
    with closed_port() as port:
        file.write_text(
            f"admin: {{listen: '127.0.0.1:{port}'}}\n"
            "clients:\n  billing:\n"
            f"    token_endpoint: http://127.0.0.1:{port}/token\n"
            "    client_id: billing\n    client_secret: ${SECRET}\n"
            "audiences:\n  orders: {client: billing}\n"
            f"upstreams:\n  api: {{url: 'http://127.0.0.1:{port}/v1', audience: orders}}\n"
        )
        yield file


def test_a_failure_ends_with_69_and_names_key_file_and_line(run: Runner, nowhere: Path) -> None:
    outcome = run("doctor", "-c", str(nowhere), SECRET="s3cr3t-canary")
    assert outcome.status == 69
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    assert lines[0] == f"{nowhere}: asking every server that it names"
    assert "  - running: no proxy answers at 127.0.0.1" in outcome.out
    assert f"      key:  clients.billing.token_endpoint ({nowhere}:4)" in lines
    assert f"      key:  upstreams.api.url ({nowhere}:10)" in lines
    assert lines[-1] == "2 failures, no warnings, 2 fine, 3 not checked"
    assert "s3cr3t" not in outcome.out


def test_many_upstreams_do_not_run_out_of_descriptors(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        port = server.getsockname()[1]
        upstreams = "".join(
            f"  u{number}: {{url: 'http://127.0.0.1:{port}', audience: none,"
            f" match: {{path: /{number}}}, timeouts: {{response_seconds: 0.3}}}}\n"
            for number in range(80)
        )
        file = tmp_path / "proxy.yaml"
        file.write_text(f"admin: {{listen: null}}\nupstreams:\n{upstreams}")
        few = f"ulimit -Sn 64 && exec '{sys.executable}' -m proxy doctor -c '{file}'"
        done = subprocess.run(["bash", "-c", few], capture_output=True, text=True, check=False)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 256, "this test needs a hard limit"
    assert "Too many open files" not in done.stdout
    assert done.stdout.count("tcp: connected") == 80, done.stderr


def test_json_has_the_same_findings(run: Runner, nowhere: Path) -> None:
    outcome = run("doctor", "-c", str(nowhere), "--format", "json", SECRET="x")
    assert outcome.status == 69
    report = json.loads(outcome.out)
    assert report["ok"] is False
    results = {(check["subject"], check["check"]): check for check in report["checks"]}
    refused = results["clients.billing", "tcp"]
    assert refused["result"] == "failure"
    assert refused["key"] == "clients.billing.token_endpoint"
    assert set(refused) == {"subject", "check", "result", "detail", "hint", "key"}
    assert results["audiences.orders", "token"]["result"] == "skipped"
    assert results["clients.billing", "name"] == {
        "subject": "clients.billing",
        "check": "name",
        "result": "ok",
        "detail": "127.0.0.1 is an address, there is nothing to look up",
        "hint": None,
        "key": None,
    }


def test_a_wrong_file_is_reported_as_validate_reports_it(run: Runner, nowhere: Path) -> None:
    nowhere.write_text(
        nowhere.read_text().replace("client_secret: ${SECRET}", "client_secret_file: none")
    )
    validated = run("validate", "-c", str(nowhere))
    assert "client_secret_file: the secret file cannot be read" in validated.err
    assert run("doctor", "-c", str(nowhere)) == validated
    assert validated.status == 78
    validated = run("validate", "-c", str(nowhere), "--format", "json")
    outcome = run("doctor", "-c", str(nowhere), "--format", "json")
    assert outcome.status == 78
    report = json.loads(outcome.out)
    assert report == json.loads(validated.out) | {"ok": False, "checks": []}


def test_no_configuration_is_a_usage_error(run: Runner) -> None:
    outcome = run("doctor")
    assert outcome.status == 64
    assert "type token-proxy doctor -c FILE" in outcome.err
    assert run("doctor", "--format", "xml").status == 64


def test_flags_are_named_where_they_stand_for_a_file(run: Runner) -> None:
    with closed_port() as port:
        outcome = run(
            *("doctor", "--upstream", f"http://127.0.0.1:{port}", "--client-id", "c"),
            *("--token-endpoint", f"http://127.0.0.1:{port}/token"),
            TOKEN_PROXY_CLIENT_SECRET="s3cr3t-canary",
        )
    assert outcome.status == 69
    assert "      key:  --token-endpoint\n" in outcome.out
    assert "      key:  --upstream\n" in outcome.out
    assert "s3cr3t" not in outcome.out
