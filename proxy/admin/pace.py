"""The pace of work in a thread beside the event loop.

Whoever computes in a thread holds the interpreter's lock; without a pause now and then each turn of
the event loop would wait for the switch interval, 5 ms, for as long as that lasts.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")

_ITEMS_BETWEEN_PAUSES = 20
# Long enough for a waiting thread to wake up and take the lock; zero seconds are not.
_PAUSE_SECONDS = 0.0002


def unhurried(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, with a pause every few of them."""
    for number, item in enumerate(items, 1):
        yield item
        if number % _ITEMS_BETWEEN_PAUSES == 0:
            time.sleep(_PAUSE_SECONDS)
