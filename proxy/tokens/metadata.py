"""What an authorization server publishes of itself: where it is looked for, and what is believed.

Pure. RFC 8414 §3 and OpenID Connect Discovery 1.0 §4. A document is used only if its `issuer` is
the configured one to the letter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxy.config.proof import CERTIFICATE, SIGNING
from proxy.config.urls import parse_url
from proxy.errors import Fault
from proxy.tokens import strict_json
from proxy.tokens.outcome import FetchFailed, cleaned, misspoke, unavailable

if TYPE_CHECKING:
    from proxy.config.client import Client
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
    """A token endpoint and what is known of its server. `methods` None: nothing is published."""

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
    path = parse_url(client.issuer).path
    origin = client.issuer.removesuffix(path)
    path = path.rstrip("/")
    return [
        # RFC 8414 §3 inserts before the path, OpenID Connect Discovery §4 appends behind it.
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    ]


def read_document(client: Client, answer: Answer) -> Located:
    """Read a metadata document. Raises `FetchFailed`."""
    if answer.status in {408, 429} or 500 <= answer.status <= 599:
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
            f"issuer: {document.get('issuer')!r:.200}",
        )
    issuer = document.get("issuer")
    return Located(
        _token_endpoint(client, document),
        issuer=issuer if isinstance(issuer, str) and issuer else None,
        # RFC 8414 §2: if omitted, the default is client_secret_basic.
        methods=_texts(document.get(METHODS)) or ("client_secret_basic",),
        algorithms=_texts(document.get(ALGORITHMS)),
    )


def discrepancy(client: Client, located: Located) -> str | None:
    """Say what of the client's authentication the server's metadata does not offer; None: nothing.

    The sentence holds words of the server, cleaned and cut.
    """
    if located.methods is None:
        return None
    names = _REGISTERED.get(client.authentication, (client.authentication,))
    if not set(names) & set(located.methods):
        return (
            f"the server's metadata does not offer `authentication: {client.authentication}`; "
            f"{METHODS}: {_listed(located.methods)}"
        )
    if (
        client.authentication in SIGNING
        and client.algorithm is not None
        and located.algorithms
        and client.algorithm not in located.algorithms
    ):
        return (
            f"the server's metadata does not offer `algorithm: {client.algorithm}`; "
            f"{ALGORITHMS}: {_listed(located.algorithms)}"
        )
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
    if url.is_plain_remote and not client.allow_http:
        raise misspoke("the metadata document's token_endpoint is plain http")
    if url.scheme == "http" and client.authentication in CERTIFICATE:
        raise misspoke(
            "the metadata document's token_endpoint is plain http, where no certificate is shown"
        )
    return found


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _listed(words: tuple[str, ...]) -> str:
    return cleaned(", ".join(words))[:LISTED_MAX]
