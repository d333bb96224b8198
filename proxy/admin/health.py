"""What the probes are told: pure, time is handed in.

Readiness does not depend on authorization servers: one that is down would take every pod that uses
it out of service at once, where most requests could still be served from memory. Nor does
liveness, as no restart mends it. Only startup may wait for first tokens, and only for so long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.telemetry.log import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxy.telemetry.audience import AudienceFacts
    from proxy.telemetry.facts import Telemetry


class Health:
    """Whether the process listens, where, and drains (set by the app), and what follows from it.

    `prefetched` are the names of the audiences whose first token is fetched at start; `started_at`
    is a monotonic instant.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        prefetched: Iterable[str] = (),
        wait_for_tokens_seconds: float = 0.0,
        started_at: float = 0.0,
    ) -> None:
        self.listening = False
        self.draining = False
        self.listening_on: Sequence[str] = ()
        self.started_at = started_at
        self._telemetry = telemetry
        self._prefetched = tuple(prefetched)
        self._give_up_at = started_at + wait_for_tokens_seconds

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome."""
        return self.listening and not self.draining

    def startup_complete(self, now: float) -> bool:
        """Whether the start is over at `now`: listening, and first tokens held or waited for."""
        return self.listening and (now >= self._give_up_at or not self.without_first_token())

    def without_first_token(self) -> list[str]:
        """Return the prefetched audiences that have not had a token yet."""
        audiences = self._telemetry.audiences
        return [n for n in self._prefetched if n in audiences and not audiences[n].has_had_token]

    def report(self) -> str:
        """Return what `/readyz?verbose` says: a line per condition, then one per audience."""
        lines = [
            f"listening: {'yes' if self.listening else 'no'}",
            f"draining: {'yes' if self.draining else 'no'}",
            *map(_describe, self._telemetry.audiences.values()),
        ]
        return "\n".join(lines)


def _describe(audience: AudienceFacts) -> str:
    line = f"audience {clean(audience.name)}: {audience.state}"
    if audience.consecutive_failures:
        line += f", {audience.consecutive_failures} failures in a row"
    if audience.expires_at is None:
        return line
    left = audience.expires_in_seconds
    return f"{line}, expires in {left:.0f} s" if left > 0 else f"{line}, expired {-left:.0f} s ago"
