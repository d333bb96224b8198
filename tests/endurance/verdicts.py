"""What is wrong with the answers that callers got, given what befell the authorization servers.

Pure: all instants are monotonic seconds of this machine. A verdict holds only what is sure: a token
is taken for live from `LAG_SECONDS` after its answer went out until so long before the margin that
the proxy keeps, and a server for back only after the longest that recovery may take.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from endurance.unreliable_authorization_server import ANSWER_SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from endurance.authorization_servers import AuthorizationServer

LAG_SECONDS = 0.5
"""How much later than it could the proxy may have come to do something, on a busy machine."""
MARGIN_SECONDS_MAX = 5.0
MARGIN_FRACTION = 0.05
RECOVERY_SECONDS = 5.0
RETRY_AFTER_SPREAD = 1.05
WAIT_SECONDS_MAX = 15.0
"""The proxy's default for how long a caller may have to wait for a token."""
CODES = {
    "killed": {"authorization_server_unavailable"},
    "fails": {"authorization_server_unavailable"},
    "throttles": {"authorization_server_unavailable"},
    "hangs": {"authorization_server_unavailable"},
    "resets": {"authorization_server_unavailable"},
    "shows a page": {"authorization_server_misspoke"},
    # It may be broken off within the answer, by another fault.
    "dribbles": {"authorization_server_unavailable", "authorization_server_misspoke"},
}
STATUSES = {"authorization_server_unavailable": 503, "authorization_server_misspoke": 502}


@dataclass(frozen=True, slots=True)
class Call:
    """A request and what became of it. `code` is of an answer that is the proxy's own."""

    audience: str
    began_at: float
    ended_at: float
    status: int
    code: str | None = None
    retry_after: str | None = None


class Judge:
    """Judges the calls for one audience, whose tokens `server` grants."""

    def __init__(
        self,
        audience: str,
        server: AuthorizationServer,
        *,
        lifetime_seconds: float,
    ) -> None:
        self._server = server
        margin = min(MARGIN_SECONDS_MAX, MARGIN_FRACTION * lifetime_seconds)
        granted = {line["token"]: line for line in server.record.of("granted", audience)}
        self._live = _united(
            (
                answered["at"] + LAG_SECONDS,
                granted[answered["token"]]["asked_at"] + lifetime_seconds - margin - LAG_SECONDS,
            )
            for answered in server.record.of("answered", audience)
            if answered.get("token")
        )

    def lived(self, call: Call) -> bool:
        """Say whether a token was live all the while."""
        return any(start <= call.began_at and call.ended_at <= end for start, end in self._live)

    def ill(self, call: Call) -> bool:
        """Say whether the server was ill all the while."""
        return any(
            fault.began_at <= call.began_at and call.ended_at <= fault.ended_at
            for fault in self._server.faults
        )

    def seconds_since_return(self, call: Call) -> float:
        """Return how long the server had been well again when the call began; 0 if it was not."""
        if any(self._server.ill(call.began_at, call.began_at)):
            return 0
        return min(
            (
                call.began_at - fault.ended_at
                for fault in self._server.faults
                if fault.ended_at < call.began_at
            ),
            default=0,
        )

    def objection(self, call: Call) -> str | None:
        """Say what is wrong with how the call was answered, if anything is."""
        if call.ended_at - call.began_at > WAIT_SECONDS_MAX + LAG_SECONDS:
            return "it waited too long"
        if call.status == 200 and call.code is None:
            return None
        if call.code is None:
            return "the upstream refused it"
        if self.lived(call):
            return "a token lived"
        trouble = list(self._server.ill(call.began_at - self._longest(), call.ended_at))
        if not trouble:
            return "the server was well, and had been for long enough"
        if call.code not in {code for fault in trouble for code in CODES[fault.kind]}:
            return f"another code than {[fault.kind for fault in trouble]} call for"
        if call.status != STATUSES[call.code]:
            return "a status that does not go with its code"
        seconds = call.retry_after or ""
        if not seconds.isdigit() or not 1 <= int(seconds) <= self._longest_backoff() + 1:
            return "no Retry-After that could be believed"
        return None

    def _longest_backoff(self) -> float:
        asked = max((fault.retry_after for fault in self._server.faults), default=0)
        return max(RECOVERY_SECONDS, asked * RETRY_AFTER_SPREAD)

    def _longest(self) -> float:
        """How long after its end a fault may be felt: the backoff, and the token endpoint's time.

        An attempt that is under way when a fault ends, ends with it.
        """
        return self._longest_backoff() + ANSWER_SECONDS_MAX + LAG_SECONDS


def _united(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the spans in order, those that overlap made one."""
    united: list[tuple[float, float]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united


def hasty_requests(
    record: Sequence[dict[str, Any]], server: AuthorizationServer, seconds: float
) -> list[tuple[float, float]]:
    """Return when one audience's token was asked for twice in this time, the server being well.

    `record`: the server's lines about that audience. After a token that came, the next request
    is counted, unless something befell the server in between.
    """
    asked = [line["at"] for line in record if line["event"] == "asked"]
    granted = [line["asked_at"] for line in record if line["event"] == "granted"]
    return [
        (first, then)
        for first in granted
        for then in asked
        if first < then < first + seconds and not any(server.ill(first, then))
    ]


def early_retries(record: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """Return when a server that had asked for patience was asked again before its time."""
    asked = [line["at"] for line in record if line["event"] == "asked"]
    return [
        (line["at"], then)
        for line in record
        if line["event"] == "answered"
        for then in asked
        if line["at"] < then < line["at"] + line.get("retry_after", 0)
    ]


def attempts_at_first(samples: Sequence[tuple[float, float, float]], seconds: float) -> int:
    """Return the most token requests in the first `seconds` of any outage of one audience.

    `samples`: instant, failures and successes so far. What came between two samples is counted
    only where it surely lies in that time.
    """
    most = 0
    began: tuple[float, float] | None = None
    for (before, failed_before, well_before), (at, failed, well) in itertools.pairwise(samples):
        if well > well_before:
            began = None
        elif failed > failed_before:
            began = began or (before, failed_before)
            if at <= began[0] + seconds:
                most = max(most, int(failed - began[1]))
    return most
