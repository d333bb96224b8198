"""TLS to an upstream: verified, always; what fails is named, and nothing is sent."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from conformance.bench import OK, bench, eventually, request

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def serving(authority: trustme.CA, *names: str) -> dict[str, Any]:
    """Return options of a listener with a certificate for these names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return {"ssl": context}


async def test_a_trusted_upstream_is_spoken_to(authority: trustme.CA, ca_file: str) -> None:
    async with bench(
        url="https://127.0.0.1:UPSTREAM_PORT",
        tls={"ca_file": ca_file},
        listening=serving(authority, "127.0.0.1"),
    ) as the:
        head, answer = await the.pass_through(request())
        assert head.values("Host") == [b"127.0.0.1:%d" % the.upstream.port]
        assert answer.body == b"ok"
        await the.pass_through_kept(the.upstream._peers[0])
        assert the.upstream.connections == 1


async def test_a_large_body_goes_both_ways(authority: trustme.CA, ca_file: str) -> None:
    async with bench(
        url="https://127.0.0.1:UPSTREAM_PORT",
        tls={"ca_file": ca_file},
        listening=serving(authority, "127.0.0.1"),
    ) as the:
        body = bytes(range(256)) * 16384
        caller = await the.caller()
        caller.send(request(b"Content-Length: %d" % len(body), line=b"POST /a HTTP/1.1", body=body))
        upstream = await the.upstream.accept()
        await upstream.head()
        assert await upstream.exactly(len(body)) == body
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert (await caller.answer()).body == body


async def test_the_certificates_name_may_be_another(authority: trustme.CA, ca_file: str) -> None:
    async with bench(
        url="https://127.0.0.1:UPSTREAM_PORT",
        tls={"ca_file": ca_file, "server_name": "api.example.com"},
        listening=serving(authority, "api.example.com"),
    ) as the:
        _, answer = await the.pass_through(request())
        assert answer.status == 200


@pytest.mark.parametrize("case", ["another authority", "another name", "system trust"])
async def test_an_upstream_that_is_not_trusted_gets_nothing(
    authority: trustme.CA, ca_file: str, case: str
) -> None:
    async with bench(
        audience={},
        url="https://127.0.0.1:UPSTREAM_PORT",
        tls={} if case == "system trust" else {"ca_file": ca_file},
        listening=serving(
            trustme.CA() if case == "another authority" else authority,
            "127.0.0.2" if case == "another name" else "127.0.0.1",
        ),
    ) as the:
        answer = await (await the.caller()).asks(request())
        assert answer.status == 502
        assert b"upstream_unreachable" in answer.body
        assert answer.head.values("Proxy-Status") == [b"token-proxy; error=tls_certificate_error"]
        assert the.facts.connects["tls"] == 1
        assert repr(the.pool) == "<Pool api: 0 active, 0 idle, 0 waiting>"


async def test_an_upstream_that_speaks_no_tls_is_named(ca_file: str) -> None:
    async with bench(url="https://127.0.0.1:UPSTREAM_PORT", tls={"ca_file": ca_file}) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        assert (await upstream.some())[:1] == b"\x16"
        upstream.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        answer = await caller.answer()
        assert answer.status == 502
        assert answer.head.values("Proxy-Status") == [b"token-proxy; error=tls_protocol_error"]
        assert the.facts.connects["tls"] == 1


async def test_a_handshake_that_hangs_is_timed_out(ca_file: str) -> None:
    async with bench(
        url="https://127.0.0.1:UPSTREAM_PORT",
        tls={"ca_file": ca_file},
        timeouts={"connect_seconds": 0.4},
    ) as the:
        caller = await the.caller()
        caller.send(request())
        upstream = await the.upstream.accept()
        answer = await caller.answer()
        assert answer.status == 502
        assert answer.head.values("Proxy-Status") == [b"token-proxy; error=connection_timeout"]
        await upstream.ended()


async def test_a_client_certificate_is_shown_where_there_is_one(
    authority: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    ours = authority.issue_cert("us@example.com")
    ours.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "us.pem"))
    listening = serving(authority, "127.0.0.1")
    listening["ssl"].verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(listening["ssl"])
    async with bench(
        url="https://127.0.0.1:UPSTREAM_PORT",
        tls={"ca_file": ca_file, "certificate_file": str(tmp_path / "us.pem")},
        listening=listening,
    ) as the:
        _, answer = await the.pass_through(request())
        assert answer.status == 200
        shown = the.upstream._peers[0].writer.get_extra_info("peercert")
        assert ("email", "us@example.com") in shown["subjectAltName"]


async def test_a_stale_tls_connection_is_replaced(authority: trustme.CA, ca_file: str) -> None:
    async with bench(
        url="https://127.0.0.1:UPSTREAM_PORT",
        tls={"ca_file": ca_file},
        listening=serving(authority, "127.0.0.1"),
    ) as the:
        await the.pass_through(request())
        stale = await _first(the)
        caller = await the.caller()
        caller.send(request(line=b"GET /again HTTP/1.1"))
        await stale.head()
        stale.abort()
        fresh = await the.upstream.accept()
        assert (await fresh.head()).target == b"/again"
        fresh.send(OK)
        assert (await caller.answer()).status == 200
        await eventually(lambda: the.facts.connections_idle == 1, "one is left")


async def _first(the: Any) -> Any:
    await eventually(lambda: the.facts.connections_idle == 1, "it is idle")
    return the.upstream._peers[0]


@pytest.mark.parametrize("proper", [True, False])
async def test_an_answer_until_close_is_whole_only_by_a_proper_end(
    authority: trustme.CA, ca_file: str, *, proper: bool
) -> None:
    """RFC 9112 §9.8: without close_notify anybody on the way may have cut it."""
    context = serving(authority, "127.0.0.1")["ssl"]
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with context.wrap_socket(listening.accept()[0], server_side=True) as tls:
                tls.recv(65536)
                tls.sendall(b"HTTP/1.1 200 OK\r\n\r\npart")
                if proper:
                    tls.unwrap().close()
                else:
                    tls.shutdown(socket.SHUT_RDWR)

        port = listening.getsockname()[1]
        async with bench(url=f"https://127.0.0.1:{port}", tls={"ca_file": ca_file}) as the:
            serving_it = asyncio.create_task(asyncio.to_thread(serve))
            caller = await the.caller()
            caller.send(request())
            await caller.head()
            assert await caller.broken_off() is not proper
            await serving_it
