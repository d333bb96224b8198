"""Fold a repeated failure: one line when it begins, then one a minute with a count, one at its end.

Pure: the caller hands in monotonic instants and writes the lines. Rules: what ended less than
`quiet_seconds` ago and happens again is taken up silently, so that a thing that comes and goes
many times a second cannot flood the log either; an end is said once for what was said.
"""

from __future__ import annotations

SAY_AGAIN_SECONDS = 60.0


class Repeats:
    """How often one failure has happened since it began, and what of it was said already."""

    __slots__ = ("_ended_at", "_quiet_seconds", "_said_at", "_unanswered", "count")

    def __init__(self, *, quiet_seconds: float = 0.0) -> None:
        self.count = 0
        self._quiet_seconds = quiet_seconds
        self._said_at: float | None = None
        self._ended_at: float | None = None
        self._unanswered = False

    def happened(self, now: float) -> bool:
        """Count one more at `now`; return whether to write a line (with `count`) about it."""
        if self._ended_at is not None:
            if now - self._ended_at >= self._quiet_seconds:
                self.count = 0
                self._said_at = None
            self._ended_at = None
        self.count += 1
        if self._said_at is not None and now - self._said_at < SAY_AGAIN_SECONDS:
            return False
        self._said_at = now
        self._unanswered = True
        return True

    def escalate(self) -> None:
        """Let the next one be said whatever was said before: it has become worse."""
        self._said_at = None

    def ended(self, now: float) -> int:
        """Say that it is over; return how often it had happened if that deserves a line, else 0."""
        if self.count and self._ended_at is None:
            self._ended_at = now
        if not self._unanswered:
            return 0
        self._unanswered = False
        return self.count


class Occurrences:
    """The same for what has no end, only moments: a run is over after a silent minute."""

    __slots__ = ("_count", "_last_at", "_said_at")

    def __init__(self) -> None:
        self._count = 0
        self._last_at = self._said_at = float("-inf")

    def happened(self, now: float) -> int:
        """Count one more at `now`; return how many a line should speak of, 0 for no line."""
        self._count += 1
        if now - self._last_at >= SAY_AGAIN_SECONDS:
            self._count = 1
        self._last_at = now
        if now - self._said_at < SAY_AGAIN_SECONDS:
            return 0
        self._said_at = now
        return self._count
