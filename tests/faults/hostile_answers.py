"""What a token endpoint may answer instead of a token, by its status.

Rows are data. `WORDS` stands in every place where a server can put words of its own (reason
phrase, field, cookie, body), `TOKEN` where it shows a token, and the credential it was shown is
quoted back in every spelling: none of them may turn up where they do not belong.
"""

from __future__ import annotations

import functools
import json
import socket
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, ClassVar

from faults.token_server import WALL_AT_START

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.hostile_server import Answer, HostileServer
    from faults.token_server import Asked

    from proxy.telemetry.audience import FetchResult

WORDS = "zimtstern"
TOKEN = "k3ks/t0ken+canary.0123456789~z"
STARTED_AT = WALL_AT_START + 1000
"""Unix time when a stepped test begins."""
SECRET = "s3cr3t/canary+%&=<9>"
COMMON = (f"X-Said: {WORDS}", f"Set-Cookie: said={WORDS}; Path=/", f"Server: {WORDS}/1")


@dataclass(frozen=True, slots=True)
class Row:
    """One answer and what is to become of it.

    `retry_after`: what callers are to be told at least, where the server asked for it. `flood`:
    an answer of no end, of which little may be taken.
    """

    name: str
    answer: Answer | Callable[[Asked], Answer]
    result: FetchResult = "misspoke"
    retry_after: int | None = None
    flood: bool = False

    audience: ClassVar[dict[str, Any]] = {}

    def turn(self, server: HostileServer) -> None:
        server.play(self.answer)


