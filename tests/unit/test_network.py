"""`proxy.network`: names on threads of their own, TLS, listening sockets."""

from __future__ import annotations

import asyncio
import errno
import gc
import io
import socket
import ssl
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
import yaml
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from proxy.app import App
from proxy.config.addresses import TcpAddress, UnixAddress
from proxy.config.loader import load_text
from proxy.config.schema import Tls
from proxy.network import Resolver, TlsContexts, listen, stop_listening, tls_context
from proxy.telemetry.log import Log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    resolver = Resolver(threads=2, purpose="test")
    yield resolver
    await resolver.close()


# Names.


async def test_a_name_becomes_addresses_as_sockets_take_them(resolver: Resolver) -> None:
    infos = await resolver.addresses("127.0.0.1", 8080)
    assert [(family, kind, address) for family, kind, _, _, address in infos] == [
        (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 8080))
    ]


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
async def test_a_name_becomes_what_aiohttps_connector_wants(
    resolver: Resolver, host: str, family: socket.AddressFamily
) -> None:
    (found,) = await resolver.resolve(host, 80, family)
    assert (found["hostname"], found["host"], found["port"]) == (host, host, 80)
    assert found["family"] == family


async def test_a_name_that_does_not_resolve_is_an_os_error(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_arguments: Any, **_keywords: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with pytest.raises(OSError, match="unknown"):
        await resolver.addresses("no-such-name.example", 80)


async def test_a_name_that_hangs_leaves_the_other_threads_to_the_others(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    system = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **keywords: Any) -> Any:
        if host == "hanging.example":
            hangs.wait(60)
        return system("127.0.0.1", *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    hanging = asyncio.create_task(resolver.addresses("hanging.example", 80))
    try:
        assert await resolver.addresses("quick.example", 80)
        assert not hanging.done()
    finally:
        hangs.set()
    assert await hanging


async def test_closing_does_not_wait_for_a_name_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, begun = threading.Event(), threading.Event()

    def look_up(*_arguments: Any, **_keywords: Any) -> Any:
        begun.set()
        hangs.wait(60)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    resolver = Resolver(threads=1, purpose="test")
    hanging = asyncio.create_task(resolver.addresses("hanging.example", 80))
    queued = asyncio.create_task(resolver.addresses("queued.example", 80))
    while not begun.is_set():
        await asyncio.sleep(0)
    await resolver.close()
    with pytest.raises(asyncio.CancelledError):
        await queued
    assert not hanging.done()
    hangs.set()
    with pytest.raises(socket.gaierror):
        await hanging


class Names:
    """The system's names for a test: each look-up is noted and hangs until `answer`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self._answers = threading.Event()
        self._system = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def answer(self) -> None:
        self._answers.set()

    async def asked_for(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.asked) < count:
                await asyncio.sleep(0.001)

    def _look_up(self, host: str, *arguments: Any, **keywords: Any) -> Any:
        self.asked.append(host)
        self._answers.wait(60)
        if host.startswith("wrong"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return self._system("127.0.0.1", *arguments, **keywords)


async def test_all_who_ask_for_one_name_share_a_look_up_and_one_who_leaves_ends_it_for_nobody(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch)
    callers = [asyncio.create_task(resolver.addresses("slow.example", 80)) for _ in range(10)]
    await names.asked_for(1)
    callers[0].cancel()
    other = asyncio.create_task(resolver.addresses("other.example", 80))
    await names.asked_for(2)
    names.answer()
    found = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [await other] * 9
    assert names.asked == ["slow.example", "other.example"]
    await resolver.addresses("slow.example", 80)
    assert len(names.asked) == 3


async def test_no_more_names_are_looked_up_at_once_than_there_are_threads(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch)
    callers = [asyncio.create_task(resolver.addresses(f"{n}.example", 80)) for n in range(5)]
    await names.asked_for(2)
    running = [each for each in threading.enumerate() if each.name == "names-test"]
    assert len(running) == 2
    assert names.asked == ["0.example", "1.example"]
    names.answer()
    assert all(await asyncio.gather(*callers))
    assert sorted(names.asked) == [f"{n}.example" for n in range(5)]


async def test_a_failure_that_nobody_waits_for_any_more_is_no_stray_exception(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    strays: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: strays.append(context))
    names = Names(monkeypatch)
    caller = asyncio.create_task(resolver.addresses("wrong.example", 80))
    await names.asked_for(1)
    caller.cancel()
    await asyncio.wait({caller})
    names.answer()
    # The thread has one place in the queue of the loop: what is asked for now comes behind it.
    with pytest.raises(socket.gaierror):
        await resolver.addresses("wrong2.example", 80)
    del caller
    while resolver._look_ups:
        await asyncio.sleep(0)
    gc.collect()
    assert strays == []


async def test_a_machine_without_threads_to_spare_is_an_os_error(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(OSError, match="no thread"):
                await resolver.addresses("127.0.0.1", 80)
    assert await resolver.addresses("127.0.0.1", 80)


HANGING = """
import asyncio, socket, threading
from proxy.network import Resolver

begun = threading.Event()

def hang(*arguments, **keywords):
    begun.set()
    threading.Event().wait()

socket.getaddrinfo = hang

async def main():
    resolver = Resolver(threads=2, purpose="test")
    asking = asyncio.create_task(resolver.addresses("hanging.example", 80))
    while not begun.is_set():
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait({asking})
    await resolver.close()
    print("stopped")

asyncio.run(main())
"""


def test_a_name_that_hangs_for_ever_does_not_stop_the_process_from_ending() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == (b"stopped\n", b"")


HANGING_PAST_THE_LOOP = (
    HANGING.replace("threading.Event().wait()", "closed.wait(); returned.set(); return []")
    .replace(
        "asyncio.run(main())",
        "asyncio.run(main()); closed.set(); returned.wait()\n"
        "[each.join() for each in threading.enumerate() if each.name == 'names-test']",
    )
    .replace("begun = ", "closed, returned = threading.Event(), threading.Event()\nbegun = ")
)


def test_an_answer_that_comes_when_the_loop_is_gone_is_dropped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING_PAST_THE_LOOP],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == (b"stopped\n", b"")


async def test_aiohttp_finds_its_way_with_it(resolver: Resolver) -> None:
    application = web.Application()
    application.router.add_get("/", _answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    connector = aiohttp.TCPConnector(resolver=resolver, family=socket.AF_INET)
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            port = runner.addresses[0][1]
            async with session.get(f"http://localhost:{port}/") as answer:
                assert await answer.text() == "here"
    finally:
        await runner.cleanup()


async def _answer(_: web.Request) -> web.Response:
    return web.Response(text="here")


# TLS.


def test_a_context_verifies_chain_and_name_and_speaks_nothing_older_than_1_2() -> None:
    context = tls_context(Tls())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_ca_file_is_trusted_instead_of_the_systems_authorities(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    assert len(tls_context(Tls(ca_file=str(file))).get_ca_certs()) == 1


@pytest.mark.parametrize("together", [True, False])
def test_a_client_certificate_is_loaded_from_one_file_or_two(
    tmp_path: Path, *, together: bool
) -> None:
    issued = trustme.CA().issue_cert("billing.example.com")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    if together:
        issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
        tls_context(Tls(certificate_file=str(certificate)))
    else:
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))
        tls_context(Tls(certificate_file=str(certificate), key_file=str(key)))


def test_an_encrypted_key_is_an_os_error_and_nobody_is_asked_for_its_password(
    tmp_path: Path,
) -> None:
    issued = trustme.CA().issue_cert("billing.example.com")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    file = tmp_path / "own.pem"
    file.write_bytes(encrypted + issued.cert_chain_pems[0].bytes())
    with pytest.raises(OSError, match="the private key is encrypted"):
        tls_context(Tls(certificate_file=str(file)))


def test_one_context_serves_all_who_trust_the_same(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    contexts = TlsContexts()
    plain, own = contexts.of(Tls()), contexts.of(Tls(ca_file=str(file)))
    assert contexts.of(Tls()) is contexts.of(Tls(server_name="a.example")) is plain
    assert contexts.of(Tls(ca_file=str(file), server_name="a.example")) is own
    assert own is not plain
    assert TlsContexts().of(Tls()) is not plain


def test_a_context_that_cannot_be_made_is_tried_anew_the_next_time(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    contexts, tls = TlsContexts(), Tls(ca_file=str(file))
    with pytest.raises(FileNotFoundError):
        contexts.of(tls)
    trustme.CA().cert_pem.write_to_path(str(file))
    assert len(contexts.of(tls).get_ca_certs()) == 1


async def test_twenty_upstreams_that_trust_the_same_cost_a_start_one_context(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = counted_contexts(monkeypatch)
    upstreams = {
        f"u{n}": {"url": f"https://u{n}.example", "audience": "none", "match": {"path": f"/{n}"}}
        for n in range(20)
    }
    config = load_text(yaml.safe_dump({"upstreams": upstreams}), "f.yaml", {}, tmp_path)
    log = Log(format="json", level="info", access="off", stream=io.StringIO(), wall=lambda: 0.0)
    app = App(config, source="f.yaml", log=log)
    await app.close()
    assert len(made) == 1


async def test_upstreams_without_tls_cost_a_start_no_context(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = counted_contexts(monkeypatch)
    document = {"upstreams": {"u": {"url": "http://127.0.0.1:9", "audience": "none"}}}
    config = load_text(yaml.safe_dump(document), "f.yaml", {}, tmp_path)
    log = Log(format="json", level="info", access="off", stream=io.StringIO(), wall=lambda: 0.0)
    app = App(config, source="f.yaml", log=log)
    await app.close()
    assert made == []


def counted_contexts(monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """Return a list that grows by each client context that is made."""
    made: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def count(*arguments: Any, **keywords: Any) -> ssl.SSLContext:
        made.append(make(*arguments, **keywords))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", count)
    return made


@pytest.mark.parametrize("content", [None, "", "no certificate"])
@pytest.mark.parametrize("key", ["ca_file", "certificate_file"])
def test_a_file_that_cannot_be_used_is_an_os_error(
    tmp_path: Path, key: str, content: str | None
) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OSError):  # noqa: PT011 - the kinds differ, the family is the contract
        tls_context(Tls.model_validate({key: str(file)}))


# Listening.


class Greeter(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


async def greeted(path: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        return await reader.read()
    finally:
        writer.close()


def speaks_six() -> bool:
    """Say whether this machine has an IPv6 loopback interface."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"] if speaks_six() else ["127.0.0.1"])
