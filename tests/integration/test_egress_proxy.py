"""Token requests through an egress proxy that is not ours, Debian's tinyproxy.

`http_proxy` of a client is the only way there: what the environment says of proxies, and who a
`.netrc` says we are, is not for this program (A-11).
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from faults.token_server import Asked, TokenServer, http_answer, token_of
from integration.egress import (
    SECRET,
    Egress,
    config,
    problem,
    with_certificate,
)
from integration.logged import PATIENCE_SECONDS, logged_once

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from integration.egress import StartEgress
    from integration.foreign_server import StartServer
    from integration.proxy_process import RunningProxy, StartProxy
    from integration.recording_upstream import RecordingUpstream


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Path:
    """Give a folder with our trust, and a certificate of ours with its key."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ours = authority.issue_cert("token-proxy.example", common_name="token-proxy")
    ours.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    return tmp_path


@pytest.fixture
async def secure_server(authority: trustme.CA) -> AsyncIterator[TokenServer]:
    """Run a token endpoint under TLS that lets nobody in without a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    async with TokenServer(tls=context) as server:
        yield server


@pytest.fixture
def start_egress(start_tinyproxy: StartServer, tmp_path: Path) -> StartEgress:
    folder = tmp_path / "tinyproxy"

    async def start(**settings: Any) -> Egress:
        folder.mkdir()
        wanted = {"folder": str(folder), **settings}
        return Egress(await asyncio.to_thread(start_tinyproxy, wanted), folder)

    return start


async def until_it_serves(proxy: RunningProxy) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await proxy.get())[0] != 200:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("authentication", ["client_secret_post", "tls_client_auth"])
async def test_a_tunnel_carries_tls_with_our_certificate_to_the_server(
    authentication: str,
    secure_server: TokenServer,
    files: Path,
    upstream: RecordingUpstream,
    start_egress: StartEgress,
    start_proxy: StartProxy,
) -> None:
    """RFC 8705 §2: the certificate is seen by the server itself, which lets nobody in without."""
    egress = await start_egress(connect_ports=[secure_server.port])
    secret = SECRET if authentication == "client_secret_post" else None
    keys = {"authentication": authentication, "client_secret": secret}
    wanted = config(secure_server, upstream, egress, **keys, **with_certificate(files))
    proxy = await start_proxy(wanted)

    assert await proxy.get() == (200, b"ok\n")

    (asked,) = secure_server.token_requests
    assert asked.field("client_id") == "billing"
    assert asked.field("client_secret") == secret
    assert "authorization" not in asked.headers
    assert token_of(upstream.requests[0]) in secure_server.expiry
    assert egress.requests == [f"CONNECT 127.0.0.1:{secure_server.port} HTTP/1.1"]


async def test_a_tunnel_does_not_make_a_certificate_good(
    secure_server: TokenServer,
    files: Path,
    upstream: RecordingUpstream,
    start_egress: StartEgress,
    start_proxy: StartProxy,
) -> None:
    """A-09: who sits on the way may answer in the server's place."""
    egress = await start_egress()
    keys = with_certificate(files)
    del keys["tls"]["ca_file"]
    proxy = await start_proxy(config(secure_server, upstream, egress, **keys))

    _, code, detail = await problem(proxy)

    assert code == "authorization_server_unavailable"
    assert "TLS" in detail
    event = await logged_once(proxy, "token_fetch_failed")
    assert "certificate" in event["detail"].lower()
    assert len(egress.requests) == 1
    assert secure_server.requests == []


async def test_plain_http_goes_in_absolute_form_and_callers_requests_do_not_go_there(
    upstream: RecordingUpstream, start_egress: StartEgress, start_proxy: StartProxy
) -> None:
    egress = await start_egress()
    async with TokenServer() as server:
        proxy = await start_proxy(config(server, upstream, egress))
        for _ in range(3):
            assert await proxy.get() == (200, b"ok\n")

        (asked,) = server.token_requests
        # It writes what it forwards anew, and says so.
        assert "tinyproxy" in asked.headers["via"]
        assert asked.field("client_secret") == SECRET
        assert egress.requests == [f"POST {server.url} HTTP/1.1"]
    assert len(upstream.requests) == 3


async def test_metadata_is_fetched_through_it_too(
    upstream: RecordingUpstream, start_egress: StartEgress, start_proxy: StartProxy
) -> None:
    egress = await start_egress()
    async with TokenServer() as server:

        def answer(asked: Asked) -> bytes:
            if asked.method == "GET":
                return http_answer({"issuer": server.issuer, "token_endpoint": server.url})
            return server.grant(asked)

        server.answer = answer
        proxy = await start_proxy(
            config(server, upstream, egress, token_endpoint=None, issuer=server.issuer)
        )
        assert await proxy.get() == (200, b"ok\n")
        first, last = egress.requests
    assert first.startswith(f"GET {server.issuer}/.well-known/")
    assert last == f"POST {server.url} HTTP/1.1"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("way", ["direct", "configured"])
