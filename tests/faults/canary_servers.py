"""Servers that say everything they were told, and a proxy's configuration in which all have a part.

A token endpoint answers by the field `audience`: its name says how the credential is quoted back,
or how a token is given away. An upstream answers by the request's path.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from faults.token_server import http_answer, refusal
from integration.recording_upstream import response

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection
    from pathlib import Path

    from faults.token_server import Asked, TokenServer
    from integration.client_keys import Key
    from integration.recording_upstream import RecordedRequest, RecordingUpstream

SECRETS = {
    "basic": "velvet/teaspoon+%&=<basic>",
    "post": "marzipanlighthousepost",
    "json": 'ginger"umbrella\\json',
    "jwt": "walnut-accordion-jwt-0123456789-0123456789",
    "egress": "saffrontypewriteregress",
    "parameter": "cardamomwindmillparameter",
    "field": "juniper-metronome-field",
}
TOKENS = {
    "opaque": "k3ks/t0ken+canary.0123456789~z",
    "jwt": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJwZXBwZXJjb3JuLXRyb21ib25lIn0.cGxhdHlwdXMtc2lnbmF0dXJl",
    # No digit in it, so that it goes for a word.
    "brief": "rhubarbgondolabrieftoken",
    "cookie": "n0ugat-harmonium-cookie-4711",
}
WAYS = ("basic", "post", "json", "jwt", "key", "assertion", "egress")
"""Clients, each with a way of its own to prove itself."""
BRIEF_SECONDS = 2
"""How long the token lives whose renewal is refused with it in the answer."""


def _fields(asked: Asked) -> dict[str, Any]:
    body = asked.body.decode()
    if body.startswith("{"):
        found: dict[str, Any] = json.loads(body)
        return found
    return {name: values[0] for name, values in parse_qs(body).items()}


def quoted(asked: Asked) -> str:
    """Return everything that a token request shows."""
    authorization = asked.headers.get("authorization", "")
    pair = base64.b64decode(authorization.partition(" ")[2]).decode()
    return f"{asked.body.decode()} {authorization} {pair} {_fields(asked)}"


def _page(text: str, status: str) -> bytes:
    return http_answer(f"<p>{text}</p>", status=status, fields=("Content-Type: text/html",))


def _granted(**members: Any) -> dict[str, Any]:
    return {"access_token": TOKENS["opaque"], "token_type": "Bearer", "expires_in": 3600} | members


ANSWERS: dict[str, Callable[[Asked], bytes]] = {
    "described": lambda asked: refusal("invalid_client", error_description=quoted(asked)),
    "encoded": lambda asked: refusal(
        "invalid_client",
        error_description=base64.b64encode(quoted(asked).encode()).decode(),
        message=base64.urlsafe_b64encode(b"x" + quoted(asked).encode()).decode(),
    ),
    "percent": lambda asked: _page(quote(quoted(asked), safe=""), "500 Oh"),
    "hexadecimal": lambda asked: _page(quoted(asked).encode().hex(), "400 Oh"),
    "challenged": lambda asked: http_answer(
        quoted(asked),
        status="401 Oh",
        fields=(f'WWW-Authenticate: Basic realm="{asked.headers.get("authorization")}"',),
    ),
    "named": lambda asked: http_answer({TOKENS["opaque"]: 1, quoted(asked): 2}),
    "misnamed": lambda _: http_answer({"token": TOKENS["jwt"], "message": TOKENS["opaque"]}),
    "contradicted": lambda asked: http_answer(_granted(error=quoted(asked))),
    "page": lambda _: _page(f"access_token={TOKENS['opaque']} {TOKENS['jwt']}", "200 OK"),
    "odd type": lambda _: http_answer(_granted(token_type=TOKENS["opaque"])),
    "odd lifetime": lambda _: http_answer(_granted(expires_in=TOKENS["opaque"])),
    "odd field": lambda asked: http_answer(
        _granted(), fields=(f"X-Odd: \xff\0{quoted(asked)}\x01".replace("\n", " "),)
    ),
    "odd status": lambda asked: f"HTTP/1.1 {quoted(asked)}\r\n\r\n".encode(),
    "odd framing": lambda asked: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + quoted(asked).encode()
    ),
    "redirect": lambda asked: http_answer(
        b"", status="302 Oh", fields=(f"Location: http://x/?{quote(quoted(asked))}",)
    ),
    "cookie": lambda _: http_answer(
        _granted(), fields=(f"Set-Cookie: {TOKENS['cookie']}\x01;;={TOKENS['cookie']}",)
    ),
}
GRANTING = ("cookie", "odd lifetime")
"""Of these answers something can be used."""


class Quoting:
    """The `answer` of a token endpoint; it keeps the assertions that it was shown."""

    def __init__(self) -> None:
        self.assertions: list[str] = []
        self.renews_brief = False
        """Whether the short token is granted as often as it is asked for, as to another process."""
        self._had_brief: set[str] = set()

    def __call__(self, asked: Asked) -> bytes:
        fields = _fields(asked)
        if "client_assertion" in fields:
            self.assertions.append(fields["client_assertion"])
        name = fields.get("audience", "")
        if name in ANSWERS:
            return ANSWERS[name](asked)
        if name != "brief":
            return http_answer(_granted())
        if self.renews_brief or fields["scope"] not in self._had_brief:
            self._had_brief.add(fields["scope"])
            return http_answer(_granted(access_token=TOKENS["brief"], expires_in=BRIEF_SECONDS))
        return refusal("invalid_grant", error_description=f"{TOKENS['brief']} is over")


async def tell_all(request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    """Answer as the path says, with the request's own credential in every place."""
    (credential,) = request.values("Authorization")
    said = credential.decode()
    cookie = f"Set-Cookie: session={TOKENS['cookie']}"
    path = request.target.partition(b"?")[0].rpartition(b"/")[2]
    if path == b"refused":
        challenge = f'WWW-Authenticate: Bearer error="invalid_token", realm="{said}"'
        writer.write(response(credential, status="401 Oh", fields=(challenge, cookie)))
    elif path == b"broken":
        writer.write(b"HTTP/1.1 " + credential + b"\r\n" + cookie.encode() + b"\r\n\r\n")
    elif path == b"torn":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + credential)
        writer.close()
    elif path == b"folded":
        writer.write(b"HTTP/1.1 200 OK\r\nX: a\r\n " + credential + b"\0\r\n\r\n")
    else:
        writer.write(response(credential, status="500 Oh", fields=(cookie,)))


