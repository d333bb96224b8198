"""What an authorization server publishes of itself: where it is looked for, and what is believed.

Pure. RFC 8414 §3 and OpenID Connect Discovery 1.0 §4. A document is used only if its `issuer` is
the configured one to the letter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxy.config.proof import CERTIFICATE
from proxy.config.urls import parse_url
from proxy.errors import Fault
from proxy.tokens import strict_json
from proxy.tokens.outcome import (
    FetchFailed,
    cleaned,
    means_unavailable,
    misspoke,
    unavailable,
)

if TYPE_CHECKING:
    from proxy.config.client import Client
    from proxy.config.proof import Proof
    from proxy.tokens.endpoint import Answer

METHODS = "token_endpoint_auth_methods_supported"
ALGORITHMS = "token_endpoint_auth_signing_alg_values_supported"
LISTED_MAX = 200
_REGISTERED = {
    "client_secret_basic_and_post": ("client_secret_basic", "client_secret_post"),
    # An assertion that somebody else signed is one all the same (RFC 7523 §2.2).
    "client_assertion_file": ("private_key_jwt",),
}
"""Our names that are not registered, and what a server calls the same thing."""


@dataclass(frozen=True, slots=True)
class Located:
    """A token endpoint and what is known of its server.

    `issuer` None: unknown, or in doubt. `methods` None: nothing is published, as the endpoint is
    configured; empty: the document has none.
    """

    token_endpoint: str
    issuer: str | None = None
    methods: tuple[str, ...] | None = None
    algorithms: tuple[str, ...] = ()


class MetadataNotFound(FetchFailed):
    """No document at this place; the other well-known form may have it."""


def well_known(client: Client) -> list[str]:
    """Return the places to look, in order."""
    if client.discovery is not None:
        return [client.discovery]
    assert client.issuer is not None, "a client without endpoint has an issuer or a discovery URL"
    return well_known_of(client.issuer)


def well_known_of(issuer: str) -> list[str]:
    """Return where an issuer's document is. Raises `ValueError` for what is no issuer."""
    path = parse_url(issuer).path
    origin = issuer.removesuffix(path) if path else issuer
    path = path.rstrip("/")
    return [
        # RFC 8414 §3 inserts before the path, OpenID Connect Discovery §4 appends behind it.
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    ]


def read_document(client: Client, answer: Answer) -> Located:
    """Read a metadata document. Raises `FetchFailed`."""
    if means_unavailable(answer.status):
        raise unavailable(
            f"the metadata document's server answered {answer.status}",
            retry_after_seconds=answer.retry_after_seconds,
        )
    if answer.status != 200:
        raise MetadataNotFound(
            Fault.AUTHORIZATION_SERVER_MISSPOKE,
            "misspoke",
            f"no metadata document: the server answered {answer.status}",
        )
    try:
        document: Any = strict_json.read(answer.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise misspoke("the metadata document is not a JSON object, or names a member twice")
    if client.issuer is not None and document.get("issuer") != client.issuer:
        raise misspoke(
            "the metadata document's issuer is not the configured one (compared to the letter: "
            "scheme, host, port, path and trailing slash)",
            f"issuer: {cleaned(str(document.get('issuer'))[:LISTED_MAX])}",
        )
    return Located(
        _token_endpoint(client, document),
        issuer=_issuer(client, document.get("issuer")),
        methods=_texts(document.get(METHODS)),
        algorithms=_texts(document.get(ALGORITHMS)),
    )


def discrepancy(client: Client, located: Located, proof: Proof | None) -> str | None:
    """Say what of the client's authentication the server's metadata does not offer; None: nothing.

    The sentence holds words of the server, cleaned and cut.
    """
    if located.methods is None:
        return None
    names = _REGISTERED.get(client.authentication, (client.authentication,))
    # RFC 8414 §2: if omitted, the default is client_secret_basic.
    if not set(names) & set(located.methods or ("client_secret_basic",)):
        offered = (
            f"{METHODS}: {_listed(located.methods)}"
            if located.methods
            else f"it has no {METHODS}, which means client_secret_basic (RFC 8414)"
        )
        return (
            f"the server's metadata does not offer `authentication: {client.authentication}`; "
            f"{offered}"
        )
    if proof is None or proof.key is None or not located.algorithms:
        return None
    if proof.key.algorithm not in located.algorithms:
        return (
            f"the server's metadata does not offer {proof.key.algorithm}, which our key signs "
            f"with; {ALGORITHMS}: {_listed(located.algorithms)}"
        )
    return None


def _issuer(client: Client, issuer: Any) -> str | None:
    """Return the issuer if it is beyond doubt: configured, or its own document is where it says.

    Whatever else a document may claim: an assertion made out to one server is not to be given to
    another, which could use it there (RFC 10070).
    """
    if client.issuer is not None:
        return client.issuer
    if not isinstance(issuer, str):
        return None
    try:
        return issuer if client.discovery in well_known_of(issuer) else None
    except ValueError:
        return None


def _token_endpoint(client: Client, document: dict[str, Any]) -> str:
    found = document.get("token_endpoint")
    aliases = document.get("mtls_endpoint_aliases")
    if client.tls.certificate_file is not None and isinstance(aliases, dict):
        # RFC 8705 §5: who shows a certificate asks there.
        found = aliases.get("token_endpoint", found)
    if not isinstance(found, str) or not found:
        raise misspoke("the metadata document names no token_endpoint")
    try:
        url = parse_url(found, query_allowed=True)
    except ValueError as error:
        raise misspoke(f"the metadata document's token_endpoint {error}") from None
    published_at = parse_url(client.discovery or client.issuer or found, query_allowed=True)
    # Nothing else than https is less than https, this machine and a proxy on the way included.
    may_be_plain = published_at.scheme == "http" and client.http_proxy is None
    if url.scheme == "http" and (url.is_plain_remote or not may_be_plain) and not client.allow_http:
        raise misspoke("the metadata document's token_endpoint is plain http")
    if url.scheme == "http" and client.authentication in CERTIFICATE:
        raise misspoke(
            "the metadata document's token_endpoint is plain http, where no certificate is shown"
        )
    return found


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _listed(words: tuple[str, ...]) -> str:
    # Cut first: what a server lists may be as long as its document.
    return cleaned(", ".join(word[:LISTED_MAX] for word in words[:LISTED_MAX])[:LISTED_MAX])
