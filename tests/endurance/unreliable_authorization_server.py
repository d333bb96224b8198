"""An authorization server that nothing can be relied on of, as a process that can be killed.

    python -m endurance.unreliable_authorization_server PORT RECORD LIFETIME CLIENT_ID SECRET

It grants tokens for the `audience` asked for. What else it does with token requests (a manner, see
`MANNERS`) comes as lines on standard input, each acknowledged by the same line on standard output;
it ends when standard input does. What it does is appended to the file RECORD, a JSON object a line,
so that it is known even of a server that was killed. Instants are monotonic seconds, which all
processes of a machine share.

    asked     at, audience, in_flight (how many of that audience's requests are, this one included)
    granted   at, audience, token, asked_at: before it is sent; it is good for LIFETIME from here
    answered  at, audience, manner, and the `token` or the `retry_after` that went out
    left      at, audience: the other side went away before its answer
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from conformance.wire import Peer
from endurance.arrival import arrived_at
from endurance.exchanges import chance

if TYPE_CHECKING:
    from conformance.wire import Head

GRANTS = "grants"
MANNERS = (GRANTS, "fails", "throttles", "shows a page", "resets", "hangs", "dribbles")
"""`throttles` is followed by the seconds of its `Retry-After`: `throttles 3`."""
ANSWER_SECONDS_MAX = 0.2
"""How long it thinks before it grants, so that it may be killed meanwhile."""
DRIBBLE_SECONDS = 0.3
FAILURES = (b"500 Internal Server Error", b"502 Bad Gateway", b"503 Service Unavailable")
PAGE = b"<!doctype html><title>Maintenance</title><p>We will be back soon."


def answer(status: bytes, kind: bytes, body: bytes, *fields: bytes) -> bytes:
    """Return the bytes of an answer."""
    length = b"Content-Length: %d" % len(body)
    lines = (b"HTTP/1.1 " + status, b"Content-Type: " + kind, length, *fields, b"", body)
    return b"\r\n".join(lines[:-1]) + b"\r\n" + lines[-1]


class Server:
    """The state that all connections share."""

    def __init__(self, record: int, lifetime: int, client: str) -> None:
        self._record = record
        self._lifetime = lifetime
        self._authorization = b"Basic " + base64.b64encode(client.encode())
        self._asked: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        self._manner = GRANTS
        self._changed = asyncio.Event()

    def adopt(self, manner: str) -> None:
        """Treat requests like this from now on, those too that are kept waiting."""
        self._manner = manner
        self._changed.set()
        self._changed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Treat one connection's only request."""
        peer = Peer(reader, writer)
        try:
            head = await peer.head()
            form = parse_qs((await peer.exactly(int(head.values("Content-Length")[0]))).decode())
            (audience,) = form["audience"]
            self._in_flight[audience] += 1
            asked_at = arrived_at(writer)
            self._note("asked", asked_at, audience, in_flight=self._in_flight[audience])
            try:
                await self._treat(peer, head, audience, asked_at)
            finally:
                self._in_flight[audience] -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked went away, or was sent away
        finally:
            writer.close()

    def _note(self, event: str, at: float, audience: str, **more: Any) -> None:
        line = {"event": event, "at": at, "audience": audience, **more}
        os.write(self._record, json.dumps(line).encode() + b"\n")

    async def _treat(self, peer: Peer, head: Head, audience: str, asked_at: float) -> None:
        manner = self._manner
        self._asked[audience] += 1
        drawn = chance("answer", audience, self._asked[audience])
        gone = asyncio.create_task(peer.ended())
        try:
            while manner in {"hangs", "dribbles"}:
                await self._keep_waiting(peer, gone, audience, dribbles=manner == "dribbles")
                manner = self._manner
            await asyncio.wait({gone}, timeout=drawn.uniform(0, ANSWER_SECONDS_MAX))
            self._check_presence(gone, audience)
        finally:
            gone.cancel()
        kind, _, seconds = manner.partition(" ")
        more: dict[str, Any] = {}
        if manner == "resets":
            self._note("answered", time.monotonic(), audience, manner=manner)
            peer.abort()
            return
        if manner == GRANTS:
            said, more["token"] = self._grant(head, audience, asked_at)
        elif kind == "throttles":
            more["retry_after"] = int(seconds)
            field = b"Retry-After: " + seconds.encode()
            said = answer(b"429 Too Many Requests", b"text/plain", b"later", field)
        elif manner == "shows a page":
            said = answer(b"200 OK", b"text/html", PAGE)
        else:
            said = answer(drawn.choice(FAILURES), b"text/plain", b"oops")
        peer.send(said)
        await peer.flush()
        self._note("answered", time.monotonic(), audience, manner=kind, **more)

    async def _keep_waiting(
        self, peer: Peer, gone: asyncio.Task[None], audience: str, *, dribbles: bool
    ) -> None:
        """Return when there is another manner. Raises `ConnectionError` where nobody waits."""
        changed = asyncio.create_task(self._changed.wait())
        if dribbles:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            peer.send(b"Content-Length: 1000\r\n\r\n{")
        while not changed.done():
            pause = DRIBBLE_SECONDS if dribbles else None
            await asyncio.wait({gone, changed}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                changed.cancel()
            self._check_presence(gone, audience)
            if dribbles:
                peer.send(b" ")
        if dribbles:
            # What has begun like this can be no other answer any more.
            self._note("answered", time.monotonic(), audience, manner="dribbles")
            raise ConnectionAbortedError

    def _check_presence(self, gone: asyncio.Task[None], audience: str) -> None:
        if gone.done():
            self._note("left", time.monotonic(), audience)
            raise ConnectionResetError

    def _grant(self, head: Head, audience: str, asked_at: float) -> tuple[bytes, str | None]:
        if head.values("Authorization") != [self._authorization]:
            refusal = {"error": "invalid_client"}
            return answer(
                b"401 Unauthorized", b"application/json", json.dumps(refusal).encode()
            ), None
        token = f"{audience}.{secrets.token_urlsafe(24)}"
        self._note("granted", time.monotonic(), audience, token=token, asked_at=asked_at)
        granted = {"access_token": token, "token_type": "Bearer", "expires_in": self._lifetime}
        return answer(b"200 OK", b"application/json", json.dumps(granted).encode()), token


async def main(port: str, record: str, lifetime: str, client_id: str, secret: str) -> None:
    """Serve until standard input ends."""
    descriptor = os.open(record, os.O_WRONLY | os.O_APPEND)
    server = Server(descriptor, int(lifetime), f"{client_id}:{secret}")
    listening = await asyncio.start_server(server.serve, "127.0.0.1", int(port))
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    print("listens", flush=True)
    while line := (await commands.readline()).decode().strip():
        server.adopt(line)
        print(line, flush=True)
    listening.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