@functools.cache
def elsewhere() -> socket.socket:
    """Return a listener that nobody should ever come to. It answers nothing."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    return listening


def head(status: int | str, *fields: str, version: str = "HTTP/1.1") -> bytes:
    lines = (f"{version} {status} {WORDS}", *COMMON, *fields, "", "")
    return "\r\n".join(lines).encode()


def spoken(body: Any, *fields: str, status: int | str = 200, media: str | None = None) -> bytes:
    """Return an answer: a dict or list goes as JSON, text and bytes as they are."""
    if isinstance(body, dict | list):
        body, media = json.dumps(body), media or "application/json"
    content = body.encode() if isinstance(body, str) else body
    named = () if media is None else (f"Content-Type: {media}",)
    return head(status, *named, *fields, f"Content-Length: {len(content)}") + content


def granted(**members: Any) -> dict[str, Any]:
    return {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600} | members


def error(name: Any, **members: Any) -> dict[str, Any]:
    return {"error": name, "error_description": f"{WORDS}: no", "error_uri": f"/{WORDS}"} | members


PAGE = f"<!doctype html><title>{WORDS}</title><p>{WORDS}</p><p>access_token={TOKEN}</p>"
BEARER = f'WWW-Authenticate: Bearer realm="{WORDS}", error="invalid_token"'
BASIC = f'WWW-Authenticate: Basic realm="{WORDS}"'


def at_wall(seconds: float) -> str:
    return formatdate(STARTED_AT + seconds, usegmt=True)


REFUSED = [
    Row(f"400 {name}", spoken(error(name), status=400), "refused")
    for name in (
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        WORDS,
    )
] + [
    Row("401 invalid_client, Basic", spoken(error("invalid_client"), BASIC, status=401), "refused"),
    Row("401 and nothing", spoken(b"", status=401), "refused"),
    Row("401 to a browser", spoken(PAGE, BEARER, status=401, media="text/html"), "refused"),
    Row("400 empty", spoken(b"", status=400), "refused"),
    Row("400 page", spoken(PAGE, status=400, media="text/html"), "refused"),
    Row("400 list", spoken([WORDS, error(WORDS)], status=400), "refused"),
    Row("400 half of JSON", spoken('{"error": "inval', status=400), "refused"),
    Row("400 with a token", spoken(granted() | error("invalid_scope"), status=400), "refused"),
    Row("400 token alone", spoken(granted(), status=400), "refused"),
    Row("400 error a number", spoken(error(5), status=400), "refused"),
    Row(
        "400 error of two lines",
        spoken(error(f"x\r\n{WORDS}: y\x00\x1b[2J"), status=400),
        "refused",
    ),
    Row("400 lone surrogate", spoken('{"error": "\\ud800"}', status=400), "refused"),
    Row(
        "400 long words", spoken(error("invalid_scope", detail=WORDS * 5000), status=400), "refused"
    ),
    Row("400 deep", spoken("[" * 60000, status=400, media="application/json"), "refused"),
    Row(
        "400 in Latin-1",
        spoken(f'{{"error": "{WORDS} é"}}'.encode("latin-1"), status=400),
        "refused",
    ),
    Row("403 firewall", spoken(PAGE, status=403, media="text/html"), "refused"),
    Row("404 no such path", spoken({"message": WORDS}, status=404), "refused"),
    Row("404 with a token", spoken(granted(), status=404), "refused"),
    Row("405 wrong method", spoken(WORDS, "Allow: GET", status=405), "refused"),
    Row("406", spoken(WORDS, status=406), "refused"),
    Row("410", spoken(WORDS, status=410), "refused"),
    Row("413", spoken(WORDS, status=413), "refused"),
    Row("415 wants JSON", spoken({"title": WORDS}, status=415), "refused"),
    Row("418", spoken(WORDS, status=418), "refused"),
    Row("422 schema", spoken({"detail": [{"msg": WORDS, "input": TOKEN}]}, status=422), "refused"),
    Row("426 upgrade", spoken(WORDS, "Upgrade: h2c", status=426), "refused"),
    Row("431", spoken(WORDS, status=431), "refused"),
    Row("451", spoken(WORDS, status=451), "refused"),
    Row("499 of a foreign proxy", spoken(WORDS, status=499), "refused"),
    Row("400, come back", spoken(error(WORDS), "Retry-After: 40", status=400), "refused", 40),
]

UNAVAILABLE = [
    Row(f"{status} {kind}", spoken(body, status=status, media=media), "unavailable")
    for status in (408, 429, 500, 501, 502, 503, 504, 505, 507, 511, 520, 529, 599)
    for kind, body, media in (
        [("page", PAGE, "text/html"), ("JSON", error("server_error"), None), ("nothing", b"", None)]
        if status in {429, 500, 503}
        else [("page", PAGE, "text/html")]
    )
] + [
    Row("500 with a token", spoken(granted(), status=500), "unavailable"),
    Row(
        "503 with a trace",
        spoken(f'File "{WORDS}.py", line 1, in {TOKEN[:5]}', status=503),
        "unavailable",
    ),
    Row("429 in seconds", spoken(b"", "Retry-After: 17", status=429), "unavailable", 17),
    Row("503 in seconds", spoken(WORDS, "Retry-After: 30", status=503), "unavailable", 30),
    Row("503 at a date", spoken(b"", f"Retry-After: {at_wall(35)}", status=503), "unavailable", 35),
    Row(
        "503 at a date gone by",
        spoken(b"", f"Retry-After: {at_wall(-9)}", status=503),
        "unavailable",
    ),
    Row("503 in a year", spoken(b"", "Retry-After: 31536000", status=503), "unavailable", 300),
    Row("503 never", spoken(b"", "Retry-After: " + "9" * 400, status=503), "unavailable", 300),
    Row("503 soon", spoken(b"", f"Retry-After: {WORDS}", status=503), "unavailable"),
    Row("503 before now", spoken(b"", "Retry-After: -60", status=503), "unavailable"),
    Row(
        "503 in two ways",
        spoken(b"", "Retry-After: 9", "Retry-After: 8", status=503),
        "unavailable",
    ),
    Row("408 in seconds", spoken(b"", "Retry-After: 12", status=408), "unavailable", 12),
]

ODD = [
    Row(f"{status} with a token", spoken(granted(), status=status))
    for status in (201, 202, 203, 206, 226, 299, 300, 305, 399, 600, 999)
] + [
    Row("204", head(204)),
    Row("205", head(205, "Content-Length: 0")),
    Row("304", head(304, 'ETag: "1"')),
    Row("300 without a place", spoken(WORDS, status=300)),
    Row("302 without a place", spoken(PAGE, status=302)),
    Row("302 to nowhere", spoken(b"", "Location: ", status=302)),
    Row("303 to a page to log in", spoken(PAGE, f"Location: /login?{WORDS}", status=303)),
    Row("302 with a token behind it", spoken(b"", f"Location: /#access_token={TOKEN}", status=302)),
    Row("101", head(101, "Upgrade: websocket", "Connection: upgrade")),
]


def redirected(status: int, name: str, prefix: str) -> Row:
    """Return a redirect to our listener, or, for a path, to the server itself."""

    def answer(_asked: Asked) -> bytes:
        place = prefix
        if not prefix.startswith("/token"):
            place += f"127.0.0.1:{elsewhere().getsockname()[1]}/token"
        return spoken(granted(), f"Location: {place}", f"Refresh: 0; url={place}", status=status)

    return Row(f"{status} {name}", answer)


REDIRECTS = [
    redirected(status, name, prefix)
    for status in (301, 302, 303, 307, 308)
    for name, prefix in (
        ("to its own path", "/token?again"),
        ("elsewhere", "http://"),
        ("elsewhere with TLS", "https://"),
        ("elsewhere without a scheme", "//"),
    )
]
