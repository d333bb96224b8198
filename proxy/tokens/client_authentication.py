"""How a client proves who it is at the token endpoint. Pure.

RFC 6749 §2.3 (secrets), RFC 7523 §2.2 and OpenID Connect Core §9 (assertions), RFC 8705 §2 (with a
certificate the request only names the client; TLS proves it). The methods are callables for
authlib's `ClientAuth`, which puts them on a request. Its own Basic encoder neither form-encodes id
and secret (RFC 6749 §2.3.1) nor knows letters beyond latin-1, so Basic is ours; its assertions read
the clock and draw the `jti` themselves, so they are ours too; `post` and `none` are authlib's.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote_plus, urlencode

from authlib.oauth2.auth import ClientAuth, encode_client_secret_post

from proxy.config.proof import SIGNING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.client import Client
    from proxy.config.proof import Proof

    Prepared = tuple[str, dict[str, str], str]
    Method = Callable[[ClientAuth, str, str, dict[str, str], str], Prepared]


ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
BACKDATED_SECONDS_MAX = 5


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token request ready to be posted. It holds a secret, so it does not print itself.

    `secrets` are the forms in which the proof goes out: a server may quote any of them.
    """

    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class AssertionTerms:
    """What an assertion of ours says besides who we are; `jti` is another one for each attempt.

    `issued_at` is Unix time.
    """

    audience: str
    issued_at: float
    jti: str


def build(
    client: Client,
    proof: Proof | None,
    fields: dict[str, str | list[str]],
    terms: AssertionTerms,
) -> TokenRequest:
    """Return the request that asks for `fields` as `client`, with the proof that its method wants.

    A list repeats its field; in JSON it is an array.
    """
    headers = {
        "Accept": "application/json",
        # A compressed answer would have to be unpacked before its size is known.
        "Accept-Encoding": "identity",
    }
    secret = "" if proof is None else proof.text.reveal()
    assertion = _assertion(client, proof, terms)
    authentication = ClientAuth(
        client.client_id, secret, _method(client) if assertion is None else _asserted(assertion)
    )
    as_json = client.token_request == "json"
    form = "" if as_json else urlencode(fields, doseq=True)
    _, headers, form = authentication.prepare("POST", "", headers, form)
    if as_json:
        headers["Content-Type"] = "application/json"
        body = json.dumps(fields | dict(parse_qsl(form, keep_blank_values=True))).encode()
    else:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = form.encode("ascii")
    basic = headers.get("Authorization", "").removeprefix("Basic ")
    encoded = base64.b64encode(secret.encode()).decode("ascii")
    shown = (
        *(basic, secret, encoded, quote_plus(secret), json.dumps(secret)[1:-1]),
        assertion or "",
    )
    return TokenRequest(headers, body, tuple(each for each in shown if each))


def _assertion(client: Client, proof: Proof | None, terms: AssertionTerms) -> str | None:
    """Return the assertion that is to be shown; None where the method has none."""
    if proof is None or client.authentication not in {*SIGNING, "client_assertion_file"}:
        return None
    if proof.key is None:
        return proof.text.reveal().strip()
    lifetime = max(math.ceil(client.assertion_lifetime_seconds), 1)
    # A clock that is a little fast makes no assertion of the future; a short one is not over yet.
    issued_at = int(terms.issued_at) - min(BACKDATED_SECONDS_MAX, lifetime // 6)
    claims = {
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": terms.audience,
        "iat": issued_at,
        "exp": issued_at + lifetime,
        "jti": terms.jti,
    }
    return proof.key.sign(claims, key_id=client.key_id)


def _asserted(assertion: str) -> Method:
    def asserted(
        auth: ClientAuth, _method: str, uri: str, headers: dict[str, str], body: str
    ) -> Prepared:
        """Add the assertion (RFC 7523 §2.2), and the client's name for servers that look it up."""
        added = {
            "client_id": auth.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        return uri, headers, "&".join(filter(None, (body, urlencode(added))))

    return asserted


def _method(client: Client) -> str | Method:
    basic = _basic_form if client.basic_encoding == "form" else _basic_raw
    match client.authentication:
        case "client_secret_basic":
            return basic
        case "client_secret_basic_and_post":
            return lambda auth, method, uri, headers, body: basic(
                auth, *_post(auth, method, uri, headers, body)
            )
        case "tls_client_auth" | "self_signed_tls_client_auth":
            return "none"
        case other:
            return other


def _post(
    auth: ClientAuth, method: str, uri: str, headers: dict[str, str], body: str
) -> tuple[str, str, dict[str, str], str]:
    uri, headers, body = encode_client_secret_post(auth, method, uri, headers, body)
    return method, uri, headers, body


def _basic_form(
    auth: ClientAuth, _method: str, uri: str, headers: dict[str, str], body: str
) -> Prepared:
    """Encode as RFC 6749 §2.3.1 says: each form-urlencoded, joined, then base64."""
    pair = f"{quote_plus(auth.client_id)}:{quote_plus(auth.client_secret)}"
    return _with_basic(pair, uri, headers, body)


def _basic_raw(
    auth: ClientAuth, _method: str, uri: str, headers: dict[str, str], body: str
) -> Prepared:
    """Encode for servers that do not decode (RFC 7617, UTF-8)."""
    return _with_basic(f"{auth.client_id}:{auth.client_secret}", uri, headers, body)


def _with_basic(pair: str, uri: str, headers: dict[str, str], body: str) -> Prepared:
    encoded = base64.b64encode(pair.encode()).decode("ascii")
    return uri, {**headers, "Authorization": f"Basic {encoded}"}, body
