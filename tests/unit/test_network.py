"""`proxy.network`: names on threads of their own, TLS, listening sockets."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from proxy.config.addresses import TcpAddress, UnixAddress
from proxy.network import Resolver, listen, stop_listening

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
