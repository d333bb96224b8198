"""One origin to be reached, and how a layer on the way to it fails."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import aiohappyeyeballs

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable

    from proxy.config.client import Tls
    from proxy.config.document import KeyPath
    from proxy.config.urls import Url
    from proxy.network import AddressInfo

    Layer = Literal["name", "tcp", "tls"]

LAYERS: tuple[Layer, ...] = ("name", "tcp", "tls")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Way:
    """One origin to reach, and the keys that it depends on.

    `key` is the one that names it, `section` the one that has its `tls`; `seconds` bounds each
    step.
    """

    url: Url
    key: KeyPath
    section: KeyPath
    tls: Tls
    seconds: float
    http_proxy: Url | None = None

    @property
    def next_hop(self) -> Url:
        """Where connections go: to the server, or to the proxy in front of it."""
        return self.http_proxy or self.url

    @property
    def next_hop_key(self) -> KeyPath:
        """The key that names it."""
        return self.key if self.http_proxy is None else (*self.section, "http_proxy")

    @property
    def server_name(self) -> str:
        """The name that the certificate must have."""
        return self.tls.server_name or self.url.host

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers below HTTP."""
        return LAYERS if self.url.scheme == "https" else LAYERS[:2]


class LayerFailed(Exception):  # noqa: N818 - a fact, as the token half's FetchFailed
    """A layer that does not hold; what to do, and the key to look at."""

    def __init__(self, layer: Layer, detail: str, hint: str, key: KeyPath) -> None:
        super().__init__(detail)
        self.layer = layer
        self.detail = detail
        self.hint = hint
        self.key = key


async def within(seconds: float, work: Awaitable[_Value]) -> _Value:
    """Wait for `work`, but not longer. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        return await work


async def socket_to(addresses: list[AddressInfo]) -> socket.socket:
    """Connect to the first of the addresses that answers, as `run` does. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    return await aiohappyeyeballs.start_connection(
        addresses,
        happy_eyeballs_delay=0.25,
        loop=loop,
    )
