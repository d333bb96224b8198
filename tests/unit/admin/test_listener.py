"""`proxy.admin.listener`, spoken to over real sockets."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from proxy.admin import listener as module
from proxy.admin.health import Health
from proxy.admin.listener import AdminListener
from proxy.telemetry.facts import Telemetry
from proxy.telemetry.last_minute import LastMinute
from proxy.telemetry.log import Log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str


class Admin:
    """A listener that runs, its health, and a plain socket to it."""

    def __init__(self) -> None:
        self.lines = io.StringIO()
        log = Log(format="json", level="debug", access="all", stream=self.lines, wall=time.time)  # noqa: TID251
        self.telemetry = Telemetry(
            upstreams=["orders"],
            audiences=["orders"],
            log=log,
            wall=time.time,  # noqa: TID251 - what a log is given
            monotonic=time.monotonic,
        )
        self.health = Health(self.telemetry, started_at=time.monotonic())
        self.health.listening = True
        self.listener = AdminListener(self.telemetry, self.health, clock=time.monotonic)
        self.address = ""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.address.rpartition(":")
        return await asyncio.open_connection(host.strip("[]"), int(port))

    async def raw(self, request: bytes) -> bytes:
        """Send bytes, read to the end; the caller asks for the connection to be closed."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            return await reader.read()
        finally:
            writer.close()

    async def ask(self, target: str, method: str = "GET", *fields: str) -> Answer:
        lines = [f"{method} {target} HTTP/1.1", "Host: any.example", "Connection: close", *fields]
        head, _, body = (await self.raw("\r\n".join([*lines, "", ""]).encode())).partition(
            b"\r\n\r\n"
        )
        status, *rest = head.decode().split("\r\n")
        headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in rest)}
        return Answer(int(status.split()[1]), headers, body.decode())


@pytest.fixture
async def admin() -> AsyncIterator[Admin]:
    running = Admin()
    running.address = await running.listener.start("127.0.0.1:0")
    yield running
    await running.listener.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
async def test_a_probe_is_told_ok_in_plain_text(admin: Admin, path: str) -> None:
    answer = await admin.ask(path)
    assert (answer.status, answer.body) == (200, "ok\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/metrics", "/", "/nothing"])
async def test_no_answer_is_stored_or_tells_versions(admin: Admin, path: str) -> None:
    answer = await admin.ask(path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["server"] == "token-proxy"


async def test_a_draining_process_is_alive_but_not_ready(admin: Admin) -> None:
    admin.health.draining = True
    assert (await admin.ask("/livez")).status == 200
    answer = await admin.ask("/readyz")
    assert (answer.status, answer.body) == (503, "draining\n")


async def test_a_process_that_does_not_listen_yet_is_alive_only(admin: Admin) -> None:
    admin.health.listening = False
    statuses = [(await admin.ask(path)).status for path in ("/livez", "/readyz", "/startupz")]
    assert statuses == [200, 503, 503]


async def test_startup_names_the_audiences_it_waits_for(admin: Admin) -> None:
    now = 0.0
    health = Health(admin.telemetry, prefetched=["orders"], wait_for_tokens_seconds=60)
    health.listening = True
    waiting = AdminListener(admin.telemetry, health, clock=lambda: now)
    await admin.listener.close()
    admin.address = await waiting.start("127.0.0.1:0")
    try:
        answer = await admin.ask("/startupz")
        assert (answer.status, answer.body) == (503, "waiting for first tokens: orders\n")
        now = 60.0
        assert (await admin.ask("/startupz")).status == 200
    finally:
        await waiting.close()


async def test_verbose_readiness_lists_the_audiences(admin: Admin) -> None:
    answer = await admin.ask("/readyz?verbose")
    assert answer.body.splitlines() == [
        "ok",
        "listening: yes",
        "draining: no",
        "audience orders: absent",
    ]
    admin.health.draining = True
    assert (await admin.ask("/readyz?verbose")).status == 503


async def test_metrics_come_as_text(admin: Admin) -> None:
    answer = await admin.ask("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'tokenproxy_requests_in_flight{upstream="orders"} 0.0' in answer.body


async def test_metrics_come_as_openmetrics_to_who_reads_it(admin: Admin) -> None:
    answer = await admin.ask("/metrics", "GET", "Accept: application/openmetrics-text")
    assert answer.headers["content-type"] == (
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    )
    assert answer.body.endswith("# EOF\n")


@pytest.mark.parametrize(
    "path",
    ["/livez", "/readyz?verbose", "/metrics", "/", "/?refresh=0", "/status.json", "/nothing"],
)
async def test_head_is_get_without_the_body(admin: Admin, path: str) -> None:
    got, head = await admin.ask(path), await admin.ask(path, "HEAD")
    assert (head.status, head.body) == (got.status, "")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "REPORT"])
