"""What all exchanges with one upstream share, while one configuration lasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.schema import Limits
    from proxy.forwarding.pool import Pool
    from proxy.forwarding.routing import Route
    from proxy.model import TokenSource
    from proxy.telemetry.upstream import UpstreamFacts


@dataclass(slots=True, eq=False)
class Lane:
    """See the module's docstring. `now` is the event loop's clock."""

    route: Route
    pool: Pool
    facts: UpstreamFacts
    tokens: TokenSource
    limits: Limits
    via: bytes
    now: Callable[[], float]
    draining: Callable[[], bool]
    in_flight: int = 0
    on_emptied: Callable[[], None] | None = None
    """Called when the last request is over; set when no new one is led here any more."""

    def entered(self) -> None:
        """Count a request that goes this way."""
        self.in_flight += 1
        self.facts.in_flight += 1

    def left(self) -> None:
        """Count one that is over."""
        self.in_flight -= 1
        self.facts.in_flight -= 1
        if self.on_emptied is not None and not self.in_flight:
            self.on_emptied()
