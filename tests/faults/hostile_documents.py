"""What may stand in an authorization server's metadata for issuer and token endpoint (A-70, A-72).

A row says what is answered at the well-known places. `issuer` is what the client has configured,
behind its server's origin; with `by_url` the document's own URL is configured instead.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from faults.hostile_answers import WORDS, spoken
from faults.token_server import TOKEN_PATH

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.hostile_server import Answer
    from faults.token_server import Asked

    from proxy.telemetry.audience import FetchResult

OWN_PATH = "/metadata"


@dataclass(frozen=True, slots=True)
class Site:
    """What a document may name. `first`: whether it is asked for at the first place of two."""

    origin: str
    issuer: str
    elsewhere: str
    first: bool

    @property
    def token_endpoint(self) -> str:
        return self.origin + TOKEN_PATH

    def document(self, **members: Any) -> dict[str, Any]:
        """Return a good document with these members changed; None takes one away."""
        changed = {"issuer": self.issuer, "token_endpoint": self.token_endpoint} | members
        return {name: value for name, value in changed.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Document:
    name: str
    answer: Callable[[Site], Answer]
    result: FetchResult = "misspoke"
    issuer: str = ""
    by_url: bool = False
    token_target: str = TOKEN_PATH

    audience: ClassVar[dict[str, Any]] = {}

    def client(self, origin: str) -> dict[str, Any]:
        """Return the client's keys."""
        return {"discovery": origin + OWN_PATH} if self.by_url else {"issuer": origin + self.issuer}

    def said(self, asked: Asked, origin: str, elsewhere: str) -> Answer:
        """Answer a request for the document as this row has it."""
        return self.answer(self._site(asked, origin, elsewhere))

    def good(self, asked: Asked, origin: str) -> Answer:
        """Answer it as a good server does."""
        return spoken(self._site(asked, origin, "").document())

    def _site(self, asked: Asked, origin: str, elsewhere: str) -> Site:
        first = self.by_url or "oauth-authorization-server" in asked.target
        return Site(origin, origin + self.issuer, elsewhere, first=first)


def refused(
    name: str, answer: Callable[[Site], Any], result: FetchResult = "misspoke", **keys: Any
) -> Document:
    """Return a row whose answer, where it is a dict, goes as JSON with 200."""

    def bytes_of(site: Site) -> Answer:
        said = answer(site)
        return said if isinstance(said, bytes | tuple) else spoken(said)

    return Document(name, bytes_of, result, **keys)


def issued(name: str, issuer: Callable[[Site], Any], configured: str = "/Tenant") -> Document:
    return refused(
        f"issuer {name}", lambda site: site.document(issuer=issuer(site)), issuer=configured
    )


ISSUERS = [
    issued("with a slash more", lambda site: site.issuer + "/"),
    issued("with a slash less", lambda site: site.issuer[:-1], "/Tenant/"),
    issued("without its only slash", lambda site: site.origin, "/"),
    issued("in lower case", lambda site: site.issuer.lower()),
    issued("with a scheme in upper case", lambda site: site.issuer.replace("http", "HTTP")),
    issued("with https", lambda site: site.issuer.replace("http:", "https:")),
    issued("without its port", lambda site: site.issuer.rsplit(":", 1)[0] + "/Tenant"),
    issued("with another port", lambda site: site.elsewhere + "/Tenant"),
    issued(
        "with a port of six digits", lambda site: site.issuer.replace("127.0.0.1:", "127.0.0.1:0")
    ),
    issued(
        "with another name of its host", lambda site: site.issuer.replace("127.0.0.1", "localhost")
    ),
    issued("with a user", lambda site: site.issuer.replace("//", f"//{WORDS}@")),
    issued("percent-encoded", lambda site: site.issuer.replace("T", "%54")),
    issued("with more path", lambda site: site.issuer + "/more"),
    issued("with less path", lambda site: site.origin),
    issued("with a query", lambda site: site.issuer + "?"),
    issued("with a fragment", lambda site: site.issuer + "#"),
    issued("with white space", lambda site: site.issuer + " "),
    issued("of another server", lambda _: f"https://{WORDS}.example"),
    issued("empty", lambda _: ""),
    issued("missing", lambda _: None),
    issued("in a list", lambda site: [site.issuer]),
    issued("a number", lambda _: 5),
    refused("issuer null", lambda site: json.dumps(site.document() | {"issuer": None})),
    refused(
        "issuer twice, right at last",
        lambda site: (
            json.dumps(site.document(issuer=site.elsewhere))[:-1] + f', "issuer": "{site.issuer}"}}'
        ),
    ),
    refused(
        "issuer twice, right at first",
        lambda site: json.dumps(site.document())[:-1] + f', "issuer": "{site.elsewhere}"}}',
    ),
]