async def test_other_methods_are_told_which_are_allowed(admin: Admin, method: str) -> None:
    for path in ("/livez", "/", "/status.json"):
        answer = await admin.ask(path, method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "target",
    ["/livez/", "/LIVEZ", "//livez", "/status", "/status.json/", "/../livez", "/livez%00", "*"],
)
async def test_whatever_else_is_asked_for_is_not_found(admin: Admin, target: str) -> None:
    assert (await admin.ask(target)).status in {404, 400}


async def test_what_is_malformed_is_answered_without_an_echo_or_a_log_line(admin: Admin) -> None:
    answer = await admin.raw(b"GET /livez HTTP/1.1\r\nAuthorization canary\r\n\r\n")
    assert answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"canary" not in answer
    assert b"aiohttp" not in answer
    assert admin.lines.getvalue() == ""


async def test_a_body_is_not_waited_for(admin: Admin) -> None:
    request = b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx"
    assert (await admin.raw(request)).startswith(b"HTTP/1.1 405 ")


async def test_a_head_without_end_is_refused(admin: Admin) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"
    reader, writer = await admin.connect()
    writer.write(request)
    try:
        answer = await reader.read()
    except ConnectionResetError:
        # It was closed with our bytes still unread.
        answer = b""
    writer.close()
    assert answer[9:12] in {b"", b"400"}


async def test_one_connection_serves_several_probes(admin: Admin) -> None:
    reader, writer = await admin.connect()
    for _ in range(3):
        writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()


@pytest.mark.parametrize("begun", [b"", b"GET /livez HTT", b"GET /livez HTTP/1.1\r\nHost: a\r\nX:"])
async def test_a_head_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.2)
    slow = Admin()
    slow.address = await slow.listener.start("127.0.0.1:0")
    reader, writer = await slow.connect()
    writer.write(begun)
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    writer.close()
    await slow.listener.close()


