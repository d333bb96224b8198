"""The token request we send and the answer we believe (RFC 6749 §4.4, §5). Pure.

`fields` says what is asked for; `read_answer` reads what came back and raises `FetchFailed` for
whatever is no token. Both know nothing of how the bytes travel.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import TYPE_CHECKING, Any

from proxy.errors import Fault
from proxy.model import Token
from proxy.tokens import strict_json
from proxy.tokens.lease import LIFETIME_SECONDS_MAX
from proxy.tokens.outcome import (
    FetchFailed,
    Grant,
    cleaned,
    means_unavailable,
    misspoke,
    unavailable,
)

if TYPE_CHECKING:
    from proxy.config.client import Client
    from proxy.config.schema import Audience

TOKEN_LENGTH_MAX = 16384
"""Longer tokens fit into no upstream's header limits (RFC 6750 sets none)."""

_VISIBLE = re.compile(r"[\x21-\x7e]+\Z")
_TOKEN68_SCHEME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_DIGITS_MAX = 18
_WORDS = ("error", "error_description", "message", "title", "detail")
"""The members of an answer that are shown in the log: none of them should hold a token."""


def fields(client: Client, audience: Audience) -> dict[str, str | list[str]]:
    """Return the fields of every token request for `audience`, first fetch and renewal alike.

    Client authentication adds its own. A list repeats its field (RFC 8707 §2).
    """
    result: dict[str, str | list[str]] = {"grant_type": "client_credentials"}
    if audience.scope:
        result["scope"] = audience.scope
    for name, values in (("audience", audience.audience), ("resource", audience.resource)):
        if values:
            result[name] = values if len(values) > 1 else values[0]
    return result | client.parameters | audience.parameters


def read_answer(
    status: int, body: bytes, *, retry_after_seconds: float | None, secrets: tuple[str, ...]
) -> Grant:
    """Read a token endpoint's answer.

    `secrets` are struck out of what goes to the log. Raises `FetchFailed`.
    """
    if status == 200:
        return _read_success(body, secrets)
    said = f"status {status}: {_said(body, secrets)}"
    if means_unavailable(status):
        raise unavailable(
            f"the token endpoint answered {status}",
            said=said,
            retry_after_seconds=retry_after_seconds,
        )
    if 400 <= status <= 499:
        error = members_of(body).get("error")
        raise FetchFailed(
            Fault.GRANT_REFUSED,
            "refused",
            "the authorization server refused the token request: look at client, secret, scope "
            "and audience, and at this proxy's log",
            said=said,
            refusal=True,
            invalid_client=error == "invalid_client" or status == 401,
            retry_after_seconds=retry_after_seconds,
        )
    raise misspoke(f"the token endpoint answered with status {status}", said)


def credential(grant: Grant, *, header: str, scheme: str | None) -> Token:
    """Return the grant as it goes on the wire (RFC 6750 §2.1, RFC 6749 §7.1)."""
    if scheme is None:
        if grant.token_type is not None and grant.token_type.lower() != "bearer":
            raise misspoke(
                "the token is of a type that we do not know; set the audience's `scheme` to say "
                "how it is to be sent",
                cleaned(grant.token_type, (grant.access_token,)),
            )
        scheme = "Bearer"
    value = f"{scheme} {grant.access_token}" if scheme else grant.access_token
    return Token(header=header.encode("ascii"), credential=value.encode("ascii"))


def claims_of(access_token: str) -> dict[str, Any] | None:
    """Return a JWT's claims, unverified; None if it is none that can be read."""
    parts = access_token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = json.loads(payload)
    except (binascii.Error, ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def lifetime_from_jwt(access_token: str, wall_now: float) -> float | None:
    """Return the seconds to a JWT's own `exp`; None if the token is no JWT that says so.

    Unverified, and good enough: a lifetime is no claim about who anybody is.
    """
    expiry = (claims_of(access_token) or {}).get("exp")
    if isinstance(expiry, bool) or not isinstance(expiry, int | float):
        return None
    if isinstance(expiry, float) and not math.isfinite(expiry):
        return None
    # Cut first: an integer of hundreds of digits does not fit a float.
    latest = wall_now + LIFETIME_SECONDS_MAX
    return float(max(min(expiry, latest), wall_now - LIFETIME_SECONDS_MAX)) - wall_now


def _read_success(body: bytes, secrets: tuple[str, ...]) -> Grant:
    answer = _json_object(body, secrets)
    if answer.get("error"):
        raise misspoke("the token endpoint's 200 holds an error", _said(body, secrets))
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise misspoke("the answer has no access_token", _said(body, secrets))
    if len(token) > TOKEN_LENGTH_MAX or not _VISIBLE.match(token):
        raise misspoke("the access_token cannot be sent in a header field")
    token_type = answer.get("token_type")
    if token_type is not None and not (
        isinstance(token_type, str) and _TOKEN68_SCHEME.match(token_type)
    ):
        raise misspoke("the answer's token_type is no token type")
    warnings: list[str] = []
    lifetime = _lifetime(answer.get("expires_in"), warnings)
    scope = answer.get("scope")
    return Grant(
        access_token=token,
        token_type=token_type,
        lifetime_seconds=lifetime,
        scope=scope if isinstance(scope, str) else None,
        warnings=tuple(warnings),
    )


def _lifetime(expires_in: Any, warnings: list[str]) -> float | None:
    """Read `expires_in` (RFC 6749 §5.1: RECOMMENDED, so it may be missing)."""
    if expires_in is None:
        return None
    number: float | None = None
    if isinstance(expires_in, str) and _INTEGER.match(expires_in.strip()):
        digits = expires_in.strip()
        number = math.copysign(math.inf, -1 if digits[0] == "-" else 1)
        if len(digits) <= _DIGITS_MAX:
            number = float(int(digits))
    elif isinstance(expires_in, int | float) and not isinstance(expires_in, bool):
        # An integer of hundreds of digits does not fit a float; it is "for ever" all the same.
        number = float(max(min(expires_in, LIFETIME_SECONDS_MAX), -1))
    if number is None:
        warnings.append("expires_in")
        return None
    if number <= 0:
        raise misspoke("the answer's expires_in is not positive: the token is over already")
    return min(number, LIFETIME_SECONDS_MAX)


def _json_object(body: bytes, secrets: tuple[str, ...]) -> dict[str, Any]:
    if not body.strip():
        raise misspoke("the token endpoint's answer is empty")
    try:
        answer = strict_json.read(body)
    except ValueError:
        said = _said(body, secrets)
        raise misspoke(
            "the token endpoint's answer is not JSON, or names a member twice", said
        ) from None
    if not isinstance(answer, dict):
        raise misspoke("the token endpoint's answer is not a JSON object")
    return answer


def members_of(body: bytes) -> dict[str, Any]:
    """Return the members of a failure's body; none if it is no JSON object."""
    try:
        answer = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _said(body: bytes, secrets: tuple[str, ...]) -> str:
    """Return the answer's own words, without anything that may be a token."""
    answer = members_of(body)
    if not answer:
        return cleaned(body.decode("utf-8", "replace"), secrets)
    words = [f"{name}: {answer[name]}" for name in _WORDS if isinstance(answer.get(name), str)]
    names = ", ".join(sorted(answer))
    return cleaned("; ".join([*words, f"members: {names}"]), secrets)
