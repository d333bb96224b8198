"""What all exchanges with one upstream share."""

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


@dataclass(frozen=True, slots=True)
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
