"""How a client proves who it is at the token endpoint (RFC 6749 §2.3, RFC 8705 §2). Pure.

The methods are callables for authlib's `ClientAuth`, which puts them on a request. Its own Basic
encoder neither form-encodes id and secret (RFC 6749 §2.3.1) nor knows letters beyond latin-1, so
Basic is ours; `post` and `none` are authlib's.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote_plus, urlencode

from authlib.oauth2.auth import ClientAuth, encode_client_secret_post

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.schema import Client
    from proxy.model import Secret

    Prepared = tuple[str, dict[str, str], str]
    Method = Callable[[ClientAuth, str, str, dict[str, str], str], Prepared]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token request ready to be posted. It holds a secret, so it does not print itself.

    `secrets` are the forms in which the secret goes out: a server may quote any of them.
    """

    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def build(
    client: Client, secret: Secret | None, fields: dict[str, str | list[str]]
) -> TokenRequest:
    """Return the request that asks for `fields` as `client`, with its secret where it has one.

    A list repeats its field; in JSON it is an array.
    """
    headers = {
        "Accept": "application/json",
        # A compressed answer would have to be unpacked before its size is known.
        "Accept-Encoding": "identity",
    }
    authentication = ClientAuth(
        client.client_id,
        "" if secret is None else secret.reveal(),
        _method(client),
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
    return TokenRequest(headers, body, _shown(headers, secret))


def _shown(headers: dict[str, str], secret: Secret | None) -> tuple[str, ...]:
    if secret is None:
        return ()
    text = secret.reveal()
    basic = headers.get("Authorization", "").removeprefix("Basic ")
    return (basic, text, quote_plus(text), json.dumps(text)[1:-1])


def _method(client: Client) -> str | Method:
    basic = _basic_form if client.basic_encoding == "form" else _basic_raw
    match client.authentication:
        case "client_secret_basic":
            return basic
        case "client_secret_basic_and_post":
            return lambda auth, method, uri, headers, body: basic(
                auth, *_post(auth, method, uri, headers, body)
            )
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
