"""`proxy.reload`: who asks, what is told, what differs."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from faults.token_server import eventually

from proxy.config.loader import Loaded, load, load_text
from proxy.config.problem import ConfigurationError, Problem
from proxy.errors import Fault, ProxyError
from proxy.reload import Reload, differences
from proxy.telemetry.facts import Telemetry
from proxy.telemetry.log import Log

if TYPE_CHECKING:
    from proxy.config.schema import Config

DOCUMENT: dict[str, Any] = {
    "clients": {
        "a": {"token_endpoint": "https://a.example/", "client_id": "a", "authentication": "none"}
    },
    "audiences": {"a": {"client": "a"}},
    "upstreams": {"a": {"url": "https://a.example/", "audience": "a"}},
}


def config(**changed: Any) -> Config:
    text = yaml.safe_dump(DOCUMENT | changed)
    return load_text(text, "f.yaml", {}, Path.cwd())


class Desk:
    """A `Reload` whose loads and whose ways to use are in our hands."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.now = 1000.0
        log = Log(
            format="json", level="error", access="off", stream=self.stream, wall=lambda: self.now
        )
        self.telemetry = Telemetry(
            upstreams=(), audiences=(), log=log, wall=lambda: self.now, monotonic=lambda: self.now
        )
        self.loaded = Loaded(config(), "f.yaml", sha256="0")
        self.telemetry.configuration.sha256 = "0"
        self.error: Exception | None = None
        self.apply_error: Exception | None = None
        self.loads = 0
        self.applied: list[Config] = []
        self.gate = threading.Event()
        self.gate.set()
        self.reload = Reload(self.load, self.apply, self.telemetry, self.loaded.config)
        self.reload.start()

    def load(self) -> Loaded:
        self.loads += 1
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        return self.loaded

    async def apply(self, config: Config) -> None:
        if self.apply_error is not None:
            raise self.apply_error
        self.applied.append(config)

    def told(self) -> list[dict[str, Any]]:
        self.telemetry.log.flush()
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def wrong(*messages: str) -> ConfigurationError:
    return ConfigurationError([Problem("f.yaml", 1, 1, "a.b", message) for message in messages])


async def test_a_look_at_what_is_as_it_was_does_nothing_and_says_nothing() -> None:
    desk = Desk()
    desk.now = 2000.0
    await desk.reload.look()
    assert (desk.loads, desk.applied, desk.told()) == (1, [], [])
    assert desk.telemetry.configuration.last_reload_at == 1000.0


async def test_who_asks_is_answered_even_if_nothing_differs() -> None:
    desk = Desk()
    desk.now = 2000.0
    desk.reload.ask()
    await eventually(lambda: bool(desk.told()))
    (told,) = desk.told()
    assert told["event"] == "config_reloaded"
    assert "changed" not in told
    facts = desk.telemetry.configuration
    assert (facts.last_reload_success_at, facts.loaded_at) == (2000.0, 1000.0)


async def test_what_differs_is_put_to_use_and_named() -> None:
    desk = Desk()
    new = config(limits={"header_fields_max": 7})
    desk.loaded = Loaded(new, "f.yaml", sha256="1")
    await desk.reload.look()
    assert desk.applied == [new]
    (told,) = desk.told()
    assert (told["changed"], told["sha256"]) == (["limits"], "1")
    await desk.reload.look()
    assert desk.applied == [new]


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (wrong("one"), "f.yaml:1:1: a.b: one"),
        (
            wrong("one", "two", "three", "four", "five"),
            "f.yaml:1:1: a.b: one; f.yaml:1:1: a.b: two; f.yaml:1:1: a.b: three; "
            "and 2 more: see token-proxy validate",
        ),
        (RuntimeError("s3cr3t"), "it met a fault of this proxy (RuntimeError)"),
    ],
)
async def test_what_cannot_be_read_is_told_once_and_again_to_who_asks(
    error: Exception, problem: str
) -> None:
    desk = Desk()
    desk.error = error
    await desk.reload.look()
    await desk.reload.look()
    (told,) = [event for event in desk.told() if event["event"] == "config_reload_failed"]
    assert told["level"] == "error"
    lines = len(desk.told())
    assert told["problem"].startswith(problem)
    assert "s3cr3t" not in desk.stream.getvalue()
    desk.reload.ask()
    await eventually(lambda: len(desk.told()) == lines + 1)
    desk.error = None
    await desk.reload.look()
    assert desk.told()[-1]["event"] == "config_reloaded"
    assert desk.telemetry.configuration.problem is None


