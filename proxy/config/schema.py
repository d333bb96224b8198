"""The typed configuration: every key, its type, its default.

One declaration, three uses: the loader validates with it, `token-proxy schema` prints it as JSON
Schema, and the reference page is generated from it. Names are the YAML keys themselves. Instances
are frozen. A key whose feature does not exist is not here, so that it is refused as unknown.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from proxy.config.addresses import DEFAULT_ADMIN, DEFAULT_LISTEN
from proxy.config.client import Client, Tls
from proxy.config.fields import (
    AccessLog,
    AllowedHost,
    Count,
    CountOrZero,
    FieldName,
    FieldValue,
    Fraction,
    HostPattern,
    ListenAddress,
    Listeners,
    Method,
    Name,
    OrNothing,
    Parameters,
    PathPrefix,
    Resources,
    Scheme,
    Scope,
    Seconds,
    SecondsOrZero,
    Switch,
    Texts,
    UrlText,
)
from proxy.config.section import Section


class Admin(Section):
    """`admin`: metrics and health, on a listener of their own."""

    listen: ListenAddress | None = DEFAULT_ADMIN
    """Where metrics and health are served (read-only, nothing secret, so any address is
    allowed); `null` switches it off."""


class Log(Section):
    """`log`: what is written to standard error."""

    format: Literal["auto", "json", "text", "ecs"] = "auto"
    """`auto` is JSON unless standard error is a terminal; `ecs` is JSON with the key names of the
    Elastic Common Schema."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe message that is written."""
    access: AccessLog = "errors"
    """Which requests get a line."""


class Limits(Section):
    """`limits`: every bound that no other section names."""

    head_bytes_max: Count = 65536
    """The longest request head (request line and fields)."""
    header_fields_max: Count = 128
    """The most fields in a request head."""
    body_bytes_max: Count | None = None
    """The longest request body; unset: no bound."""
    connections_max: Count = 10000
    """The most connections of callers at once."""
    requests_in_flight_max: Count = 2048
    """The most requests at once; others get 503 `overloaded`."""
    waiters_per_audience_max: Count = 1024
    """The most callers that wait for one audience's token; others get 503 `overloaded`."""
    token_response_bytes_max: Count = 65536
    """The longest answer of a token endpoint."""
    head_seconds: Seconds = 10
    """How long a caller may take to send a request head."""
    keepalive_seconds: Seconds = 75
    """How long a caller's idle connection is kept."""


class Startup(Section):
    """`startup`: when the process counts as started."""

    wait_for_tokens_seconds: SecondsOrZero = 0
    """How long `/startupz` holds out for first tokens before it says yes regardless."""


class Shutdown(Section):
    """`shutdown`: how the process ends."""

    drain_seconds: SecondsOrZero = 25
    """How long requests in flight may take after SIGTERM."""


class Audience(Section):
    """`audiences.NAME`: a token we want."""

    client: str
    """The name of the client that asks for it."""
    audience: Texts = Field(default_factory=list)
    """Sent as `audience`: one, or a list."""
    resource: Resources = Field(default_factory=list)
    """Sent as `resource` (RFC 8707): one absolute URI, or a list."""
    scope: Scope = None
    """Sent as `scope`: text, or a list that is joined by spaces."""
    parameters: Parameters = Field(default_factory=dict)
    """Added to the client's; of two with one name this one is sent."""
    renew_at: Fraction = 0.75
    """The fraction of the lifetime after which renewal starts; a random ±0.05 spreads a fleet."""
    default_lifetime_seconds: Seconds = 300
    """Believed when the answer has no `expires_in` and the token is no JWT with `exp`."""
    prefetch: Switch = True
    """Fetch at start instead of on the first request."""
    idle_seconds: Seconds = 86400
    """Unused this long, the token is let go."""
    wait_seconds_max: Seconds = 15
    """How long one caller waits for a token before it gets 503."""
    header: FieldName = "Authorization"
    """The field that carries the token."""
    scheme: Scheme | None = None
    """What stands before the token; `""`: nothing, as an API key wants it; unset: from the answer's
    `token_type`, `Bearer` if none."""


class Match(Section):
    """`upstreams.NAME.match`: which requests go there.

    The more specific host wins, then the longer path.
    """

    path: PathPrefix = "/"
    """Path prefix, on segment borders; the longer one wins among those of one host."""
    host: HostPattern | None = None
    """A host name, or `*.suffix`; unset: any host."""


