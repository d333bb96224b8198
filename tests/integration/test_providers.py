"""The recipes of `docs/providers/`: each is a whole file, and all four run behind one proxy.

The configuration is read out of the pages; only addresses are changed, to those of the emulators.
The emulators refuse what the providers' documentation does not allow, so a grant is the proof.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import yaml
from emulators.processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulators.processes import RunningEmulator
    from integration.conftest import StartProxy
    from integration.proxy_process import RunningProxy

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs/providers"
RENEWAL_SECONDS_MAX = 60

# What is called at the proxy, and what must arrive at the API.
TARGETS = {
    "universe": ("/universe/graphql?first=1", "/graphql?first=1"),
    "switch": ("/switch/me/", "/api/me/"),
    "unidy": ("/unidy/users?page=2", "/api/v1/users?page=2"),
    "apiture": ("/apiture/accounts", "/banking/accounts"),
}
NAMES = list(TARGETS)
SECRETS = {
    "universe": "universe-secret",
    "switch": "switch-secret",
    "unidy": "unidy-secret",
    "apiture": "a+p/i%41t=u&r:e",
}


def recipe(name: str) -> dict[str, Any]:
    """Return the configuration on the page; there must be exactly one."""
    blocks = (RECIPES / f"{name}.md").read_text().split("```yaml\n")[1:]
    assert len(blocks) == 1
    config: dict[str, Any] = yaml.safe_load(blocks[0].partition("```")[0])
    return config


def at_the_emulator(name: str, emulator: RunningEmulator) -> dict[str, Any]:
    """Return the recipe with the emulator's origins in its addresses, and nothing else changed."""
    config = recipe(name)
    client, upstream = config["clients"][name], config["upstreams"][name]
    for key in client.keys() & {"token_endpoint", "discovery"}:
        client[key] = emulator.origin + urlsplit(client[key]).path
    upstream["url"] = emulator.api_origin + urlsplit(upstream["url"]).path
    return config


def environment(folder: Path, **secrets: str) -> dict[str, str]:
    """Return the variables that the recipes name; two of the secrets are in files."""
    secrets = SECRETS | secrets
    for name in ("universe", "apiture"):
        (folder / name).write_text(secrets[name] + "\n")
    return {
        "UNIVERSE_CLIENT_ID": "universe-application",
        "UNIVERSE_CLIENT_SECRET_FILE": str(folder / "universe"),
        "SWITCH_CLIENT_ID": "switch-client",
        "SWITCH_CLIENT_SECRET": secrets["switch"],
        "UNIDY_CLIENT_ID": "unidy-application",
        "UNIDY_CLIENT_SECRET": secrets["unidy"],
        "APITURE_CLIENT_ID": "apiture-client",
        "APITURE_CLIENT_SECRET_FILE": str(folder / "apiture"),
    }


@contextlib.contextmanager
def all_four(*flags: str) -> Iterator[tuple[dict[str, RunningEmulator], dict[str, Any]]]:
    """Run the emulators; give them, and one configuration made of the four recipes."""
    with contextlib.ExitStack() as stack:
        emulators = {name: stack.enter_context(running(name, *flags)) for name in NAMES}
        config: dict[str, Any] = {"clients": {}, "audiences": {}, "upstreams": {}}
        for name, emulator in emulators.items():
            for key, section in at_the_emulator(name, emulator).items():
                if key != "listen":
                    config[key] |= section
        yield emulators, config


async def call(
    session: aiohttp.ClientSession, proxy: RunningProxy, name: str, **fields: str
) -> dict[str, Any]:
    """Call the API through the proxy; return what it says about the call."""
    async with session.get(proxy.url + TARGETS[name][0], headers=fields) as answer:
        assert answer.status == 200, (name, answer.status, await answer.text())
        said: dict[str, Any] = await answer.json()
    assert said["provider"] == name
    assert said["target"] == TARGETS[name][1]
    return said


async def test_all_four_serve_first_and_cached_calls_with_one_token_each(
    start_proxy: StartProxy, tmp_path: Path
) -> None:
    with all_four() as (emulators, config):
        proxy = await start_proxy(config, environment=environment(tmp_path))
        async with aiohttp.ClientSession() as session:
            first = await asyncio.gather(
                *(call(session, proxy, name) for name in NAMES for _ in range(10))
            )
            # A caller's own credential reaches no API: that would be counted as a refusal there.
            own = {"Authorization": "Bearer of-the-caller"}
            cached = [await call(session, proxy, name, **own) for name in NAMES * 3]
        answers = first + cached
        assert {answer["token_number"] for answer in answers} == {1}
        # Unidy documents the scheme in lower case, and its recipe says so.
        assert {(answer["provider"], answer["scheme"]) for answer in answers} == {
            ("universe", "Bearer"),
            ("switch", "Bearer"),
            ("unidy", "bearer"),
            ("apiture", "Bearer"),
        }
        for name, emulator in emulators.items():
            assert emulator.counts() == {
                "granted": 1,
                "refused": [],
                "metadata": int(name == "apiture"),
                "api_answered": 13,
                "api_refused": [],
            }
        log = proxy.log_file.read_text()
        assert not [name for name, secret in SECRETS.items() if secret in log]


@pytest.mark.slow
async def test_all_four_are_renewed_ahead_of_their_end_and_no_call_notices(
    start_proxy: StartProxy, tmp_path: Path
) -> None:
    with all_four("--lifetime-seconds", "6") as (emulators, config):
        proxy = await start_proxy(config, environment=environment(tmp_path))
        numbers = dict.fromkeys(NAMES, 0)
        async with aiohttp.ClientSession() as session, asyncio.timeout(RENEWAL_SECONDS_MAX):
            while min(numbers.values()) < 2:
                for name in NAMES:
                    said = await call(session, proxy, name)
                    assert said["token_number"] >= numbers[name]
                    numbers[name] = said["token_number"]
                # Steady callers, not a storm of them: the pace proves nothing.
                await asyncio.sleep(0.05)
        for name, emulator in emulators.items():
            counts = emulator.counts()
            assert counts["refused"] == []
            assert counts["api_refused"] == []
            # The metadata document is kept: a renewal does not ask for it again.
            assert counts["metadata"] == int(name == "apiture")


async def test_one_wrong_secret_costs_the_other_three_nothing(
    start_proxy: StartProxy, tmp_path: Path
) -> None:
    with all_four() as (emulators, config):
        secrets = environment(tmp_path, apiture="gu+essed")
        proxy = await start_proxy(config, environment=secrets)
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.get(proxy.url + TARGETS["apiture"][0]) as refused:
                    assert refused.status == 502
                    assert refused.headers["Content-Type"] == "application/problem+json"
                    assert (await refused.json(content_type=None))["code"] == "grant_refused"
                for name in ("universe", "switch", "unidy"):
                    assert (await call(session, proxy, name))["token_number"] == 1
        counts = emulators["apiture"].counts()
        assert counts["granted"] == 0
        assert counts["api_answered"] == 0
        assert counts["api_refused"] == []
        assert set(counts["refused"]) == {"invalid_client: unknown client or wrong secret"}
        assert "gu+essed" not in proxy.log_file.read_text()
