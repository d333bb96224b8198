"""A token request, and what it may not be: the checks that the emulators are made of.

Each emulator's `check` calls those that its documentation asks for. Each raises `RefusedError`
with an error of RFC 6749 §5.2; none mends anything.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


class RefusedError(Exception):
    """A request that the documentation does not allow."""

    def __init__(
        self, error: str, why: str, *, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{error}: {why}")
        self.error = error
        self.why = why
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Registered:
    """The one client that the emulator knows."""

    client_id: str
    client_secret: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A token request: POST, without a query, at the right path; the rest is to be checked."""

    headers: Mapping[str, list[str]]
    """By lower-case name, every line of that name."""
    body: bytes

    def refuse_authorization(self) -> None:
        """Refuse credentials beside those in the body (RFC 6749 §2.3: one method only)."""
        if "authorization" in self.headers:
            raise RefusedError("invalid_request", "credentials belong in the body only")

    def demand_accept(self, media_type: str) -> None:
        """Refuse a request that does not ask for this media type, and for this one only."""
        if self.headers.get("accept") != [media_type]:
            raise RefusedError("invalid_request", f"Accept must be {media_type}", status=406)

    def _demand_media_type(self, media_type: str) -> None:
        # Neither type has a parameter (RFC 8259 §11, RFC 9110 §8.3.1 and the form's registration).
        if self.headers.get("content-type") != [media_type]:
            raise RefusedError("invalid_request", f"the body must be {media_type}", status=415)
        if "content-encoding" in self.headers:
            raise RefusedError("invalid_request", "the body must not be compressed", status=415)

    def form_fields(self) -> dict[str, str]:
        """Return the fields of a form, each given once."""
        self._demand_media_type(FORM)
        try:
            pairs = parse_qsl(
                self.body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
            )
        except ValueError:
            raise RefusedError("invalid_request", "the body is no form") from None
        return _once_each(pairs)

    def json_fields(self) -> dict[str, str]:
        """Return the members of a JSON object, each given once, all of them strings."""
        self._demand_media_type(JSON)
        try:
            fields = json.loads(self.body.decode(), object_pairs_hook=_once_each)
        except ValueError:
            raise RefusedError("invalid_request", "the body is no JSON") from None
        if not isinstance(fields, dict):
            raise RefusedError("invalid_request", "the body is no JSON object")
        if not all(isinstance(value, str) for value in fields.values()):
            raise RefusedError("invalid_request", "every member must be a string")
        return fields

    def basic_credentials(self) -> Registered:
        """Return what `Authorization: Basic base64(client-id:client-secret)` holds, undecoded."""
        challenge = {"WWW-Authenticate": 'Basic realm="token"'}
        lines = self.headers.get("authorization", [])
        scheme, _, encoded = lines[0].partition(" ") if len(lines) == 1 else ("", "", "")
        if scheme.lower() != "basic":
            raise RefusedError("invalid_client", "Basic is missing", status=401, headers=challenge)
        try:
            name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name = colon = secret = ""
        if not colon:
            raise RefusedError("invalid_client", "Basic is broken", status=401, headers=challenge)
        return Registered(name, secret)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise RefusedError("invalid_request", "a field is given twice")
    return fields


def demand_fields(
    fields: Mapping[str, str], required: AbstractSet[str], optional: AbstractSet[str] = frozenset()
) -> None:
    """Refuse a field that is missing, empty, or not in the documentation."""
    if missing := sorted(name for name in required if not fields.get(name)):
        raise RefusedError("invalid_request", f"missing: {', '.join(missing)}")
    if unknown := sorted(fields.keys() - required - optional):
        raise RefusedError("invalid_request", f"not documented: {', '.join(unknown)}")


def demand_client_credentials(fields: Mapping[str, str], registered: Registered) -> None:
    """Refuse another grant, and a client that is not ours."""
    if fields["grant_type"] != "client_credentials":
        raise RefusedError("unsupported_grant_type", "only client_credentials")
    if Registered(fields["client_id"], fields["client_secret"]) != registered:
        raise RefusedError("invalid_client", "unknown client or wrong secret", status=401)


def demand_scope(scope: str, known: AbstractSet[str]) -> None:
    """Refuse a scope that is not among the known ones, or named twice, or oddly spaced."""
    names = scope.split(" ")
    if not known.issuperset(names) or len(set(names)) != len(names):
        raise RefusedError("invalid_scope", "unknown or repeated scope")