class Timeouts(Section):
    """`upstreams.NAME.timeouts`: how long an upstream may take."""

    connect_seconds: Seconds = 5
    """To a connection, waiting for a free one included."""
    response_seconds: Seconds = 60
    """From the last byte of the request to the head of the answer."""
    idle_seconds: Seconds = 60
    """Between bytes of a body, either way."""
    tunnel_idle_seconds: Seconds = 3600
    """Between bytes of a WebSocket, whichever way."""


class Upstream(Section):
    """`upstreams.NAME`: where requests go."""

    url: UrlText
    """Origin and path prefix."""
    audience: str
    """The name of an audience, or `none`: forward without a token."""
    allow_http: Switch = False
    """Allows plain `http` to a host that is not loopback: the token travels in clear."""
    match: Match = Match()
    """Which requests go there."""
    keep_prefix: Switch = False
    """`false`: the path of `url` replaces the matched prefix; `true`: it is put before it."""
    host_header: Literal["upstream", "preserve"] = "upstream"
    """`Host` towards the upstream: its own, or the caller's."""
    existing_authorization: Literal["replace", "keep", "reject"] = "replace"
    """When the caller sent a credential of its own: `reject` answers 400."""
    set_headers: Annotated[dict[FieldName, FieldValue], OrNothing] = Field(default_factory=dict)
    """Fields set on the request, before the token is added."""
    remove_headers: list[FieldName] = Field(default_factory=list)
    """Fields removed from the request, before the token is added."""
    methods: list[Method] | None = Field(default=None, min_length=1)
    """The methods that are allowed, others get 403; unset: any."""
    paths: list[PathPrefix] | None = Field(default=None, min_length=1)
    """The prefixes of the caller's path that are allowed, on segment borders, others get 403;
    unset: any."""
    on_unauthorized: Literal["renew", "pass"] = "renew"
    """After a 401: `renew` drops the refused token, gets another and sends once more."""
    replay_body_bytes_max: CountOrZero = 65536
    """A longer or unfinished body is not sent twice; the 401 passes."""
    upgrades: list[Literal["websocket"]] = Field(default=["websocket"])
    """The protocols that may be switched to; others go on as plain HTTP. `[]`: none."""
    forwarded_headers: Literal["pass", "drop", "replace", "append"] = "pass"
    """What becomes of the caller's `X-Forwarded-*` and `Forwarded`."""
    timeouts: Timeouts = Timeouts()
    """How long the upstream may take."""
    connections_max: Count = 256
    """The most connections to the upstream; beyond it a request waits `connect_seconds`."""
    connection_idle_seconds: Seconds = 55
    """How long an idle connection is kept."""
    tls: Tls = Tls()
    """TLS to the upstream."""


class Config(Section):
    """The whole file."""

    listen: Listeners = Field(default_factory=lambda: [DEFAULT_LISTEN])
    """Where callers connect: one address or a list of `host:port`, `[::1]:port`, `unix:/path`."""
    admin: Admin = Admin()
    """Metrics and health."""
    allow_remote: Switch = False
    """Allows a `listen` address that other machines can reach."""
    allow_inline_secrets: Switch = False
    """Allows secrets that stand in the file itself."""
    allowed_hosts: list[AllowedHost] | None = None
    """The `Host` values that are served, others get 421; unset: loopback names, every
    `match.host`, every upstream's own host; `["*"]` allows all."""
    browser_requests: Literal["refuse", "allow"] = "refuse"
    """`refuse` answers 403 to requests that a foreign web page sent."""
    log: Log = Log()
    """What is written to standard error."""
    limits: Limits = Limits()
    """Every bound that no other section names."""
    startup: Startup = Startup()
    """When the process counts as started."""
    shutdown: Shutdown = Shutdown()
    """How the process ends."""
    clients: Annotated[dict[Name, Client], OrNothing] = Field(default_factory=dict)
    """Who we are, at which authorization server."""
    audiences: Annotated[dict[Name, Audience], OrNothing] = Field(default_factory=dict)
    """The tokens we want."""
    upstreams: Annotated[dict[Name, Upstream], OrNothing]
    """Where requests go: at least one."""
