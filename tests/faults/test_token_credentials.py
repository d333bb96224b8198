"""Secrets that change while the proxy runs, end to end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from faults.stepped_time import now, stepped
from faults.token_server import Asked, TokenServer, configuration, refusal, running, surroundings

if TYPE_CHECKING:
    from pathlib import Path


def only(server: TokenServer, secret: str) -> None:
    """Let the server know this secret and no other."""

    def answer(asked: Asked) -> bytes:
        if asked.secret == secret:
            return server.grant(asked)
        return refusal("invalid_client", status="401 Unauthorized")

    server.answer = answer


def with_file(server: TokenServer, upstream_url: str, file: Path, **keys: Any) -> dict[str, Any]:
    config = configuration(server, upstream_url, **keys)
    del config["clients"]["billing"]["client_secret"]
    config["clients"]["billing"]["client_secret_file"] = str(file)
    return config


def swap(folder: Path, name: str, secret: str) -> None:
    """Swap a mounted secret as Kubernetes does: a symlink to the directory, renamed over."""
    (folder / name).mkdir()
    (folder / name / "secret").write_text(secret + "\n")
    (folder / "next").symlink_to(name)
    os.replace(folder / "next", folder / "current")  # noqa: PTH105 - of a symlink itself


@stepped
async def test_a_rotated_secret_costs_no_caller_anything(tmp_path: Path) -> None:
    swap(tmp_path, "v1", "one")
    async with surroundings(lifetime_seconds=100) as (server, upstream, _):
        only(server, "one")
        config = with_file(server, upstream.url, tmp_path / "current" / "secret")
        async with running(config, tmp_path) as proxy:
            assert await proxy.status() == 200
            only(server, "two")
            swap(tmp_path, "v2", "two")
            for _ in range(100):
                await proxy.advance(1)
                assert await proxy.status() == 200
            assert [each.secret for each in server.requests] == ["one", "two"]


@stepped
async def test_a_secret_that_changes_under_way_is_tried_once_more(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    async with surroundings() as (server, upstream, _):

        def rotate(asked: Asked) -> bytes:
            file.write_text("new")
            only(server, "new")
            assert asked.secret == "old"
            return refusal("invalid_client")

        server.answer = rotate
        config = with_file(server, upstream.url, file, audience={"prefetch": False})
        async with running(config, tmp_path) as proxy:
            assert await proxy.status() == 200
            assert [each.secret for each in server.requests] == ["old", "new"]


@stepped
async def test_a_corrected_secret_ends_the_refusals_backoff(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("wrong")
    async with surroundings() as (server, upstream, _):
        only(server, "right")
        async with running(with_file(server, upstream.url, file), tmp_path) as proxy:
            await proxy.advance(100)
            assert await proxy.code() == "grant_refused"
            asked, corrected_at = len(server.requests), now()
            file.write_text("right")
            while await proxy.status() != 200:
                await proxy.advance(0.1)
            assert now() - corrected_at <= 1.2
            assert len(server.requests) == asked + 1
            assert "wrong" not in proxy.log
            assert "right" not in proxy.log


@stepped
async def test_a_wrong_secret_is_not_hammered(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("wrong")
    async with surroundings() as (server, upstream, _):
        only(server, "right")
        async with running(with_file(server, upstream.url, file), tmp_path) as proxy:
            for _ in range(600):
                assert await proxy.code() == "grant_refused"
                await proxy.advance(0.5)
            # 10 s doubling to 60 s, and no more for all who ask.
            assert len(server.requests) <= 9
            assert upstream.requests == []
