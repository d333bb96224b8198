"""Answers that are odd and yet a token: what must not be refused."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from faults.hostile_answers import STARTED_AT, TOKEN, WORDS, error, granted, head, spoken
from faults.hostile_answers_framing import BODY, CHUNKED, HEAD, chunk, dribbled
from faults.hostile_server import HANG, Pause
from unit.tokens.some import jwt

if TYPE_CHECKING:
    from faults.hostile_server import Answer, HostileServer

DEFAULT_SECONDS = 300
LONGEST_SECONDS = 10 * 365.25 * 86400


@dataclass(frozen=True, slots=True)
class Accepted:
    """`credential` is what the upstream is to get.

    `lifetime_seconds` counts from the start; `warnings` are the events that the log is to have;
    `audience` are keys of the audience.
    """

    name: str
    answer: Answer
    lifetime_seconds: float = 3600
    warnings: tuple[str, ...] = ()
    audience: dict[str, Any] = field(default_factory=dict)
    credential: str = f"Bearer {TOKEN}"

    flood: ClassVar[bool] = False

    def turn(self, server: HostileServer) -> None:
        server.play(self.answer)


def good(name: str, answer: Answer, **keys: Any) -> Accepted:
    return Accepted(name, answer, **keys)


EVERYTHING = granted(
    created_at=1,
    refresh_token="r3fresh-" + TOKEN,
    id_token="1d-" + TOKEN,
    scope=f"read {WORDS}",
    not_before_policy=0,
    token_use=WORDS,
    error=None,
    nested={"a": [1, {"b": None}]},
)
"""What providers add of their own; none of it is for us."""
LONG = "x" * 16384
OPAQUE_JWT = "a.b.c"
EXACT = json.dumps(granted(x="x" * (65536 - len(json.dumps(granted(x=""))))))


def living(text: str) -> bytes:
    """Return an answer with this `expires_in`."""
    return spoken(json.dumps(granted()).replace("3600", text), media="application/json")


ACCEPTED = [
    good("plain", spoken(granted())),
    good("text/plain", spoken(json.dumps(granted()), media="text/plain")),
    good("text/html", spoken(json.dumps(granted()), media="text/html; charset=ISO-8859-1")),
    good("no media type", spoken(json.dumps(granted()))),
    good("broken media type", spoken(json.dumps(granted()), media=f";;{WORDS}")),
    good("white space around", spoken(f" \r\n{json.dumps(granted(), indent=4)}\n\n")),
    good("everything that providers add", spoken(EVERYTHING)),
    good("an error of nothing", spoken(granted(error=""))),
    good("\\u-escaped", spoken(json.dumps(granted()).replace("k3ks", "\\u006b3ks"))),
    good("escaped by PHP", spoken(json.dumps(granted()).replace("/", "\\/"))),
    good("64 KiB", spoken(EXACT)),
    good("a token of 16 KiB", spoken(granted(access_token=LONG)), credential=f"Bearer {LONG}"),
    good("bearer", spoken(granted(token_type="bearer"))),
    good("BEARER", spoken(granted(token_type="BEARER"))),
    good("no type", spoken(granted(token_type=None)), warnings=("token_type",)),
    good(
        "a type that the audience knows",
        spoken(granted(token_type="N_A")),
        audience={"header": "X-Api-Key", "scheme": ""},
        credential=TOKEN,
    ),
    good("3600 in words", living('"3600"')),
    good("3600 with a fraction", living("3600.7"), lifetime_seconds=3600.7),
    good("a long time", living("1e400"), lifetime_seconds=LONGEST_SECONDS),
    good("2**63", living(str(2**63)), lifetime_seconds=LONGEST_SECONDS),
    good(
        "no lifetime",
        spoken({"access_token": TOKEN, "token_type": "Bearer"}),
        lifetime_seconds=DEFAULT_SECONDS,
    ),
    good("lifetime null", living("null"), lifetime_seconds=DEFAULT_SECONDS),
    *(
        good(
            f"lifetime {text}",
            living(text),
            lifetime_seconds=DEFAULT_SECONDS,
            warnings=("expires_in",),
        )
        for text in ('"abc"', '"3600.5"', "[1]", "{}", "true", '""')
    ),
    good(
        "a default of our own",
        living("null"),
        audience={"default_lifetime_seconds": 770},
        lifetime_seconds=770,
    ),
    good(
        "a JWT without exp",
        spoken({"access_token": jwt({"iss": WORDS})}),
        credential=f"Bearer {jwt({'iss': WORDS})}",
        lifetime_seconds=DEFAULT_SECONDS,
        warnings=("token_type",),
    ),
    good(
        "a JWT with exp",
        spoken({"access_token": jwt({"exp": STARTED_AT + 500}), "token_type": "Bearer"}),
        credential=f"Bearer {jwt({'exp': STARTED_AT + 500})}",
        lifetime_seconds=500,
    ),
    good(
        "what looks like a JWT",
        spoken({"access_token": OPAQUE_JWT, "token_type": "Bearer"}),
        credential=f"Bearer {OPAQUE_JWT}",
        lifetime_seconds=DEFAULT_SECONDS,
    ),
    good(
        "a JWT that is over, which the answer contradicts",
        spoken(granted(access_token=jwt({"exp": 5}))),
        credential=f"Bearer {jwt({'exp': 5})}",
    ),
    good(
        "less scope than asked for",
        spoken(granted(scope="read")),
        audience={"scope": "read write"},
        warnings=("scope",),
    ),
    good("scope a list", spoken(granted(scope=["read"])), audience={"scope": "read"}),
    good("chunked", CHUNKED + chunk(BODY[:9]) + chunk(BODY[9:]) + chunk(b"")),
    good("chunks with extensions", CHUNKED + b"%x;a=b\r\n" % len(BODY) + BODY + b"\r\n0;c\r\n\r\n"),
    good("trailers", CHUNKED + chunk(BODY) + f"0\r\nX-Sum: {WORDS}\r\n\r\n".encode()),
    good("ended by its close", head(200) + BODY),
    good("HTTP/1.0", head(200, version="HTTP/1.0") + BODY),
    good("no reason phrase", b"HTTP/1.1 200\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY),
    good("names in lower case", HEAD.lower().replace(b"http/1.1", b"HTTP/1.1") + BODY),
    good("hints before", head(103, f"Link: </{WORDS}>") + HEAD + BODY),
    good("100 before", b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + BODY),
    good("another answer behind", HEAD + BODY + spoken(error("invalid_client"), status=400)),
    good("open behind it", (HEAD + BODY, HANG)),
    good("slow", (Pause(4), HEAD, Pause(5), BODY), lifetime_seconds=3600),
    good("by the byte", (HEAD, *dribbled(BODY, 0.05))),
    good("gzip all the same", spoken(gzip.compress(BODY), "Content-Encoding: gzip")),
]
