"""What may be answered where metadata is looked for, and what is metadata however odd."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

from faults.hostile_answers import TOKEN, WORDS, head, spoken
from faults.hostile_answers_framing import CHUNKED, GZIP, ZEROS, chunk
from faults.hostile_documents import ENDPOINTS, ISSUERS, Document, refused
from faults.hostile_server import HANG, RESET, Flood
from faults.token_server import TOKEN_PATH

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.hostile_documents import Site

BYTES_MAX = 262144
PAGE = f"<!doctype html><title>{WORDS}</title>{TOKEN}"
BODIES = [
    refused(f"body {name}", answer)
    for name, answer in (
        ("empty", lambda _: ""),
        ("a page", lambda _: spoken(PAGE, media="text/html")),
        ("a list", lambda site: json.dumps([site.document()])),
        ("null", lambda _: "null"),
        ("text", lambda site: json.dumps(site.issuer)),
        ("no members", lambda _: {}),
        ("half of it", lambda site: json.dumps(site.document())[:-5]),
        ("trailing words", lambda site: json.dumps(site.document()) + WORDS),
        (
            "a BOM before",
            lambda site: spoken(b"\xef\xbb\xbf" + json.dumps(site.document()).encode()),
        ),
        ("UTF-16", lambda site: spoken(json.dumps(site.document()).encode("utf-16"))),
        (
            "Latin-1",
            lambda site: spoken(json.dumps(site.document())[:-1].encode() + b', "x": "\xe9"}'),
        ),
        ("deep", lambda _: "[" * 60000),
        ("deep inside", lambda site: json.dumps(site.document())[:-1] + ', "x": ' + "[" * 60000),
        ("256 KiB and one", lambda site: json.dumps(site.document()).ljust(BYTES_MAX + 1)),
        ("a token answer", lambda _: {"access_token": TOKEN, "token_type": "Bearer"}),
        ("an error", lambda _: {"error": WORDS}),
        ("a GiB", lambda _: (head(200), Flood(b" " * 65536, 16384))),
        ("a gzip bomb", lambda _: (head(200, "Content-Encoding: gzip"), GZIP, Flood(ZEROS, 1024))),
    )
]
FAILURES = [
    *(
        refused(
            f"{status} {where}",
            lambda site, status=status, to=to: spoken(
                site.document(), f"Location: {to(site)}", status=status
            ),
        )
        for status in (301, 302, 303, 307, 308)
        for where, to in (
            ("to itself", lambda site: f"{site.origin}/moved"),
            ("elsewhere", lambda site: f"{site.elsewhere}/metadata"),
        )
    ),
    *(
        refused(f"{status}", lambda site, status=status: spoken(site.document(), status=status))
        for status in (201, 206, 304, 400, 401, 403, 404, 410)
    ),
    *(
        refused(
            f"{status}",
            lambda site, status=status: spoken(site.document(), status=status),
            "unavailable",
        )
        for status in (408, 429, 500, 502, 503)
    ),
    refused("no HTTP", lambda _: f"{WORDS}\r\n\r\n".encode()),
    refused("ends unsaid", lambda _: (), "unavailable"),
    refused("reset", lambda _: (RESET,), "unavailable"),
    refused("ends within the body", lambda _: head(200, "Content-Length: 90") + b"{"),
    refused("silent", lambda _: (HANG,), "timeout"),
    refused("silent behind a head", lambda _: (head(200, "Content-Length: 90"), HANG), "timeout"),
]
REFUSED = {"issuers": ISSUERS, "endpoints": ENDPOINTS, "bodies": BODIES, "failures": FAILURES}


def second(first: Callable[[Site], Any]) -> Callable[[Site], Any]:
    """Return what answers so at the first place, and well at the second."""
    return lambda site: first(site) if site.first else site.document()


def accepted(name: str, answer: Callable[[Site], Any], **keys: Any) -> Document:
    return refused(name, answer, "success", **keys)


ACCEPTED = [
    accepted("plain", lambda site: site.document()),
    accepted("by URL", lambda site: site.document(), by_url=True),
    accepted("by URL, without an issuer", lambda site: site.document(issuer=None), by_url=True),
    accepted(
        "by URL, of another issuer",
        lambda site: site.document(issuer="https://a.example"),
        by_url=True,
    ),
    accepted("an issuer with a path", lambda site: site.document(), issuer="/Tenant"),
    accepted("an issuer with a slash", lambda site: site.document(), issuer="/"),
    accepted("an issuer with both", lambda site: site.document(), issuer="/a/b/"),
    accepted(
        "text/plain",
        lambda site: spoken(json.dumps(site.document()), media="text/plain"),
    ),
    accepted("no media type", lambda site: spoken(json.dumps(site.document()))),
    accepted(
        "white space around",
        lambda site: "\r\n " + json.dumps(site.document(), indent=4),
    ),
    accepted("256 KiB", lambda site: json.dumps(site.document()).ljust(BYTES_MAX)),
    accepted(
        "chunked",
        lambda site: CHUNKED + chunk(json.dumps(site.document()).encode()) + chunk(b""),
    ),
    accepted(
        "ended by its close",
        lambda site: head(200) + json.dumps(site.document()).encode(),
    ),
    accepted(
        "gzip all the same",
        lambda site: spoken(
            gzip.compress(json.dumps(site.document()).encode()), "Content-Encoding: gzip"
        ),
    ),
    accepted(
        "all that servers publish",
        lambda site: site.document(
            authorization_endpoint=f"{site.elsewhere}/authorize",
            jwks_uri=f"{site.elsewhere}/jwks",
            registration_endpoint="http://evil.example/register",
            grant_types_supported=["client_credentials"],
            token_endpoint_auth_methods_supported=["client_secret_basic", "private_key_jwt"],
            signed_metadata=TOKEN,
            mtls_endpoint_aliases={"token_endpoint": f"{site.elsewhere}/token"},
        ),
    ),
    accepted(
        "an endpoint with a query",
        lambda site: site.document(token_endpoint=f"{site.token_endpoint}?tenant=acme&x=%2B"),
        token_target=f"{TOKEN_PATH}?tenant=acme&x=%2B",
    ),
    accepted("\\u-escaped", lambda site: json.dumps(site.document()).replace("/", "\\u002f")),
    accepted("nothing at the first place", second(lambda _: spoken(b"", status=404))),
    accepted("a page at the first place", second(lambda _: spoken(PAGE, media="text/html"))),
    accepted("trouble at the first place", second(lambda _: spoken(b"", status=500))),
    accepted(
        "a redirect at the first place",
        second(lambda site: head(302, f"Location: {site.elsewhere}")),
    ),
    accepted(
        "another issuer at the first place",
        second(lambda site: site.document(issuer=site.elsewhere)),
    ),
]