async def test_what_cannot_be_put_to_use_is_tried_again_at_the_next_look() -> None:
    desk = Desk()
    new = config(limits={"header_fields_max": 7})
    desk.loaded = Loaded(new, "f.yaml")
    desk.apply_error = ProxyError(Fault.CREDENTIAL_UNREADABLE, "no certificate")
    await desk.reload.look()
    assert desk.telemetry.configuration.problem == "no certificate"
    desk.apply_error = None
    await desk.reload.look()
    assert desk.applied == [new]


async def test_one_reading_goes_on_at_a_time_and_who_asks_meanwhile_gets_one_more() -> None:
    desk = Desk()
    desk.gate.clear()
    first = asyncio.create_task(desk.reload.look())
    await eventually(lambda: desk.loads == 1)
    others = [asyncio.create_task(desk.reload.look()) for _ in range(5)]
    desk.reload.ask()
    await asyncio.sleep(0)
    desk.gate.set()
    await asyncio.gather(first, *others)
    assert desk.loads == 2


async def test_nothing_is_read_before_the_start_nor_after_the_end() -> None:
    desk = Desk()
    await desk.reload.close()
    desk.reload.ask()
    await desk.reload.look()
    assert desk.loads == 0
    desk.reload.start()
    await eventually(lambda: desk.loads == 1)


@pytest.mark.parametrize("by_signal", [True, False])
async def test_what_failed_is_tried_again_whoever_had_it_read(
    monkeypatch: pytest.MonkeyPatch, *, by_signal: bool
) -> None:
    monkeypatch.setattr("proxy.reload.RETRY_SECONDS", 0.01)
    desk = Desk()
    desk.error = wrong("the secret file cannot be read")
    if by_signal:
        desk.reload.ask()
    else:
        await desk.reload.look()
    await eventually(lambda: desk.loads > 2)
    assert desk.telemetry.configuration.problem is not None
    desk.error = None
    await eventually(lambda: desk.telemetry.configuration.problem is None)
    assert [each["event"] for each in desk.told()] == ["config_reload_failed", "config_reloaded"]
    loads = desk.loads
    await asyncio.sleep(0.05)
    assert desk.loads == loads, "what is well needs no other try"
    desk.error = wrong("again")
    await desk.reload.look()
    await desk.reload.close()
    loads = desk.loads
    await asyncio.sleep(0.05)
    assert desk.loads == loads, "nor has an end any"


async def test_what_fails_after_the_end_is_no_alarm() -> None:
    desk = Desk()
    desk.gate.clear()
    desk.error = wrong("one")
    look = asyncio.create_task(desk.reload.look())
    await eventually(lambda: desk.loads == 1)
    desk.reload.stop()
    desk.gate.set()
    await look
    assert desk.told() == []
    assert desk.telemetry.configuration.problem is None


async def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    """Half of it may be a configuration, too: with half of the upstreams."""
    file = tmp_path / "f.yaml"
    file.write_text(yaml.safe_dump(DOCUMENT))
    whole = yaml.safe_dump(DOCUMENT | {"limits": {"header_fields_max": 7}})
    desk = Desk()

    def half_written() -> Loaded:
        found = load(file, {})
        if desk.loads == 0:
            file.write_text(whole)
        desk.loads += 1
        return found

    file.write_text(yaml.safe_dump(DOCUMENT | {"limits": {"header_fields_max": 8}}))
    desk.reload = Reload(half_written, desk.apply, desk.telemetry, desk.loaded.config)
    desk.reload.start()
    await desk.reload.look()
    assert [each.limits.header_fields_max for each in desk.applied] == [7]


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_file_that_has_become_another_thing_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "f.yaml"
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()
    with pytest.raises(ConfigurationError, match="is no regular file, and was one at start"):
        load(file, {}, again=True)


def test_differences_are_key_paths_and_a_removed_name_is_one() -> None:
    old = config()
    assert differences(old, config()) == []
    upstreams = DOCUMENT["upstreams"] | {
        "b": {"url": "https://b.example/", "audience": "none", "match": {"path": "/b"}}
    }
    new = config(upstreams=upstreams, allowed_hosts=["a"])
    assert differences(old, new) == ["allowed_hosts", "upstreams.b"]
    assert differences(new, old) == ["allowed_hosts", "upstreams.b"]


def test_a_file_tells_its_sum_unless_it_may_hold_secrets(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump(DOCUMENT).encode())
    loaded = load(file, {})
    assert loaded.file == file
    assert loaded.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_text(yaml.safe_dump(DOCUMENT | {"allow_inline_secrets": True}))
    assert load(file, {}).sha256 is None
