"""Servers that cannot even be asked: nobody there, or TLS that comes to nothing."""

from __future__ import annotations

import functools
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import trustme
from faults.hostile_answers import WORDS, granted, spoken
from faults.hostile_server import HANG, RESET

if TYPE_CHECKING:
    from faults.hostile_server import HostileServer, Script

    from proxy.telemetry.audience import FetchResult

OVER_AT = datetime(2020, 1, 1, tzinfo=UTC)
Certificate = Literal["ours", "of a stranger", "for another name", "that is over"]


@functools.cache
def authority() -> trustme.CA:
    """Return whom the proxy trusts."""
    return trustme.CA()


@functools.cache
def context(certificate: Certificate = "ours") -> ssl.SSLContext:
    """Return a server's context with this certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer = trustme.CA() if certificate == "of a stranger" else authority()
    name = "auth.example.com" if certificate == "for another name" else "127.0.0.1"
    times = {"not_before": datetime(2019, 1, 1, tzinfo=UTC), "not_after": OVER_AT}
    over = certificate == "that is over"
    (issuer.issue_cert(name, **times) if over else issuer.issue_cert(name)).configure_cert(made)
    return made


@dataclass(frozen=True, slots=True)
class Way:
    """What the next connection meets: nobody, another certificate, or bytes that are no TLS."""

    name: str
    door: Script | Certificate | None
    result: FetchResult = "unavailable"

    audience: ClassVar[dict[str, Any]] = {}
    flood: ClassVar[bool] = False
    retry_after: ClassVar[None] = None

    def turn(self, server: HostileServer) -> None:
        if self.door is None:
            server.refuse()
        elif isinstance(self.door, tuple):
            server.shut(self.door)
        else:
            server.shut(context(self.door))


WAYS = [
    Way("nobody listens", None),
    Way("a certificate of a stranger", "of a stranger"),
    Way("a certificate for another name", "for another name"),
    Way("a certificate that is over", "that is over"),
    Way("no TLS", (spoken(granted()),)),
    Way("neither HTTP nor TLS", (f"{WORDS}\r\n".encode(),)),
    Way("closed in the handshake", ()),
    Way("reset in the handshake", (RESET,)),
    Way("silent in the handshake", (HANG,), "timeout"),
    Way("an alert", (b"\x15\x03\x03\x00\x02\x02\x28",)),
    Way("half a handshake", (b"\x16\x03\x03\x40\x00\x02", HANG), "timeout"),
]
