"""Certificates and keys that rotate while the proxy runs, in real time; see T-47 and T-49.

The far ends ask for a client certificate and keep its name. Each answer ends its connection, so
that every request has a handshake of its own, unless connections are to be kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from faults.token_server import eventually, running
from integration.recording_upstream import response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from faults.token_server import Proxy


class Far:
    """A TLS server that wants a client certificate of one authority; both of our far ends."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.port = 0
        self.known = {"one", "two"}
        self.keeps = False

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.answer(reader, writer)
            while self.keeps:
                await self.answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the proxy let the connection go
        finally:
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        certificate = writer.get_extra_info("peercert")
        [(_, name)] = [pair for pair in certificate["subjectAltName"] if pair[0] == "DNS"]
        self.shown.append(name)
        status, body = "200 OK", b"ok"
        if head.startswith(b"POST /token"):
            if name in self.known:
                body = json.dumps({"access_token": f"token-for-{name}", "expires_in": 60}).encode()
            else:
                status, body = "401 Unauthorized", b'{"error": "invalid_client"}'
        fields = () if self.keeps else ("Connection: close",)
        writer.write(response(body, status=status, fields=fields))
        await writer.drain()


@asynccontextmanager
async def far_end(authority: trustme.CA) -> AsyncIterator[Far]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    far = Far()
    server = await asyncio.start_server(far.serve, "127.0.0.1", 0, ssl=context)
    far.port = server.sockets[0].getsockname()[1]
    async with server:
        yield far


class Mounted:
    """Certificate and key as Kubernetes mounts them: behind a symlink that is swapped."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self._folder = folder
        self._authority = authority
        self._swaps = 0
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))

    def swap(self, name: str, *, key_of: str | None = None) -> None:
        """Show `name` from now on; `key_of`: the key is another one's."""
        self._swaps += 1
        folder = self._folder / f"v{self._swaps}"
        folder.mkdir()
        issued = self._authority.issue_cert(name)
        issued.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))
        other = issued if key_of is None else self._authority.issue_cert(key_of)
        other.private_key_pem.write_to_path(str(folder / "tls.key"))
        (self._folder / "..tmp").symlink_to(folder.name)
        os.replace(self._folder / "..tmp", self._folder / "..data")  # noqa: PTH105 - of a symlink itself

    @property
    def keys(self) -> dict[str, str]:
        data = self._folder / "..data"
        return {
            "ca_file": str(self._folder / "ca.pem"),
            "certificate_file": str(data / "tls.crt"),
            "key_file": str(data / "tls.key"),
        }


def events(proxy: Proxy, name: str) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, proxy.log.splitlines()) if event["event"] == name]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def configuration(upstream: Far, mounted: Mounted, **client: Any) -> dict[str, Any]:
    return {
        "listen": "127.0.0.1:0",
        "admin": {"listen": None},
        "clients": {"billing": {"client_id": "billing", **client}} if client else {},
        "audiences": {"orders": {"client": "billing", "prefetch": False}} if client else {},
        "upstreams": {
            "api": {
                "url": upstream.url,
                "audience": "orders" if client else "none",
                "tls": mounted.keys,
            }
        },
    }


async def test_a_rotated_certificate_is_shown_to_the_upstream_and_a_broken_pair_is_not(
    tmp_path: Path, authority: trustme.CA
) -> None:
    mounted = Mounted(tmp_path, authority)
    mounted.swap("one")
    async with (
        far_end(authority) as upstream,
        running(configuration(upstream, mounted), tmp_path) as proxy,
    ):
        assert await proxy.status() == 200
        mounted.swap("two", key_of="three")
        await eventually(lambda: bool(events(proxy, "file_unusable")))
        assert await proxy.status() == 200
        mounted.swap("two")
        await eventually(lambda: bool(events(proxy, "file_read_again")))
        assert await proxy.status() == 200
        assert upstream.shown == ["one", "one", "two"]
        [unusable] = events(proxy, "file_unusable")
        assert unusable["key"] == "upstreams.api.tls"
        assert "no pair" in unusable["detail"]


async def test_a_connection_with_the_old_certificate_is_not_used_for_long(
    tmp_path: Path, authority: trustme.CA
) -> None:
    """A pool that is never idle would show it for ever, and trust what is trusted no more."""
    mounted = Mounted(tmp_path, authority)
    mounted.swap("one")
    async with (
        far_end(authority) as upstream,
        running(configuration(upstream, mounted), tmp_path) as proxy,
    ):
        upstream.keeps = True
        for _ in range(3):
            assert await proxy.status() == 200
        assert proxy.app.telemetry.upstreams["api"].connects["success"] == 1
        mounted.swap("two")
        await eventually(lambda: bool(events(proxy, "file_read_again")))
        for _ in range(3):
            assert await proxy.status() == 200
        assert upstream.shown == ["one"] * 3 + ["two"] * 3
        assert proxy.app.telemetry.upstreams["api"].connects["success"] == 2


async def test_a_rotated_certificate_proves_the_client_where_the_old_one_is_refused(
    tmp_path: Path, authority: trustme.CA
) -> None:
    """A-13; the refusal reads the certificate again, the watch ends the backoff."""
    mounted = Mounted(tmp_path, authority)
    mounted.swap("old")
    async with far_end(authority) as server, far_end(authority) as upstream:
        client = {
            "token_endpoint": f"{server.url}/token",
            "authentication": "tls_client_auth",
            "tls": mounted.keys,
        }
        async with running(configuration(upstream, mounted, **client), tmp_path) as proxy:
            assert await proxy.code() == "grant_refused"
            assert server.shown == ["old"]
            mounted.swap("two")
            await eventually(lambda: server.shown == ["old", "two"])
            assert await proxy.status() == 200
            assert upstream.shown == ["two"]


async def test_a_certificate_that_is_gone_at_the_first_request_sends_nothing(
    tmp_path: Path, authority: trustme.CA
) -> None:
    """T-47: never a request without the certificate; a file that comes back ends the waiting."""
    mounted = Mounted(tmp_path, authority)
    mounted.swap("one")
    async with far_end(authority) as server, far_end(authority) as upstream:
        client = {
            "token_endpoint": f"{server.url}/token",
            "authentication": "tls_client_auth",
            "tls": mounted.keys | {"ca_file": str(tmp_path / "ca-of-the-client.pem")},
        }
        authority.cert_pem.write_to_path(str(tmp_path / "ca-of-the-client.pem"))
        async with running(configuration(upstream, mounted, **client), tmp_path) as proxy:
            (tmp_path / "ca-of-the-client.pem").rename(tmp_path / "away.pem")
            assert await proxy.code() == "credential_unreadable"
            assert server.shown == []
            assert upstream.shown == []
            await eventually(lambda: bool(events(proxy, "file_unusable")))
            (tmp_path / "away.pem").rename(tmp_path / "ca-of-the-client.pem")
            await eventually(lambda: server.shown == ["one"])
            assert await proxy.status() == 200