def endpoint(name: str, url: Callable[[Site], Any], *, by_url: bool = False) -> Document:
    return refused(
        f"endpoint {name}", lambda site: site.document(token_endpoint=url(site)), by_url=by_url
    )


ENDPOINTS = [
    endpoint("missing", lambda _: None),
    endpoint("missing, by URL", lambda _: None, by_url=True),
    endpoint("empty", lambda _: ""),
    endpoint("a number", lambda _: 5),
    endpoint("in a list", lambda site: [site.token_endpoint]),
    endpoint("an object", lambda site: {"url": site.token_endpoint}),
    refused("endpoint null", lambda site: json.dumps(site.document() | {"token_endpoint": None})),
    endpoint("relative", lambda _: "token"),
    endpoint("a path", lambda _: TOKEN_PATH),
    endpoint("without a scheme", lambda site: site.token_endpoint.removeprefix("http:")),
    endpoint("a host and a port", lambda site: site.token_endpoint.removeprefix("http://")),
    endpoint("plain http", lambda _: "http://evil.example/token"),
    endpoint("plain http, by URL", lambda _: "http://evil.example/token", by_url=True),
    endpoint("plain http in upper case", lambda _: "HTTP://EVIL.EXAMPLE/token"),
    endpoint("localhost for a user", lambda _: "http://localhost@evil.example/token"),
    endpoint("127.0.0.1 for a user", lambda _: "http://127.0.0.1@evil.example/token"),
    endpoint("127.0.0.1 for user and password", lambda _: "http://127.0.0.1:80@evil.example/token"),
    endpoint("a user at the right host", lambda site: site.elsewhere.replace("//", "//user:pass@")),
    endpoint("a user at https", lambda _: "https://localhost@evil.example/token"),
    endpoint("localhost for a label", lambda _: "http://localhost.evil.example/token"),
    endpoint("127.0.0.1 for labels", lambda _: "http://127.0.0.1.evil.example/token"),
    endpoint("evil-localhost", lambda _: "http://evil-localhost/token"),
    endpoint("behind a backslash", lambda _: "http://localhost\\@evil.example/token"),
    endpoint("behind a fragment", lambda _: "http://evil.example#@localhost/token"),
    endpoint("behind a query", lambda _: "http://evil.example?@localhost/token"),
    endpoint("behind an encoded at", lambda _: "http://localhost%40evil.example/token"),
    endpoint("in two lines", lambda site: f"{site.elsewhere}/\r\nX-Evil: 1"),
    endpoint("with a tab in its scheme", lambda site: site.elsewhere.replace("http", "ht\ttp")),
    endpoint("with white space", lambda site: f" {site.elsewhere}/token"),
    endpoint("with NUL", lambda site: f"{site.elsewhere}/\x00"),
    endpoint("with dots", lambda site: f"{site.elsewhere}/a/../token"),
    endpoint("with a fragment", lambda site: f"{site.elsewhere}/token#x"),
    endpoint("with full stops of another script", lambda _: "http://127。0。0。1/token"),
    endpoint("of another script", lambda _: "http://lоcalhost/token"),  # noqa: RUF001 - the point
    endpoint(
        "the unspecified address", lambda site: site.elsewhere.replace("127.0.0.1", "0.0.0.0")
    ),
    endpoint("a decimal address", lambda site: site.elsewhere.replace("127.0.0.1", "2130706433")),
    endpoint(
        "a hexadecimal address", lambda site: site.elsewhere.replace("127.0.0.1", "0x7f000001")
    ),
    endpoint("port 0", lambda _: "http://127.0.0.1:0/token"),
    endpoint("port 99999", lambda _: "http://127.0.0.1:99999/token"),
    endpoint("no host", lambda _: "https:///token"),
    endpoint("ftp", lambda _: "ftp://127.0.0.1/token"),
    endpoint("file", lambda _: "file:///etc/passwd"),
    endpoint("unix", lambda _: "unix:/run/token.sock"),
    endpoint("data", lambda _: 'data:application/json,{"access_token":"x"}'),
    endpoint("javascript", lambda _: "javascript:alert(1)"),
    endpoint("very long", lambda site: f"{site.elsewhere}/{'x' * 100000} "),
    refused(
        "endpoint twice, right at last",
        lambda site: (
            json.dumps(site.document(token_endpoint=f"{site.elsewhere}/token"))[:-1]
            + f', "token_endpoint": "{site.token_endpoint}"}}'
        ),
    ),
    refused(
        "endpoint twice, right at first",
        lambda site: (
            json.dumps(site.document())[:-1] + f', "token_endpoint": "{site.elsewhere}/token"}}'
        ),
    ),
]