async def test_proxies_and_identities_of_the_environment_are_not_ours(
    way: str,
    scheme: str,
    secure_server: TokenServer,
    files: Path,
    upstream: RecordingUpstream,
    start_egress: StartEgress,
    start_proxy: StartProxy,
) -> None:
    """A-11: `NO_PROXY` is ignored as well, where a proxy is configured."""
    egress = await start_egress() if way == "configured" else None
    (files / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    (files / ".netrc").chmod(0o600)
    connections = 0

    def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    trap = await asyncio.start_server(count, "127.0.0.1", 0)
    port = trap.sockets[0].getsockname()[1]
    environment = {"HOME": str(files), "NETRC": str(files / ".netrc")}
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
        environment |= dict.fromkeys((name, name.upper()), f"http://127.0.0.1:{port}")
    for name in ("no_proxy", "NO_PROXY"):
        environment[name] = "*" if way == "configured" else ""

    async with TokenServer() as plain_server, trap:
        server = plain_server if scheme == "http" else secure_server
        keys = {} if scheme == "http" else with_certificate(files)
        proxy = await start_proxy(config(server, upstream, egress, **keys), environment=environment)
        assert await proxy.get() == (200, b"ok\n")
        (asked,) = server.token_requests

    assert "authorization" not in asked.headers
    assert asked.field("client_secret") == SECRET
    assert len(egress.requests if egress else ()) == (way == "configured")
    assert connections == 0


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        pytest.param({"connect_ports": [1]}, 403, id="port"),
        pytest.param({"filtered": ["127\\.0\\.0\\.1"]}, 403, id="host"),
        pytest.param({"basic_auth": ["somebody", "else"]}, 407, id="credential"),
    ],
)
async def test_an_egress_proxy_that_refuses_makes_the_server_unavailable(
    settings: dict[str, Any],
    status: int,
    secure_server: TokenServer,
    files: Path,
    upstream: RecordingUpstream,
    start_egress: StartEgress,
    start_proxy: StartProxy,
) -> None:
    """The log tells what it said; callers learn whose refusal it was, and no more."""
    egress = await start_egress(**settings)
    proxy = await start_proxy(config(secure_server, upstream, egress, **with_certificate(files)))

    answered, code, detail = await problem(proxy)

    assert (answered, code) == (503, "authorization_server_unavailable")
    assert "http_proxy" in detail
    assert str(status) not in detail
    event = await logged_once(proxy, "token_fetch_failed")
    assert (event["code"], event["result"]) == (code, "unavailable")
    assert "http_proxy" in event["detail"]
    assert str(status) in event["detail"]
    assert "http_proxy" in (await problem(proxy))[2]  # known already, and not asked for again
    assert len(egress.requests) == 1
    assert secure_server.requests == upstream.requests == []


async def test_an_egress_proxy_that_finds_no_server_makes_it_unavailable(
    upstream: RecordingUpstream, start_egress: StartEgress, start_proxy: StartProxy
) -> None:
    egress = await start_egress()
    async with TokenServer() as gone:
        pass
    wanted = config(gone, upstream, egress, token_endpoint=gone.url.replace("http:", "https:"))
    proxy = await start_proxy(wanted)

    assert (await problem(proxy))[:2] == (503, "authorization_server_unavailable")

    event = await logged_once(proxy, "token_fetch_failed")
    assert "http_proxy" in event["detail"]
    assert "500" in event["detail"]


async def test_a_dead_egress_proxy_makes_the_server_unavailable_until_it_returns(
    secure_server: TokenServer,
    files: Path,
    upstream: RecordingUpstream,
    start_egress: StartEgress,
    start_proxy: StartProxy,
) -> None:
    """No way round it is looked for: the server itself could be reached all the time."""
    egress = await start_egress()
    await asyncio.to_thread(egress.server.stop)
    proxy = await start_proxy(config(secure_server, upstream, egress, **with_certificate(files)))

    answered, code, detail = await problem(proxy)

    assert (answered, code) == (503, "authorization_server_unavailable")
    assert "http_proxy" in detail
    assert secure_server.requests == []
    await asyncio.to_thread(egress.server.start)
    await until_it_serves(proxy)
    event = await logged_once(proxy, "token_fetch_failed")
    assert "http_proxy" in event["detail"]
    assert len(secure_server.token_requests) == len(egress.requests) == 1