def configuration(
    server: TokenServer,
    upstream: RecordingUpstream,
    log: dict[str, str],
    *,
    key: Key,
    assertion: Path,
    ways: Collection[str],
) -> dict[str, Any]:
    """Return a configuration with every answer above to each of these ways to prove oneself."""
    common = {"token_endpoint": server.url, "client_id": "billing"}
    clients: dict[str, dict[str, Any]] = {
        "basic": {"client_secret": SECRETS["basic"]},
        "post": {"client_secret": SECRETS["post"], "authentication": "client_secret_post"},
        "json": {
            "client_secret": SECRETS["json"],
            "authentication": "client_secret_basic_and_post",
            "token_request": "json",
            "parameters": {"password": SECRETS["parameter"]},
        },
        "jwt": {"client_secret": SECRETS["jwt"], "authentication": "client_secret_jwt"},
        "key": {
            "private_key": json.dumps(key.as_dict(private=True)),
            "authentication": "private_key_jwt",
        },
        "assertion": {
            "client_assertion_file": str(assertion),
            "authentication": "client_assertion_file",
        },
        "egress": {
            "client_secret": SECRETS["egress"],
            "token_endpoint": "http://auth.example/token",
            "allow_http": True,
            "http_proxy": server.issuer,
        },
    }
    clients = {name: keys for name, keys in clients.items() if name in ways}
    # What never gets as far as an answer.
    unheard = {
        "untrusted": {"token_endpoint": server.url.replace("http:", "https:")},
        "closed": {"token_endpoint": "http://127.0.0.1:9/token"},
        "no egress": {
            "token_endpoint": "http://auth.example/token",
            "allow_http": True,
            "http_proxy": "http://127.0.0.1:9",
        },
    }
    secret = {"client_secret": SECRETS["post"], "timeout_seconds": 1}
    heard = {
        f"{client}, {answer}": {"client": client, "audience": answer, "scope": client}
        for client in clients
        for answer in (*ANSWERS, "brief")
    }
    return {
        "listen": "127.0.0.1:0",
        "admin": {"listen": "127.0.0.1:0"},
        "allow_inline_secrets": True,
        "shutdown": {"drain_seconds": 0},
        "log": log,
        "clients": {
            _name(name): common | keys
            for name, keys in (clients | {n: secret | k for n, k in unheard.items()}).items()
        },
        "audiences": {_name(name): keys for name, keys in heard.items()}
        | {_name(name): {"client": _name(name)} for name in unheard},
        "upstreams": {
            "good": {
                "url": f"{upstream.url}/said",
                "audience": _name("basic, cookie"),
                "match": {"path": "/good"},
                "set_headers": {"X-Api-Key": SECRETS["field"]},
            },
            "bad": {
                "url": upstream.url,
                "audience": _name("basic, described"),
                "match": {"path": "/bad"},
            },
            "strict": {
                "url": upstream.url,
                "audience": _name("basic, cookie"),
                "match": {"path": "/strict"},
                "existing_authorization": "reject",
                "methods": ["GET"],
            },
            "nowhere": {
                "url": "http://127.0.0.1:9",
                "audience": _name("basic, cookie"),
                "match": {"path": "/nowhere"},
            },
        },
    }


def _name(words: str) -> str:
    return words.replace(", ", "-").replace(" ", "_")
