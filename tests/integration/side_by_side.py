"""One request through this proxy and through another one; what differs at either end.

An outcome is text, line by line as the bytes came: `up` is what reached the upstream, `down` what
the caller got. A difference is a line that only one of the two has: `+ …` is ours alone, `- …` the
other's alone. Where one forwards what the other refuses, that is the one difference.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conformance.wire import Answer, Head, Peer, Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

AUTHORITY = "upstream.test"
CREDENTIAL = "Bearer token-1"
DATE = b"Thu, 01 Jan 2026 00:00:00 GMT"
OK = b"HTTP/1.1 200 OK\r\nServer: up\r\nDate: " + DATE + b"\r\nContent-Length: 2\r\n\r\nok"
PROBE = b"GET /probe HTTP/1.1\r\nHost: localhost\r\n\r\n"
ANSWERS_MAX = 8
UNORDERED = ("host:", "authorization:", "content-length:", "transfer-encoding:", "connection:")
"""What a proxy writes itself it writes where it likes; everything else stays in its order."""
BROKEN_OFF = "body: broken off"
OWN_ANSWER = re.compile(rb"^Proxy-Status: token-proxy|<center>nginx</center>", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Case:
    """A request, its answer, and what differs, each with its reason.

    `last`: the upstream ends its connection behind the answer. `answers` is how many final ones the
    caller waits for.
    """

    name: str
    request: bytes
    differs: Mapping[str, str] = field(default_factory=dict)
    answer: bytes = OK
    last: bool = False
    answers: int = 1


@dataclass(slots=True)
class Outcome:
    """What one proxy made of a case."""

    up: list[str] = field(default_factory=list)
    down: list[str] = field(default_factory=list)
    verdict: str = ""
    """`forwarded`, or what the caller was told without a whole request having gone up."""


class FileUpstream(Upstream):
    """The same upstream, at a socket file."""

    async def start(self, **options: object) -> None:
        """Listen at the socket file `path`."""
        self._server = await asyncio.start_unix_server(
            self._on_connection, limit=self._buffer_bytes, **options
        )


@asynccontextmanager
async def file_upstream(path: Path) -> AsyncIterator[FileUpstream]:
    """Listen at the socket file `path`."""
    upstream = FileUpstream(buffer_bytes=1 << 20)
    await upstream.start(path=path)
    try:
        yield upstream
    finally:
        await upstream.stop()


async def outcome(case: Case, caller: Peer, upstream: Upstream) -> Outcome:
    """Send the case's request as `caller`, answer it as `upstream`; say what came at both ends."""
    found = Outcome()
    serving = asyncio.create_task(_serve(case, upstream, found.up))
    try:
        caller.send(case.request)
        statuses = await _answers(case, caller, found.down)
        kept = await _is_kept(caller)
    finally:
        serving.cancel()
        await asyncio.wait({serving})
        caller.abort()
    found.down.append("kept" if kept else "closed")
    if BROKEN_OFF in found.up:
        # What was never whole up there is refused, whether its head went ahead or not.
        found.up = []
    told = " ".join(map(str, statuses)) or "nothing"
    found.verdict = "forwarded" if found.up else f"{told}, {found.down[-1]}"
    found.up = [_plain(line, upstream) for line in found.up]
    return found


async def _answers(case: Case, caller: Peer, down: list[str]) -> list[int]:
    """Read what comes; return the statuses."""
    statuses: list[int] = []
    final = 0
    to_head = case.request.startswith(b"HEAD ")
    while final < case.answers and len(statuses) < ANSWERS_MAX:
        try:
            answer = await caller.answer(to_head=to_head)
        except asyncio.IncompleteReadError as error:
            down.append(f"cut: {_text(error.partial)}")
            break
        except ConnectionResetError:
            down.append("reset")
            break
        except (IndexError, ValueError):
            down.append("no HTTP")
            break
        statuses.append(answer.status)
        final += answer.status >= 200
        if OWN_ANSWER.search(b"\n".join([*answer.head.lines, answer.body])):
            down.append(f"own answer: {answer.status}")
            continue
        down += _said(answer.head) + _body(answer)
    return statuses


