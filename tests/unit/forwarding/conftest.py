"""Heads and routes for the pure half of forwarding, made as the program makes them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from proxy.config.loader import load_text
from proxy.forwarding.answer_reader import AnswerReader
from proxy.forwarding.head_reader import HeadReader
from proxy.forwarding.routing import Route, Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.config.schema import Config
    from proxy.forwarding.answer_reader import AnswerHead
    from proxy.forwarding.head import Field, RequestHead

    ReadHead = Callable[..., RequestHead]
    MakeRoutes = Callable[..., Routes]
    MakeRoute = Callable[..., Route]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops that the program runs on: they differ in what they tell of a broken socket."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


settings.register_profile(
    "any machine", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def config_of(upstreams: dict[str, Any], **top: Any) -> Config:
    """Return a configuration with these upstreams; `orders` and `keyed` are its audiences."""
    tree = {
        "allow_inline_secrets": True,
        "clients": {
            "us": {
                "token_endpoint": "https://auth.example.com/token",
                "client_id": "us",
                "client_secret": "kept to ourselves",
            }
        },
        "audiences": {
            "orders": {"client": "us"},
            "keyed": {"client": "us", "header": "X-Api-Key"},
        },
        "upstreams": upstreams,
        **top,
    }
    return load_text(json.dumps(tree), "test.yaml", {}, Path.cwd())


@pytest.fixture
def read_head() -> ReadHead:
    """Read a head of GET with `Host: localhost`, or of what the test says."""

    def read(
        *fields: Field,
        target: bytes = b"/a",
        method: str = "GET",
        host: bytes | None = b"localhost",
        version: tuple[int, int] = (1, 1),
    ) -> RequestHead:
        hosts = [] if host is None else [(b"Host", host)]
        return HeadReader(fields_max=128).read(
            block(*hosts, *fields, target=target, method=method, version=version)
        )

    return read


def block(
    *fields: Field,
    target: bytes = b"/a",
    method: str = "GET",
    version: tuple[int, int] = (1, 1),
) -> bytes:
    """Return a head as it comes, without the empty line that ends it."""
    line = b"%b %b HTTP/%d.%d" % (method.encode(), target, *version)
    return b"\r\n".join([line, *(name + b": " + value for name, value in fields)])


def read_answer(
    status: int, reason: bytes, fields: Sequence[Field], *, to_head: bool = False
) -> AnswerHead:
    """Return an answer's head as the program reads it."""
    line = b"HTTP/1.1 %d %b" % (status, reason)
    came = b"\r\n".join([line, *(name + b": " + value for name, value in fields)])
    return AnswerReader(fields_max=128).read(came, to_head=to_head)


@pytest.fixture
def make_routes() -> MakeRoutes:
    """Make routes of upstreams given as `name={"match": …}`; url and audience need not be said."""

    def make(*, top: dict[str, Any] | None = None, **upstreams: dict[str, Any]) -> Routes:
        filled = {
            name: {"url": f"https://{name}.example.com", "audience": "none"} | keys
            for name, keys in upstreams.items()
        }
        return Routes(config_of(filled, **(top or {})))

    return make


@pytest.fixture
def make_route(make_routes: MakeRoutes) -> MakeRoute:
    """Make the one route of an upstream with these keys."""

    def make(**keys: Any) -> Route:
        return make_routes(api=keys).routes[0]

    return make
