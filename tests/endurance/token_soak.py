"""Callers at a steady pace through one proxy whose tokens come from two authorization servers.

`Guard` is the upstream's part: it takes live tokens of the right audience only. `Soak` is the
callers' part: it keeps each call, and the proxy's own counts now and then.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from endurance.arrival import arrived_at
from endurance.authorization_servers import plan
from endurance.measured_proxy import eventually
from endurance.sizes import FULL, sized
from endurance.verdicts import Call
from integration.proxy_process import get
from integration.recording_upstream import RecordedRequest, RecordingUpstream, response
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from endurance.authorization_servers import AuthorizationServer
    from endurance.measured_proxy import MeasuredProxy

SECONDS = sized(7, 600)
LIFETIME_SECONDS = sized(4, 20)
TIMEOUT_SECONDS = sized(2, 5)
SAMPLE_SECONDS = 1.0 if FULL else 0.25
WARM_UP_SECONDS = SECONDS / 4
CALLS_PER_SECOND = 100
SERVED_BY = {
    "orders": "first",
    "stock": "first",
    "prices": "first",
    "people": "second",
    "rooms": "second",
}
"""Audiences, each with the authorization server that grants its tokens."""


@dataclass(slots=True)
class Guard:
    """The upstream's answer: 200 for a live token of the right audience, else 401 and noted."""

    servers: dict[str, AuthorizationServer]
    upstream: RecordingUpstream
    taken: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, list[bytes]]] = field(default_factory=list)

    async def __call__(self, request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        self.upstream.requests.clear()
        audience = request.target.decode().removeprefix("/")
        credentials = request.values("Authorization")
        scheme, _, token = b",".join(credentials).decode().partition(" ")
        server = self.servers[SERVED_BY[audience]]
        meant_for = token.partition(".")[0]
        if (scheme, meant_for) == ("Bearer", audience) and server.knows(token, arrived_at(writer)):
            self.taken[token] += 1
            writer.write(response(b"ok"))
        else:
            self.refused.append((audience, credentials))
            challenge = 'WWW-Authenticate: Bearer error="invalid_token"'
            writer.write(response(status="401 Unauthorized", fields=(challenge,)))


@dataclass(slots=True)
class Soak:
    """What was seen from outside: each call, and the proxy's own counts now and then."""

    proxy: MeasuredProxy
    servers: dict[str, AuthorizationServer]
    calls: list[Call] = field(default_factory=list)
    latest: dict[str, Call] = field(default_factory=dict)
    samples: dict[str, list[tuple[float, float, float]]] = field(
        default_factory=lambda: {audience: [] for audience in SERVED_BY}
    )
    largest_bytes: int = 0

    async def run(self) -> None:
        """Call all the time while the servers suffer, and until all is well again."""
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as at_work:
            at_work.create_task(self._load(enough))
            at_work.create_task(self._sample(enough))
            at_work.create_task(self._note_warm_up())
            async with asyncio.TaskGroup() as suffering:
                for place, server in enumerate(self.servers.values()):
                    suffering.create_task(server.suffer(plan(place, SECONDS)))
            healed_at = time.monotonic()

            async def all_are_served() -> bool:
                return all(
                    call.status == 200 and call.began_at > healed_at
                    for call in self.latest.values()
                )

            await eventually(all_are_served, "all audiences are served again")
            enough.set()

    async def _load(self, enough: asyncio.Event) -> None:
        due = time.monotonic()
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
            asyncio.TaskGroup() as callers,
        ):
            for audience in itertools.cycle(SERVED_BY):
                callers.create_task(self._call(session, audience))
                due += 1 / CALLS_PER_SECOND
                await asyncio.sleep(max(0, due - time.monotonic()))
                if enough.is_set():
                    return

    async def _call(self, session: aiohttp.ClientSession, audience: str) -> None:
        began_at = time.monotonic()
        async with session.get(f"{self.proxy.url}/{audience}") as answer:
            body = await answer.read()
        ours = "Proxy-Status" in answer.headers
        call = Call(
            audience,
            began_at,
            time.monotonic(),
            answer.status,
            json.loads(body)["code"] if ours else None,
            answer.headers.get("Retry-After"),
        )
        self.calls.append(call)
        self.latest[audience] = call

    async def _sample(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            _, text = await get(f"{self.proxy.admin_url}/metrics")
            now = time.monotonic()
            failed, well = Counter[str](), Counter[str]()
            for family in text_string_to_metric_families(text.decode()):
                for sample in family.samples:
                    if sample.name == "tokenproxy_token_fetches_total":
                        success = sample.labels["result"] == "success"
                        (well if success else failed)[sample.labels["audience"]] += sample.value
            for audience, samples in self.samples.items():
                samples.append((now, failed[audience], well[audience]))
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _note_warm_up(self) -> None:
        await asyncio.sleep(WARM_UP_SECONDS)
        self.largest_bytes = self.proxy.largest_resident_bytes()


def configuration(upstream: RecordingUpstream, servers: dict[str, AuthorizationServer]) -> Any:
    """Return the keys of the file: five audiences of two clients, an upstream for each."""
    return {
        "log": {"access": "off"},
        "clients": {
            name: server.client | {"timeout_seconds": TIMEOUT_SECONDS}
            for name, server in servers.items()
        },
        "audiences": {
            audience: {"client": client, "audience": audience}
            for audience, client in SERVED_BY.items()
        },
        "upstreams": {
            audience: {
                "url": f"{upstream.url}/{audience}",
                "audience": audience,
                "match": {"path": f"/{audience}"},
                "connection_idle_seconds": 1,
            }
            for audience in SERVED_BY
        },
    }
