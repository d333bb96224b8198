"""The fetches that ended last, for people, and a word to whoever else wants to know of each."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

RECENT_MAX = 20


@dataclass(frozen=True, slots=True)
class FetchOver:
    """One token request that is over. `ended_at` is Unix time, `code` that of an error."""

    ended_at: float
    audience: str
    reason: str
    result: str
    seconds: float
    code: str | None = None


class Fetches:
    """The last `RECENT_MAX` fetches of the process, the newest last.

    `observer`, where there is one, hears of each at once, on the event loop; it must not wait.
    """

    def __init__(self) -> None:
        self.recent: deque[FetchOver] = deque(maxlen=RECENT_MAX)
        self.observer: Callable[[FetchOver], None] | None = None

    def over(self, fetch: FetchOver) -> None:
        """Note a fetch that is over."""
        self.recent.append(fetch)
        if self.observer is not None:
            self.observer(fetch)