async def test_port_0_is_the_kernels_choice_and_told(host: str) -> None:
    server, bound = await listen(Greeter, TcpAddress(host, 0))
    assert isinstance(bound, TcpAddress)
    assert (bound.host, bound.port > 0) == (host, True)
    reader, writer = await asyncio.open_connection(host, bound.port)
    assert await reader.read() == b"hello"
    writer.close()
    stop_listening(server, bound)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, bound.port)


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    server, bound = await listen(Greeter, TcpAddress("127.0.0.1", 0))
    with pytest.raises(OSError, match="address already in use") as caught:
        await listen(Greeter, bound)
    assert caught.value.errno == errno.EADDRINUSE
    stop_listening(server, bound)


async def test_a_socket_file_is_for_owner_and_group_and_gone_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "proxy.sock"
    server, bound = await listen(Greeter, UnixAddress(str(file)))
    assert stat.S_IMODE(file.stat().st_mode) == 0o660
    assert await greeted(str(file)) == b"hello"
    stop_listening(server, bound)
    assert not file.exists()


async def test_a_stale_socket_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "proxy.sock"
    with socket.socket(socket.AF_UNIX) as earlier:
        earlier.bind(str(file))
    server, bound = await listen(Greeter, UnixAddress(str(file)))
    assert await greeted(str(file)) == b"hello"
    stop_listening(server, bound)


async def test_a_socket_file_that_somebody_listens_on_is_left_to_them(tmp_path: Path) -> None:
    file = tmp_path / "proxy.sock"
    server, bound = await listen(Greeter, UnixAddress(str(file)))
    with pytest.raises(OSError, match="somebody listens") as caught:
        await listen(Greeter, UnixAddress(str(file)))
    assert caught.value.errno == errno.EADDRINUSE
    assert await greeted(str(file)) == b"hello"
    stop_listening(server, bound)


async def test_a_file_that_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    file = tmp_path / "precious.txt"
    file.write_text("precious")
    with pytest.raises(FileExistsError):
        await listen(Greeter, UnixAddress(str(file)))
    assert file.read_text() == "precious"


async def test_a_folder_that_is_missing_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await listen(Greeter, UnixAddress(str(tmp_path / "missing" / "proxy.sock")))