async def test_a_caller_that_does_not_read_is_cut_off(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)
    page = b"x" * 32_000_000
    monkeypatch.setattr(module, "render", lambda *_: (page, "text/plain"))
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.setblocking(False)
        loop = asyncio.get_running_loop()
        host, _, port = admin.address.rpartition(":")
        await loop.sock_connect(caller, (host, int(port)))
        await loop.sock_sendall(caller, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")

        async def given_up() -> bool:
            protocols = admin.listener._protocols
            assert protocols is not None
            return protocols.requests_count == 1 and not protocols.connections

        await until(given_up)


async def test_who_sits_on_connections_does_not_lock_out_a_probe(admin: Admin) -> None:
    sitting = [await admin.connect() for _ in range(module.CONNECTIONS_MAX + 5)]
    try:
        assert (await admin.ask("/livez")).status == 200
        # The oldest were let go.
        assert await asyncio.wait_for(sitting[0][0].read(), 30) == b""
    finally:
        for _, writer in sitting:
            writer.close()


async def test_an_error_of_our_own_is_answered_and_logged_without_its_text(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> tuple[bytes, str]:
        raise ValueError("canary")

    monkeypatch.setattr(module, "render", broken)
    answer = await admin.ask("/metrics")
    assert (answer.status, answer.body) == (500, "internal error\n")
    assert answer.headers["server"] == "token-proxy"
    assert '"error": "ValueError"' in admin.lines.getvalue()
    assert "canary" not in admin.lines.getvalue()


async def test_an_address_that_is_taken_is_an_os_error(admin: Admin) -> None:
    second = AdminListener(admin.telemetry, admin.health, clock=time.monotonic)
    with pytest.raises(OSError, match="address already in use"):
        await second.start(admin.address)
    await second.close()


@pytest.mark.parametrize("address", ["", "localhost", "localhost:http", ":9090", "127.0.0.1:65536"])
async def test_what_is_no_address_is_refused(admin: Admin, address: str) -> None:
    second = AdminListener(admin.telemetry, admin.health, clock=time.monotonic)
    with pytest.raises(ValueError, match=r"should|has no host"):
        await second.start(address)


async def test_it_listens_on_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    six = Admin()
    six.address = await six.listener.start("[::1]:0")
    assert six.address.startswith("[::1]:")
    assert (await six.ask("/livez")).status == 200
    await six.listener.close()


async def test_after_closing_nobody_answers_and_closing_again_is_nothing(admin: Admin) -> None:
    reader, writer = await admin.connect()
    writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"ok\n")
    await admin.listener.close()
    await admin.listener.close()
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await admin.connect()


async def livez_over(path: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def test_it_listens_on_a_socket_file_even_where_a_stale_one_lies(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    on_file = Admin()
    assert await on_file.listener.start(f"unix:{path}") == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert (await livez_over(path)).endswith(b"ok\n")
    await on_file.listener.close()
    assert not path.exists()


async def test_a_socket_file_that_somebody_listens_on_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    first, second = Admin(), Admin()
    await first.listener.start(f"unix:{path}")
    with pytest.raises(OSError, match="somebody listens"):
        await second.listener.start(f"unix:{path}")
    assert (await livez_over(path)).endswith(b"ok\n")
    await first.listener.close()


async def test_a_scrape_does_not_hold_up_a_probe(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    begun, go_on = asyncio.Event(), socket.socketpair()

    def stuck(*_: object) -> tuple[bytes, str]:
        loop.call_soon_threadsafe(begun.set)
        go_on[1].recv(1)
        return b"done", "text/plain"

    monkeypatch.setattr(module, "render", stuck)
    scrape = asyncio.create_task(admin.ask("/metrics"))
    try:
        await asyncio.wait_for(begun.wait(), 30)
        assert (await admin.ask("/livez")).status == 200
        assert not scrape.done()
    finally:
        go_on[0].send(b"x")
        answer = await scrape
        for end in go_on:
            end.close()
    assert answer.body == "done"


async def test_the_page_comes_with_a_policy_that_lets_nothing_in(admin: Admin) -> None:
    answer = await admin.ask("/?refresh=0")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "http-equiv" not in answer.body
    assert '<meta http-equiv="refresh" content="5">' in (await admin.ask("/")).body


async def test_the_status_is_told_as_json(admin: Admin) -> None:
    admin.health.listening_on = ["127.0.0.1:8080"]
    admin.telemetry.upstreams["orders"].request_finished("GET", 200, "upstream", 0.01)
    answer = await admin.ask("/status.json")
    assert answer.headers["content-type"] == "application/json"
    told = json.loads(answer.body)
    assert told["state"] == "serving"
    assert (told["listen"], told["admin"]) == (["127.0.0.1:8080"], admin.address)
    assert told["upstreams"][1]["codes"]["2xx"] == 1
    assert 0 <= told["now"] - told["started_at"] < 3600


async def test_counts_are_sampled_while_it_listens_and_no_longer(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLE_SECONDS", 0.001)
    samples = 0

    def sampling(_: LastMinute) -> Iterator[None]:
        nonlocal samples
        samples += 1
        yield

    monkeypatch.setattr(LastMinute, "sampling", sampling)
    other = AdminListener(admin.telemetry, admin.health, clock=time.monotonic)
    await other.start("127.0.0.1:0")

    async def sampled() -> bool:
        return samples > 3

    await until(sampled)
    await other.close()
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert "admin-sampler" in names, "the fixture's own goes on"
    seen = samples
    await asyncio.sleep(0.05)
    assert samples == seen
