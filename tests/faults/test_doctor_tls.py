"""What is wrong with TLS is told by cause, with names and dates, and nothing secret is sent."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from faults.doctor_bench import told
from faults.token_server import TokenServer, configuration, http_answer
from integration.recording_upstream import RecordingUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PAST = datetime.now(UTC) - timedelta(days=40)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="Good Authority")


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def context(authority: trustme.CA, *names: str, **dates: datetime) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*(names or ("127.0.0.1",)), **dates).configure_cert(made)
    return made


async def test_sound_tls_names_version_certificate_and_its_end(
    tmp_path: Path, authority: trustme.CA, ca_file: str
) -> None:
    async with TokenServer(tls=context(authority)) as server, RecordingUpstream() as upstream:
        trusting = {"tls": {"ca_file": ca_file}}
        found = await told(configuration(server, upstream.url, client=trusting), tmp_path)
        assert found.is_well, found.text
        detail = found.check("tls")["detail"]
        assert detail.startswith("TLSv1.3; certificate for 127.0.0.1 from 'Testing CA")
        assert "valid until 3000-01-01 (" in detail


async def test_an_authority_that_is_not_trusted_is_named(tmp_path: Path, ca_file: str) -> None:
    other = trustme.CA(organization_unit_name="Another Authority")
    async with TokenServer(tls=context(other)) as server, RecordingUpstream() as upstream:
        trusting = {"tls": {"ca_file": ca_file}}
        found = await told(configuration(server, upstream.url, client=trusting), tmp_path)
        check = found.only_failure
        assert check["check"] == "tls"
        assert f"'Another Authority', which is not among those in {ca_file}" in check["detail"]
        assert "`ca_file` should hold the PEM certificate of 'Another Authority'" in check["hint"]
        assert check["key"] == "clients.billing.tls.ca_file"

        found = await told(configuration(server, upstream.url), tmp_path)
        check = found.only_failure
        assert "not among this machine's trusted authorities" in check["detail"]
        assert "tls.ca_file (not set; would belong to token-proxy.yaml:" in found.text
        assert not server.requests


async def test_an_expired_certificate_is_told_with_its_date(
    tmp_path: Path, authority: trustme.CA, ca_file: str
) -> None:
    tls = context(authority, not_before=PAST - timedelta(days=30), not_after=PAST)
    async with TokenServer(tls=tls) as server, RecordingUpstream() as upstream:
        trusting = {"tls": {"ca_file": ca_file}}
        found = await told(configuration(server, upstream.url, client=trusting), tmp_path)
        check = found.only_failure
        assert f"its certificate expired on {PAST:%Y-%m-%d}" in check["detail"]
        assert "the server's operators must renew it" in check["hint"]
        assert check["key"] == "clients.billing.token_endpoint"


async def test_a_certificate_of_another_name_tells_which_names_it_has(
    tmp_path: Path, authority: trustme.CA, ca_file: str
) -> None:
    tls = context(authority, "api.example.com", "api.example.net")
    async with TokenServer() as server, TokenServer(tls=tls) as upstream:
        trusting = {"tls": {"ca_file": ca_file}}
        for host in ("127.0.0.1", "localhost"):
            url = f"https://{host}:{upstream.port}"
            found = await told(configuration(server, url, upstream=trusting), tmp_path)
            check = found.only_failure
            names = "it is for api.example.com, api.example.net"
            assert check["detail"] == f"its certificate is not for {host}: {names}"
            assert "`server_name`" in check["hint"]
            assert check["key"] == "upstreams.api.tls.server_name"
        assert "request: not checked, because of that" in found.text


async def test_a_certificate_that_should_have_been_renewed_is_a_warning(
    tmp_path: Path, authority: trustme.CA, ca_file: str
) -> None:
    soon = datetime.now(UTC) + timedelta(hours=5)
    tls = context(authority, not_before=PAST, not_after=soon)
    async with TokenServer(tls=tls) as server, RecordingUpstream() as upstream:
        trusting = {"tls": {"ca_file": ca_file}}
        found = await told(configuration(server, upstream.url, client=trusting), tmp_path)
        assert found.is_well
        assert found.check("tls")["result"] == "warning"
        assert "(5 h)" in found.check("tls")["detail"]


async def test_plain_http_where_tls_is_wanted_is_told(tmp_path: Path) -> None:
    async def answer_at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(answer_at_once, "127.0.0.1", 0)
    port = plain.sockets[0].getsockname()[1]
    try:
        async with TokenServer() as server:
            found = await told(configuration(server, f"https://127.0.0.1:{port}/"), tmp_path)
    finally:
        plain.close()
        await plain.wait_closed()
    check = found.only_failure
    assert f"127.0.0.1:{port} does not speak TLS" in check["detail"]
    assert "a port for plain http" in check["hint"]
    assert check["key"] == "upstreams.api.url"


async def test_tls_where_plain_http_is_asked_for_is_told(
    tmp_path: Path, authority: trustme.CA
) -> None:
    async with TokenServer(tls=context(authority)) as server, TokenServer() as well:
        endpoint = {"token_endpoint": f"http://127.0.0.1:{server.port}/token"}
        found = await told(configuration(server, well.issuer, client=endpoint), tmp_path)
        assert [check["check"] for check in found.failures] == ["token", "tls"]
        check = found.failures[1]
        assert "speaks TLS, and was asked in plain http" in check["detail"]
        assert "write https://" in check["hint"]
        assert check["key"] == "clients.billing.token_endpoint"

        config = configuration(well, f"http://127.0.0.1:{server.port}/")
        found = await told(config, tmp_path)
        assert [check["check"] for check in found.failures] == ["request", "tls"]
        assert found.failures[1]["key"] == "upstreams.api.url"


async def test_a_handshake_that_hangs_is_told(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    hanging = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1]
    try:
        async with TokenServer() as server:
            upstream = {"timeouts": {"connect_seconds": 1}}
            url = f"https://127.0.0.1:{port}/"
            found = await told(configuration(server, url, upstream=upstream), tmp_path)
    finally:
        hanging.close()
        await hanging.wait_closed()
    check = found.only_failure
    assert "does not agree on TLS within 1 s" in check["detail"]
    assert check["key"] == "upstreams.api.url"


async def test_a_server_that_wants_our_certificate_is_told_as_such(
    tmp_path: Path, authority: trustme.CA, ca_file: str
) -> None:
    tls = context(authority)
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    async with TokenServer(tls=tls) as server, RecordingUpstream() as upstream:
        trusting = {"tls": {"ca_file": ca_file}}
        found = await told(configuration(server, upstream.url, client=trusting), tmp_path)
        assert not found.is_well
        assert found.only_failure["key"] == "clients.billing.tls.certificate_file"
        assert "may want a certificate of ours" in found.only_failure["hint"]


async def test_an_upstream_that_wants_our_certificate_is_told_as_such(
    tmp_path: Path, authority: trustme.CA, ca_file: str
) -> None:
    tls = context(authority)
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    stranger = tmp_path / "stranger.pem"
    trustme.CA().issue_cert("stranger").private_key_and_cert_chain_pem.write_to_path(str(stranger))
    ours = {"certificate_file": str(stranger), "key_file": str(stranger)}
    async with TokenServer() as server, TokenServer(tls=tls) as api:
        url = f"{api.issuer}/v1"
        for more, why in (({}, "may want a certificate of ours"), (ours, "not believe our cert")):
            upstream = {"tls": {"ca_file": ca_file} | more}
            found = await told(configuration(server, url, upstream=upstream), tmp_path)
            assert why in found.only_failure["hint"]
            assert found.only_failure["key"] == "upstreams.api.tls.certificate_file"
        assert not api.requests


@asynccontextmanager
async def egress_proxy(status: str) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Run a proxy that answers CONNECT so, and opens the way after a 200."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if not status.startswith("200"):
            writer.close()
            return
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass  # the other side has enough, as it may at any time
    finally:
        writer.close()


async def test_behind_an_egress_proxy_the_checks_say_so_and_tls_is_the_servers(
    tmp_path: Path, authority: trustme.CA, ca_file: str
) -> None:
    async with (
        TokenServer(tls=context(authority)) as server,
        RecordingUpstream() as upstream,
        egress_proxy("200 OK") as (port, asked),
    ):
        client: dict[str, Any] = {"http_proxy": f"http://127.0.0.1:{port}"}
        trusting = client | {"tls": {"ca_file": ca_file}}
        found = await told(configuration(server, upstream.url, client=trusting), tmp_path)
        assert found.is_well, found.text
        assert asked == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1".encode()] * 2
        name, tcp = found.checks("name")[0], found.checks("tcp")[0]
        assert "the proxy of `http_proxy`, which looks up 127.0.0.1 itself" in name["detail"]
        assert tcp["detail"] == f"connected to 127.0.0.1:{port}, the proxy of `http_proxy`"
        assert "certificate for 127.0.0.1" in found.check("tls")["detail"]

        found = await told(configuration(server, upstream.url, client=client), tmp_path)
        assert found.only_failure["key"] == "clients.billing.tls.ca_file"


async def test_an_egress_proxy_that_refuses_the_way_is_told(
    tmp_path: Path, authority: trustme.CA
) -> None:
    async with (
        TokenServer(tls=context(authority)) as server,
        RecordingUpstream() as upstream,
        egress_proxy("403 Forbidden") as (port, _),
    ):
        client = {"http_proxy": f"http://127.0.0.1:{port}"}
        found = await told(configuration(server, upstream.url, client=client), tmp_path)
        assert (
            f"opens no way to 127.0.0.1:{server.port}: it answers 403"
            in (found.only_failure["detail"])
        )
        assert found.only_failure["key"] == "clients.billing.http_proxy"


async def test_nothing_is_sent_to_whom_we_do_not_trust(
    tmp_path: Path, authority: trustme.CA
) -> None:
    tls = context(authority)
    async with TokenServer() as server, TokenServer(tls=tls) as upstream:
        upstream.answer = lambda _: http_answer("{}")
        found = await told(configuration(server, upstream.issuer), tmp_path)
        assert found.only_failure["check"] == "tls"
        assert not upstream.requests
