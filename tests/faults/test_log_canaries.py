"""No output of the program holds a secret, a token or an assertion, however it is spelt.

A real process at level `debug` with every access line, in each format, between servers that quote
back what they are told and callers that have something to lose. Everything that comes out of it is
searched: standard output and error, the admin listener's pages, answers of our own, the other
commands.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import yaml
from faults.canary_callers import CALLER, OF_ADMIN, OURS, PASSED, all_asked, asked
from faults.canary_servers import (
    GRANTING,
    SECRETS,
    TOKENS,
    WAYS,
    Quoting,
    configuration,
    tell_all,
)
from faults.canary_spellings import found, segments
from faults.token_server import TokenServer
from integration.client_keys import MAKERS, assertion, private
from integration.recording_upstream import RecordingUpstream

from proxy.commands.command_line import main

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
PROCESS = Path(__file__).with_name("canary_process.py")
PATIENCE_SECONDS = 60
POLL_SECONDS = 0.05
EXCEPTION = "oboe-in-an-exception/4711"
ENVIRONMENT = "bassoon-environment-4711"
CONFIGURED = "theremin-configured-4711"
COMMANDS = [("validate",), ("validate", "--format", "json"), ("config",)]
COMMANDS += (
    [("doctor",), ("doctor", "--format", "json")] if find_spec("proxy.commands.doctor") else []
)


@dataclass(slots=True)
class Searched:
    """A run: where it listens, what is not to be read anywhere, and what came out so far."""

    file: Path
    server: Quoting
    port: int = 0
    admin_port: int = 0
    canaries: list[str] = field(default_factory=list)
    said: dict[str, bytes] = field(default_factory=dict)

    def leaks(self) -> dict[str, list[str]]:
        return {
            name: leaked
            for name, text in self.said.items()
            if (leaked := found(text, self.canaries))
        }


def environment(**more: str) -> dict[str, str]:
    way = dict.fromkeys(("http_proxy", "HTTPS_PROXY"), f"http://user:{ENVIRONMENT}@127.0.0.1:9")
    return os.environ | way | {"PYTHONPATH": str(ROOT), "CANARY": EXCEPTION} | more


async def until(condition: object) -> None:
    """Wait until `condition()`, sync or not, is true."""
    assert callable(condition)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            result = condition()
            if await result if asyncio.iscoroutine(result) else result:
                return
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def running(
    folder: Path, log_format: str, ways: tuple[str, ...], **more: str
) -> AsyncIterator[Searched]:
    """Run everything; yield when every token was asked for, and the short ones a second time."""
    async with TokenServer() as server, RecordingUpstream() as upstream:
        server.answer = quoting = Quoting()
        upstream.answer = tell_all
        key = MAKERS["p256"]()
        shown = assertion(MAKERS["rsa"](), "RS256", "billing", server.url)
        (folder / "assertion").write_text(shown)
        log = {"format": log_format, "level": "debug", "access": "all"}
        config = configuration(
            server, upstream, log, key=key, assertion=folder / "assertion", ways=ways
        )
        run = Searched(folder / "token-proxy.yaml", quoting)
        run.file.write_text(yaml.safe_dump(config))
        out, err = folder / "stdout", folder / "stderr"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(PROCESS), "run", "-c", str(run.file)),
                cwd=ROOT,
                env=environment(**more),
                stdout=stdout,
                stderr=stderr,
            )
        try:
            await until(lambda: b"\n" in err.read_bytes())
            first = err.read_text().partition("\n")[0]
            run.port, run.admin_port = map(int, re.findall(r"127\.0\.0\.1:(\d+)", first))
            await until(lambda: everything_was_asked(run))
            yield run
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_SECONDS):
                status = await process.wait()
            run.said |= {"stdout": out.read_bytes(), "stderr": err.read_bytes()}
        assert status == 0
        keys = [str(key.as_dict(private=True)["d"]), *private(key, "pkcs8").split("\n")[1:-2]]
        assertions = [part for each in quoting.assertions for part in segments(each)]
        tokens = [part for each in TOKENS.values() for part in segments(each)]
        own = [*SECRETS.values(), CALLER, EXCEPTION, ENVIRONMENT]
        run.canaries = sorted({*own, *keys, *assertions, *tokens})


async def everything_was_asked(run: Searched) -> bool:
    report = (await asked(run.admin_port, OF_ADMIN[4])).decode()
    brief = [line for line in report.splitlines() if "-brief: " in line]
    good = [line for line in report.splitlines() if any(f"-{each}: " in line for each in GRANTING)]
    return (
        ": absent" not in report
        and len(brief) > 0
        and all(": failing" in line for line in brief)
        and all(": live" in line for line in good)
    )


async def exercised(run: Searched) -> None:
    """Have every caller call, every page shown, every command run."""
    names = {"ours": (run.port, OURS), "admin": (run.admin_port, OF_ADMIN)}
    for name, (port, wanted) in names.items():
        run.said[name] = b"\n".join(await all_asked(port, wanted))
    # What an upstream says is its own affair; what we say of it is not.
    for answer in await all_asked(run.port, PASSED):
        if b"\r\nProxy-Status: " in answer:
            run.said["ours"] += answer


def commanded(file: Path, said: pytest.CaptureFixture[str]) -> dict[str, bytes]:
    """Return all that each command says about a configuration."""
    found_words = {}
    for command in COMMANDS:
        main([*command, "-c", str(file)])
        found_words[" ".join(command)] = "".join(said.readouterr()).encode()
    return found_words


# The lines are made of the same values in each format: one run needs every way to prove oneself.
@pytest.mark.parametrize(
    ("log_format", "ways"), [("json", WAYS), ("text", ("basic", "jwt")), ("ecs", ("basic", "key"))]
)
@pytest.mark.slow
async def test_nothing_that_comes_out_of_a_run_holds_a_secret(
    tmp_path: Path,
    log_format: str,
    ways: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with running(tmp_path, log_format, ways) as run:
        await exercised(run)
        if ways == WAYS:
            # What the other commands say has nothing to do with the format of the log.
            run.server.renews_brief = True
            run.said |= await asyncio.to_thread(commanded, run.file, capsys)
            assert all(run.said[" ".join(command)] for command in COMMANDS)
    assert run.leaks() == {}
    # Each of them had something to tell.
    log = run.said["stderr"].decode()
    for event in ("token_fetch_failed", "token_granted", "request", "internal_error", "library"):
        assert event in log
    assert run.said["ours"].count(b"Proxy-Status: token-proxy") > len(OURS) / 2
    assert run.said["admin"].count(b"HTTP/1.1 ") > len(OF_ADMIN) / 2
    assert run.said["stdout"] == b""


async def test_a_leak_is_found(tmp_path: Path) -> None:
    """The search above is worth nothing if it does not find what is there."""
    async with running(tmp_path, "json", ("basic",), LEAK="yes") as run:
        pass
    assert run.leaks() == {"stderr": [EXCEPTION]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"clients": {"billing": {"client_secret": CONFIGURED}}},
        {"clients": {"billing": {"client_secret": [CONFIGURED]}}},
        {"clients": {"billing": {"client_secrte": CONFIGURED}}},
        {"clients": {"billing": {"client_secret": "${" + CONFIGURED}}},
        {"clients": {"billing": {"private_key": CONFIGURED, "authentication": "private_key_jwt"}}},
        {"clients": {"billing": {"http_proxy": f"http://user:{CONFIGURED}@127.0.0.1:9"}}},
        {"clients": {"billing": {"token_endpoint": f"http://user:{CONFIGURED}@127.0.0.1/t"}}},
        {"clients": {"billing": {"timeout_seconds": CONFIGURED}}},
        {"clients": {"billing": {"parameters": {"client_secret": CONFIGURED}}}},
        {"upstreams": {"api": {"url": f"http://user:{CONFIGURED}@127.0.0.1"}}},
        {"upstreams": {"api": {"set_headers": {"Authorization": f"{CONFIGURED}\n"}}}},
        {"upstreams": {"api": {"set_headers": {"Content-Length": CONFIGURED}}}},
        {"log": {"level": "${CONFIGURED}"}},
    ],
    ids=str,
)
def test_nothing_that_is_said_of_a_wrong_configuration_holds_a_secret(
    tmp_path: Path,
    wrong: dict[str, dict[str, dict[str, object]]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONFIGURED", CONFIGURED)
    file = tmp_path / "token-proxy.yaml"
    file.write_text(yaml.safe_dump({"upstreams": {"api": {"audience": "none"}}} | wrong))
    said = commanded(file, capsys)
    assert {
        name: leaked for name, text in said.items() if (leaked := found(text, [CONFIGURED]))
    } == {}
    assert all(said.values())


@pytest.mark.parametrize("spelt", ["raw", "percent", "hex", "json", *"012"])
def test_a_canary_is_found_however_it_is_spelt(spelt: str) -> None:
    canary = CALLER
    raw = b"x" * (int(spelt) if spelt.isdigit() else 0) + canary.encode()
    text = {
        "raw": f"...{canary[:14]}...",
        "percent": quote(canary),
        "hex": raw.hex(),
        "json": json.dumps(canary),
    }.get(spelt, base64.b64encode(raw).decode())
    assert found(f"a {text} b".encode(), [canary]) == [canary]
    assert found(base64.urlsafe_b64encode(raw), [canary]) == [canary]
    assert found(f"a {text} b".encode(), ["piccolo-and-bass"]) == []
