"""Metadata of an authorization server: found, or why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from faults.doctor_bench import told
from faults.token_server import (
    TokenServer,
    configuration,
    http_answer,
    surroundings,
)

if TYPE_CHECKING:
    from pathlib import Path


DISCOVERIES: dict[str, tuple[dict[str, Any] | bytes, str, str, str]] = {
    "no document": (
        http_answer("nothing", status="404 Not Found"),
        "the server answered 404",
        "no document is published there",
        "issuer",
    ),
    "another issuer": (
        {"issuer": "https://other.example", "token_endpoint": "https://other.example/t"},
        "issuer: https://other.example",
        "write into `issuer` what the document says",
        "issuer",
    ),
    "a page": (
        http_answer("<html><body>welcome"),
        "not a JSON object",
        "this is a web page",
        "issuer",
    ),
    "in trouble": (
        http_answer("", status="500 Internal Server Error"),
        "server answered 500",
        "the server itself is in trouble",
        "issuer",
    ),
    "no endpoint": (
        {},
        "names no token_endpoint",
        "compare `issuer`",
        "issuer",
    ),
}


@pytest.mark.parametrize("case", DISCOVERIES)
async def test_metadata_that_lead_nowhere_are_told(tmp_path: Path, case: str) -> None:
    document, detail, hint, key = DISCOVERIES[case]
    async with surroundings() as (server, upstream, _):
        published = document
        if isinstance(published, dict):
            published = http_answer({"issuer": server.issuer} | published)
        server.answer = lambda _: published
        client = {"token_endpoint": None, "issuer": server.issuer}
        found = await told(configuration(server, upstream.url, client=client), tmp_path)
        check = found.only_failure
        assert check["check"] == "discovery"
        assert detail in check["detail"]
        assert f"{server.issuer}/.well-known/oauth-authorization-server" in check["detail"]
        assert hint in check["hint"]
        assert check["key"] == f"clients.billing.{key}"


async def test_a_token_endpoint_on_another_host_is_reached_too(tmp_path: Path) -> None:
    async with surroundings() as (server, upstream, _), TokenServer() as metadata:
        metadata.answer = lambda _: http_answer(
            {"issuer": metadata.issuer, "token_endpoint": server.url}
        )
        client = {"token_endpoint": None, "issuer": metadata.issuer}
        found = await told(configuration(server, upstream.url, client=client), tmp_path)
        assert found.is_well, found.text
        assert f"the token endpoint {server.url}" in found.check("discovery")["detail"]
        ports = [check["detail"] for check in found.checks("tcp")]
        assert [metadata.port, server.port] == [int(each.split(":")[-1]) for each in ports[:2]]
