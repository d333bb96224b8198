"""What operators want to know, as facts: one method per fact moves metric and log together.

Rules. What happens for every request costs an integer addition (a bisection more for a histogram);
names, labels and text are the exposition's work. All of it is changed on the event loop only; the
exposition reads it in a thread, copying each dict and list before it walks it. Labels are names
from the configuration or members of the fixed sets below, never what a caller or a server chose.
`""` among the upstreams stands for what was answered before an upstream was known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import LIMITS
from proxy.telemetry.audience import AudienceFacts
from proxy.telemetry.configuration import ConfigurationFacts
from proxy.telemetry.fetches import Fetches
from proxy.telemetry.files import FileFacts
from proxy.telemetry.upstream import UpstreamFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from proxy.telemetry.log import Log
    from proxy.telemetry.spans import Spans


class Telemetry:
    """All facts of one process. `wall` gives Unix time, `monotonic` an instant, in seconds."""

    def __init__(
        self,
        *,
        upstreams: Collection[str],
        audiences: Iterable[str],
        log: Log,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.log = log
        self.wall = wall
        self._monotonic = monotonic
        self.fetches = Fetches()
        self.configuration = ConfigurationFacts(log, wall=wall)
        self._configured = frozenset(["", *upstreams])
        self.upstreams = {name: self.upstream(name) for name in ("", *upstreams)}
        self.limits_reached = dict.fromkeys(LIMITS, 0)
        """How often each bound was reached."""
        self.audiences = {name: self.audience(name) for name in audiences}
        self.files = FileFacts(log, monotonic=monotonic)
        self.event_loop_lag_seconds = 0.0
        self.tracing: Spans | None = None
        """What makes spans, where that is wanted."""

    def reconfigure(
        self, *, upstreams: Collection[str], audiences: Iterable[str], kept: Collection[str]
    ) -> None:
        """Know these from now on. Of the audiences only the facts of those `kept` go on.

        Upstreams that are none any more stay until `forget_upstreams`: requests are in flight.
        """
        self._configured = frozenset(["", *upstreams])
        for name in upstreams:
            if name not in self.upstreams:
                self.upstreams[name] = self.upstream(name)
        self.audiences = {
            name: self.audiences[name] if name in kept else self.audience(name)
            for name in audiences
        }

    def forget_upstreams(self, *, but: Collection[str]) -> None:
        """Show no more of upstreams that are none any more, but for these."""
        for name in self.upstreams.keys() - self._configured - set(but):
            del self.upstreams[name]

    def upstream(self, name: str) -> UpstreamFacts:
        """Return facts of an upstream, all at the start; whoever wants them shown puts them in."""
        return UpstreamFacts(name, log=self.log, monotonic=self._monotonic)

    def audience(self, name: str) -> AudienceFacts:
        """Return facts of an audience likewise."""
        return AudienceFacts(
            name,
            log=self.log,
            wall=self.wall,
            monotonic=self._monotonic,
            limits_reached=self.limits_reached,
            fetches=self.fetches,
        )
