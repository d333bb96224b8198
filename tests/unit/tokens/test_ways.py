"""`proxy.tokens.ways`: what clients share."""

from __future__ import annotations

import io
import ssl
from typing import TYPE_CHECKING, Any

import trustme
import yaml
from faults.token_server import TokenServer

from proxy.config.loader import load_text
from proxy.files import FileWatch
from proxy.telemetry.files import FileFacts
from proxy.telemetry.log import Log
from proxy.tls import TlsContexts
from proxy.tokens.ways import Ways

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def no_news(_client: str) -> None:
    raise AssertionError


async def test_clients_that_trust_the_same_share_one_context(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[str | None] = []
    make = ssl.create_default_context

    def count(*arguments: Any, **keywords: Any) -> ssl.SSLContext:
        made.append(keywords.get("cafile"))
        return make(*arguments, **keywords)

    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    async with TokenServer(tls=serving) as server:
        names = ("a", "b", "c")
        client = {
            "token_endpoint": server.url,
            "client_id": "x",
            "authentication": "none",
            "tls": {"ca_file": str(ca_file)},
        }
        document = {
            "clients": dict.fromkeys(names, client),
            "audiences": {name: {"client": name} for name in names},
            "upstreams": {"api": {"url": "http://127.0.0.1:9", "audience": "a"}},
        }
        config = load_text(yaml.dump(document), "f.yaml", {}, tmp_path)
        monkeypatch.setattr(ssl, "create_default_context", count)
        log = Log(format="json", level="info", access="off", stream=io.StringIO(), wall=lambda: 0.0)
        facts = FileFacts(log, monotonic=lambda: 0.0)
        ways = Ways(
            contexts=TlsContexts(),
            files=FileWatch(facts),
            facts=facts,
            monotonic=lambda: 0.0,
            wall=lambda: 0.0,
        )
        ways.reconfigure(config)
        try:
            for audience in config.audiences.values():
                fetched = await ways.fetch(audience).ask()
                assert fetched.token.credential.startswith(b"Bearer token-")
        finally:
            await ways.close()
    assert made == [str(ca_file)]
