"""The configuration of a client: who we are, at which authorization server."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from proxy.config.fields import (
    AssertionFile,
    AssertionSeconds,
    HostName,
    OriginText,
    Parameters,
    Seconds,
    SecretField,
    Switch,
    Text,
    UrlText,
    UrlWithQuery,
)
from proxy.config.proof import Algorithm, Authentication
from proxy.config.section import Section


class Tls(Section):
    """`tls`: trust and, if wanted, a client certificate.

    A file that changes is read again; if it cannot be used, what it held before goes on being used.
    """

    ca_file: Text | None = None
    """PEM certificates to trust instead of the system's."""
    certificate_file: Text | None = None
    """PEM client certificate, with its chain."""
    key_file: Text | None = None
    """PEM private key of `certificate_file`, unencrypted; unset: it is in the same file."""
    server_name: HostName | None = None
    """The name that the server's certificate must have, if not the URL's host."""


class Client(Section):
    """`clients.NAME`: who we are, at which authorization server."""

    token_endpoint: UrlWithQuery | None = None
    """Where tokens are asked for; this, or `issuer`, or `discovery` is required."""
    issuer: UrlText | None = None
    """The issuer whose metadata names the token endpoint (RFC 8414, OpenID Connect Discovery);
    the `issuer` in the metadata must be this very text."""
    discovery: UrlWithQuery | None = None
    """The metadata document's own URL; its `issuer` is checked if `issuer` is set too."""
    client_id: Text
    """Our name at the authorization server."""
    client_secret: SecretField | None = None
    """Our secret there: `${NAME}`, or text if `allow_inline_secrets` is `true`."""
    authentication: Authentication = "client_secret_basic"
    """How the client proves itself: `Authorization: Basic`, fields of the body, both, a JWT that it
    signs (with its secret or `private_key`), a ready-made JWT, a certificate (`tls`), or not."""
    basic_encoding: Literal["form", "raw"] = "form"
    """`form` encodes id and secret as RFC 6749 §2.3.1 says; `raw` sends them as UTF-8, for servers
    that do not decode."""
    token_request: Literal["form", "json"] = "form"
    """The media type of the token request's body."""
    private_key: SecretField | None = None
    """What `private_key_jwt` signs with: an RSA, EC or Ed25519 key, PEM or JWK."""
    key_id: Text | None = None
    """The assertion's `kid`; unset: the JWK's own, if it has one."""
    algorithm: Algorithm | None = None
    """What assertions are signed with; unset: by the key, `RS256`, `ES256` or `EdDSA`, and `HS256`
    with a secret."""
    assertion_audience: Text | None = None
    """The assertion's `aud`; unset: the issuer where it is known, else the token endpoint."""
    assertion_lifetime_seconds: AssertionSeconds = 60
    """How long an assertion is good for, up to an hour; each request has its own."""
    client_assertion_file: AssertionFile | None = None
    """A JWT that somebody else keeps fresh, such as a projected service-account token; read for
    each request."""
    parameters: Parameters = Field(default_factory=dict)
    """Further fields of every token request; a list repeats the field, in JSON it is an array."""
    tls: Tls = Tls()
    """TLS to the authorization server."""
    http_proxy: OriginText | None = None
    """Egress proxy for token requests; the environment's proxies are not used."""
    timeout_seconds: Seconds = 10
    """One token request, from connecting to the last byte."""
    allow_http: Switch = False
    """Allows plain `http` to a host that is not loopback: the secret travels in clear."""
