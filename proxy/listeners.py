"""What callers reach us at: the addresses of `listen`, opened and closed as the configuration says.

An address that stays is not touched: whoever is about to connect finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.addresses import parse_address
from proxy.network import listen, stop_listening

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from proxy.config.addresses import Address

    Listening = tuple[asyncio.Server, Address]


class AddressUnavailable(Exception):  # noqa: N818 - it names a fact
    """An address of the configuration cannot be listened on; the text says which and why."""


def cannot_listen(key: str, address: str, error: OSError) -> AddressUnavailable:
    """Return the error that `address`, of the configuration's `key`, is not to be had."""
    return AddressUnavailable(
        f"{key}: cannot listen on {address}: {error.strerror or error}; "
        "stop what holds it, or set another address"
    )


class Listeners:
    """All that is listened on for callers, by the address as it was configured."""

    def __init__(self, protocols: Callable[[], asyncio.Protocol]) -> None:
        self._protocols = protocols
        self._open: dict[str, Listening] = {}

    @property
    def bound(self) -> list[Address]:
        """What is listened on, as bound."""
        return [bound for _, bound in self._open.values()]

    async def open(self, addresses: Iterable[str]) -> dict[str, Listening]:
        """Listen on those of `addresses` that are new; `use` what is returned, or `discard` it.

        Raises `AddressUnavailable`, and then nothing new is open.
        """
        opened: dict[str, Listening] = {}
        for address in addresses:
            if address in self._open:
                continue
            try:
                opened[address] = await listen(self._protocols, parse_address(address))
            except OSError as error:
                self.discard(opened)
                raise cannot_listen("listen", address, error) from None
        return opened

    def use(self, addresses: Iterable[str], opened: dict[str, Listening]) -> None:
        """Take what `open` returned for `addresses`, and close what is not among these."""
        known = self._open | opened
        self._open = {address: known.pop(address) for address in dict.fromkeys(addresses)}
        self.discard(known)

    def discard(self, listening: dict[str, Listening]) -> None:
        """Take no more connections; those that are there stay."""
        for server, bound in listening.values():
            stop_listening(server, bound)

    def stop(self) -> None:
        """Take no more connections on any address."""
        self.discard(self._open)
        self._open = {}
