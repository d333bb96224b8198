"""Every error that this program answers with, in one table.

A `ProxyError` is raised where the trouble arises and becomes an answer in the gateway only. Its
`Fault` fixes what callers see: the code (also log field, metric label and heading in
`docs/errors.md`), the status, the title and the registered `Proxy-Status` error type (RFC 9209
§2.3). `detail` is our own sentence; it never holds what a caller or an authorization server sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Kind:
    """What callers see of one code. `retry` says whether `Retry-After` belongs on the answer."""

    status: int
    title: str
    proxy_status: str
    retry: bool = False


LIMITS = (
    "body_bytes_max",
    "connections_max",
    "descriptors",
    "head_bytes_max",
    "head_seconds",
    "header_fields_max",
    "requests_in_flight_max",
    "token_response_bytes_max",
    "upstream_connections_max",
    "waiters_per_audience_max",
)
"""The bounds that can be reached: keys of `limits`, an upstream's `connections_max`, and the
descriptors that this process may have."""


class Fault(Enum):
    """The codes of SPEC §5; the member's value is the code itself."""

    NO_ROUTE = "no_route"
    HOST_REFUSED = "host_refused"
    BROWSER_REFUSED = "browser_refused"
    NOT_ALLOWED = "not_allowed"
    AUTHORIZATION_REFUSED = "authorization_refused"
    BAD_REQUEST = "bad_request"
    HEAD_TOO_LARGE = "head_too_large"
    BODY_TOO_LARGE = "body_too_large"
    LOOP_DETECTED = "loop_detected"
    GRANT_REFUSED = "grant_refused"
    AUTHORIZATION_SERVER_UNAVAILABLE = "authorization_server_unavailable"
    AUTHORIZATION_SERVER_MISSPOKE = "authorization_server_misspoke"
    CREDENTIAL_UNREADABLE = "credential_unreadable"
    TOKEN_WAIT_TIMEOUT = "token_wait_timeout"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_MISSPOKE = "upstream_misspoke"
    OVERLOADED = "overloaded"
    SHUTTING_DOWN = "shutting_down"


KINDS: dict[Fault, Kind] = {
    Fault.NO_ROUTE: Kind(404, "No upstream matches", "destination_not_found"),
    Fault.HOST_REFUSED: Kind(421, "Host not allowed", "http_request_denied"),
    Fault.BROWSER_REFUSED: Kind(403, "Request of a foreign web page", "http_request_denied"),
    Fault.NOT_ALLOWED: Kind(403, "Method or path not allowed", "http_request_denied"),
    Fault.AUTHORIZATION_REFUSED: Kind(
        400, "The request brings its own Authorization", "http_request_denied"
    ),
    Fault.BAD_REQUEST: Kind(400, "Malformed request", "http_request_error"),
    Fault.HEAD_TOO_LARGE: Kind(431, "Request head too large", "http_request_error"),
    Fault.BODY_TOO_LARGE: Kind(413, "Request body too large", "http_request_error"),
    Fault.LOOP_DETECTED: Kind(508, "The request came back to this proxy", "proxy_loop_detected"),
    Fault.GRANT_REFUSED: Kind(
        502, "The authorization server refused us a token", "proxy_configuration_error"
    ),
    Fault.AUTHORIZATION_SERVER_UNAVAILABLE: Kind(
        503, "The authorization server is unavailable", "destination_unavailable", retry=True
    ),
    Fault.AUTHORIZATION_SERVER_MISSPOKE: Kind(
        502, "The authorization server's answer is no token", "proxy_internal_error"
    ),
    Fault.CREDENTIAL_UNREADABLE: Kind(
        503, "Our own credential cannot be read", "proxy_configuration_error", retry=True
    ),
    Fault.TOKEN_WAIT_TIMEOUT: Kind(503, "No token in time", "proxy_internal_error", retry=True),
    Fault.UPSTREAM_UNREACHABLE: Kind(
        502, "The upstream cannot be reached", "destination_unavailable"
    ),
    Fault.UPSTREAM_TIMEOUT: Kind(
        504, "The upstream did not answer in time", "http_response_timeout"
    ),
    Fault.UPSTREAM_MISSPOKE: Kind(502, "The upstream's answer is broken", "http_protocol_error"),
    Fault.OVERLOADED: Kind(503, "A limit was reached", "connection_limit_reached", retry=True),
    Fault.SHUTTING_DOWN: Kind(503, "Shutting down", "proxy_internal_response"),
}


ADVICE: dict[str, str] = {
    Fault.GRANT_REFUSED.value: "the authorization server refuses us: compare client_id, secret or "
    "key, scope and audience with what is registered there",
    Fault.AUTHORIZATION_SERVER_UNAVAILABLE.value: "the authorization server cannot be reached or "
    "fails: see whether it is up, and the network, the name and the certificate on the way to it",
    Fault.AUTHORIZATION_SERVER_MISSPOKE.value: "what answers is no token endpoint, or not a sound "
    "one: check token_endpoint (or issuer, discovery)",
    Fault.CREDENTIAL_UNREADABLE.value: "a file of our own credential cannot be read: check that it "
    "is mounted, whole, and readable for this user",
}
"""What to do about a code that a token request can end with: the same words wherever it is told."""


class ProxyError(Exception):
    """A request, or a token, that is not to be had; see the module's docstring.

    `status` and `proxy_status` override the fault's own where the truth is finer (405 for TRACE,
    `dns_error` for a name that does not resolve). `retry_after_seconds` is rounded up by the
    gateway. `limit` names the bound that was reached, where it was one: a member of `LIMITS`.
    """

    def __init__(
        self,
        fault: Fault,
        detail: str,
        *,
        status: int | None = None,
        proxy_status: str | None = None,
        retry_after_seconds: float | None = None,
        limit: str | None = None,
    ) -> None:
        super().__init__(f"{fault.value}: {detail}")
        kind = KINDS[fault]
        self.fault = fault
        self.detail = detail
        self.title = kind.title
        self.status = status or kind.status
        self.proxy_status = proxy_status or kind.proxy_status
        self.retry_after_seconds = retry_after_seconds
        self.limit = limit
        self.wants_retry_after = kind.retry or retry_after_seconds is not None

    @property
    def code(self) -> str:
        """The code of SPEC §5, as in `docs/errors.md`."""
        return self.fault.value
