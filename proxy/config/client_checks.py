"""What holds between a client's keys: its endpoint, what its method needs, what is of no use to it.

Reads the raw tree, as `checks` does and for its reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from proxy.config.credentials import is_true
from proxy.config.proof import CERTIFICATE, PROOF_OF, SIGNING, Algorithm, Authentication, fits
from proxy.config.urls import parse_url

if TYPE_CHECKING:
    from proxy.config.document import Document, KeyPath

OUR_PARAMETERS = frozenset(
    {
        "grant_type",
        "client_id",
        "client_secret",
        "scope",
        "audience",
        "resource",
        "client_assertion",
        "client_assertion_type",
    }
)
_WITH_BASIC = ("client_secret_basic", "client_secret_basic_and_post")
_SERVES = {
    "client_secret": tuple(method for method, key in PROOF_OF.items() if key == "client_secret"),
    "private_key": ("private_key_jwt",),
    "client_assertion_file": ("client_assertion_file",),
    "key_id": SIGNING,
    "algorithm": SIGNING,
    "assertion_audience": SIGNING,
}
"""The keys that only some methods have a use for. A key without effect is somebody's mistake."""


def check_client(document: Document, path: KeyPath, client: dict[str, Any]) -> None:
    """Report what is wrong between the keys of one client."""
    _endpoints(document, path, client)
    _authentication(document, path, client)
    _basic(document, path, client)
    _egress(document, path, client)
    check_parameters(document, path, client)


def _endpoints(document: Document, path: KeyPath, client: dict[str, Any]) -> None:
    given = [
        key for key in ("token_endpoint", "issuer", "discovery") if client.get(key) is not None
    ]
    if not given:
        document.wrong_key(
            path, "has no authorization server: token_endpoint, issuer or discovery is required"
        )
    elif "token_endpoint" in given and len(given) > 1:
        document.wrong_key(
            (*path, given[1]), "excludes token_endpoint: only one of them can name the endpoint"
        )
    for key in given:
        check_plain_http(
            document, (*path, key), client, proxied=client.get("http_proxy") is not None
        )


def check_plain_http(
    document: Document, path: KeyPath, section: dict[str, Any], *, proxied: bool = False
) -> None:
    """Report a URL that would carry a credential across a network in clear.

    `proxied`: it goes through a proxy, whose loopback is not ours.
    """
    text = section.get(str(path[-1]))
    if not isinstance(text, str) or is_true(section.get("allow_http")):
        return
    try:
        url = parse_url(text, query_allowed=True)
    except ValueError:
        return
    if url.is_plain_remote:
        document.wrong_value(
            path, "is plain http to a host that is not loopback: use https, or allow_http: true"
        )
    elif url.scheme == "http" and proxied:
        document.wrong_value(
            path, "is plain http through http_proxy, in clear: use https, or allow_http: true"
        )


def _authentication(document: Document, path: KeyPath, client: dict[str, Any]) -> None:
    authentication = client.get("authentication", "client_secret_basic")
    # Not `in` a set: what is looked for may be a list or a section, which has no hash.
    if authentication not in get_args(Authentication):
        return
    wanted = PROOF_OF.get(authentication)
    if wanted is not None and client.get(wanted) is None:
        twin = "" if wanted.endswith("_file") else ", or its _file twin"
        unsaid = "authentication" not in client
        other = ", or authentication: none" if unsaid else ""
        because = "" if unsaid else f" with authentication {authentication}"
        document.wrong_key((*path, wanted), f"is required{because}{twin}{other}")
    for key, methods in _SERVES.items():
        if client.get(key) is not None and authentication not in methods:
            written = key if (*path, key) in document.keys else f"{key}_file"
            document.wrong_key(
                (*path, written),
                f"is of no use with authentication {authentication}: remove one of them",
            )
    algorithm = client.get("algorithm")
    if (
        authentication in SIGNING
        and isinstance(algorithm, str)
        and algorithm in get_args(Algorithm)
        and not fits(algorithm, authentication)
    ):
        possible = (
            "HS256, HS384 or HS512"
            if authentication == "client_secret_jwt"
            else "RS256, PS256, ES256 or EdDSA, as the key is"
        )
        document.wrong_value(
            (*path, "algorithm"), f"does not go with authentication {authentication}: {possible}"
        )
    if authentication in CERTIFICATE:
        _certificate(document, path, client, authentication)


def _certificate(
    document: Document, path: KeyPath, client: dict[str, Any], authentication: str
) -> None:
    tls = client.get("tls")
    if not isinstance(tls, dict) or tls.get("certificate_file") is None:
        document.wrong_key(
            (*path, "tls", "certificate_file"), f"is required with authentication {authentication}"
        )
    endpoint = client.get("token_endpoint")
    if isinstance(endpoint, str) and endpoint.lower().startswith("http:"):
        document.wrong_value(
            (*path, "token_endpoint"),
            f"is plain http, where no certificate can be shown: {authentication} wants https",
        )


def _egress(document: Document, path: KeyPath, client: dict[str, Any]) -> None:
    """Report a proxy that would be shown what is meant for the authorization server."""
    proxy = client.get("http_proxy")
    tls = client.get("tls")
    if (
        isinstance(proxy, str)
        and proxy.lower().startswith("https:")
        and isinstance(tls, dict)
        and tls.get("certificate_file") is not None
    ):
        document.wrong_value(
            (*path, "http_proxy"),
            "is https, and would be shown the certificate that is meant for the authorization "
            "server: use a proxy that is reached by http",
        )


def _basic(document: Document, path: KeyPath, client: dict[str, Any]) -> None:
    client_id = client.get("client_id")
    if (
        client.get("authentication", "client_secret_basic") in _WITH_BASIC
        and client.get("basic_encoding") == "raw"
        and isinstance(client_id, str)
        and ":" in client_id
    ):
        document.wrong_value(
            (*path, "client_id"), "has a ':', which basic_encoding: raw cannot carry (RFC 7617)"
        )


def check_parameters(document: Document, path: KeyPath, section: dict[str, Any]) -> None:
    """Report further parameters that are none: the proxy sets them itself."""
    parameters = section.get("parameters")
    for key in parameters if isinstance(parameters, dict) else ():
        if key in OUR_PARAMETERS:
            document.wrong_key(
                (*path, "parameters", key), "is set by the proxy itself, from keys of its own"
            )