async def _is_kept(caller: Peer) -> bool:
    """Say whether another request is answered on the connection."""
    try:
        return (await caller.asks(PROBE)).head.start.endswith(b"200 Probed")
    except (asyncio.IncompleteReadError, ConnectionError):
        return False


async def _serve(case: Case, upstream: Upstream, up: list[str]) -> None:
    """Record and answer whatever comes, on as many connections as come."""
    async with asyncio.TaskGroup() as connections:
        waiting: asyncio.Queue[Peer] = upstream._arrived
        while True:
            connections.create_task(_answer_all(case, await waiting.get(), up))


async def _answer_all(case: Case, peer: Peer, up: list[str]) -> None:
    while True:
        try:
            data = await peer.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        start, *lines = data[:-4].split(b"\r\n")
        head = Head(start, tuple(lines))
        if head.target.endswith(b"/probe"):
            peer.send(b"HTTP/1.1 200 Probed\r\nContent-Length: 0\r\n\r\n")
            continue
        up += _said(head)
        if head.values("Expect"):
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        # A body that breaks off is recorded as far as it came.
        try:
            up += _body(await _with_body(peer, head))
        except (asyncio.IncompleteReadError, ConnectionError):
            up.append(BROKEN_OFF)
            return
        peer.send(case.answer)
        if case.last:
            peer.finish()
            return


async def _with_body(peer: Peer, head: Head) -> Answer:
    if head.values("Transfer-Encoding"):
        pieces, trailers = await peer.chunked()
        return Answer(head, b"".join(pieces), pieces, trailers)
    length = head.values("Content-Length")
    return Answer(head, await peer.exactly(int(length[0])) if length else b"")


def _said(head: Head) -> list[str]:
    return [_text(line) for line in (head.start, *head.lines)]


def _body(message: Answer) -> list[str]:
    lines = [f"body: {_text(message.body)}"] if message.body else []
    return lines + [f"trailer: {_text(line)}" for line in message.trailers]


def _text(data: bytes) -> str:
    """Return bytes as a line that can be written in a table; long ones by their length."""
    text = data.decode("latin-1").encode("unicode_escape").decode("ascii")
    return text if len(text) < 200 else f"{text[:40]}… {len(data)} bytes"


def _plain(line: str, upstream: Upstream) -> str:
    """Take away what is new at each run."""
    line = line.replace(f"127.0.0.1:{upstream.port}", AUTHORITY)
    return re.sub(r"token-proxy-[0-9a-f]{8}", "token-proxy-ID", line)


def differences(ours: Outcome, theirs: Outcome) -> set[str]:
    """Return what differs; see the module's docstring."""
    if ours.verdict != theirs.verdict and not (ours.up and theirs.up):
        return {f"{ours.verdict}; nginx: {theirs.verdict}"}
    found = set()
    for way, our_lines, their_lines in (
        ("up", ours.up, theirs.up),
        ("down", [_undated(line) for line in ours.down], [_undated(line) for line in theirs.down]),
    ):
        if not ours.up and way == "down":
            # Refused by both in their own words.
            continue
        alone, missing = Counter(our_lines), Counter(their_lines)
        alone.subtract(missing)
        found |= {f"{way} + {line}" for line, count in alone.items() if count > 0}
        found |= {f"{way} - {line}" for line, count in alone.items() if count < 0}
        if _in_order(our_lines, their_lines) != _in_order(their_lines, our_lines):
            found.add(f"{way} order")
    return found


def _undated(line: str) -> str:
    return line if not line.startswith("Date: ") or DATE.decode() in line else "Date: now"


def _in_order(lines: list[str], others: list[str]) -> list[str]:
    """Return the lines that both have, but for those that each writes in its own place."""
    left = Counter(others)
    kept = []
    for line in lines:
        if left[line] > 0 and not line.lower().startswith(UNORDERED):
            left[line] -= 1
            kept.append(line)
    return kept
