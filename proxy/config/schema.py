"""The typed configuration: every key, its type, its default.

One declaration, three uses: the loader validates with it, `token-proxy schema` prints it as JSON
Schema, and the reference page is generated from it. Names are the YAML keys themselves. Instances
are frozen. A key whose feature does not exist is not here, so that it is refused as unknown.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from proxy.config.secrets import SecretSource


def _no_boolean(value: Any) -> Any:
    # pydantic reads True as 1; a duration of `true` is a mistake, not one second.
    if isinstance(value, bool):
        message = "should be a number, not a boolean"
        raise ValueError(message)  # noqa: TRY004 - pydantic reports ValueError, not TypeError
    return value


Seconds = Annotated[float, BeforeValidator(_no_boolean), Field(gt=0, allow_inf_nan=False)]
SecondsOrZero = Annotated[float, BeforeValidator(_no_boolean), Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(_no_boolean), Field(gt=0)]
CountOrZero = Annotated[int, BeforeValidator(_no_boolean), Field(ge=0)]


class Section(BaseModel):
    """What all parts of the configuration share."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        # Without this pydantic prints sibling values, secrets among them, into its errors.
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )


class Admin(Section):
    """`admin`: metrics, health."""

    listen: str | None = "127.0.0.1:9090"
    """Where metrics and health are served; `null` switches it off."""


class Log(Section):
    """`log`: what is written to standard error."""

    format: Literal["auto", "json", "text"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"
    access: Literal["off", "errors", "all"] = "errors"


class Limits(Section):
    """`limits`: every bound that no other section names."""

    head_bytes_max: Count = 65536
    header_fields_max: Count = 128
    body_bytes_max: Count | None = None
    connections_max: Count = 10000
    requests_in_flight_max: Count = 2048
    waiters_per_audience_max: Count = 1024
    token_response_bytes_max: Count = 65536
    head_seconds: Seconds = 10
    keepalive_seconds: Seconds = 75


class Startup(Section):
    """`startup`."""

    wait_for_tokens_seconds: SecondsOrZero = 0


class Shutdown(Section):
    """`shutdown`."""

    drain_seconds: SecondsOrZero = 25


class Tls(Section):
    """`tls`: trust and, if wanted, a client certificate."""

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None


class Client(Section):
    """`clients.NAME`: who we are, at which authorization server."""

    token_endpoint: str | None = None
    issuer: str | None = None
    discovery: str | None = None
    client_id: str
    client_secret: SecretSource | None = None
    """The secret, from `client_secret` (only `${NAME}` unless inline secrets are allowed) or
    `client_secret_file`."""
    authentication: Literal[
        "client_secret_basic", "client_secret_post", "client_secret_basic_and_post", "none"
    ] = "client_secret_basic"
    basic_encoding: Literal["form", "raw"] = "form"
    token_request: Literal["form", "json"] = "form"
    parameters: dict[str, str | list[str]] = Field(default_factory=dict)
    tls: Tls = Tls()
    http_proxy: str | None = None
    timeout_seconds: Seconds = 10
    allow_http: bool = False


class Audience(Section):
    """`audiences.NAME`: a token we want."""

    client: str
    audience: list[str] = Field(default_factory=list)
    resource: list[str] = Field(default_factory=list)
    scope: str | None = None
    """A string, or a list that is joined by spaces."""
    parameters: dict[str, str | list[str]] = Field(default_factory=dict)
    renew_at: Annotated[float, BeforeValidator(_no_boolean), Field(gt=0, lt=1)] = 0.75
    default_lifetime_seconds: Seconds = 300
    prefetch: bool = True
    idle_seconds: Seconds = 86400
    wait_seconds_max: Seconds = 15
    header: str = "Authorization"
    scheme: str | None = None


class Match(Section):
    """`upstreams.NAME.match`: which requests go there."""

    path: str = "/"
    host: str | None = None


class Timeouts(Section):
    """`upstreams.NAME.timeouts`."""

    connect_seconds: Seconds = 5
    response_seconds: Seconds = 60
    idle_seconds: Seconds = 60


class Upstream(Section):
    """`upstreams.NAME`: where requests go."""

    url: str
    audience: str
    """The name of an audience, or `none`."""
    allow_http: bool = False
    match: Match = Match()
    keep_prefix: bool = False
    host_header: Literal["upstream", "preserve"] = "upstream"
    existing_authorization: Literal["replace", "keep", "reject"] = "replace"
    set_headers: dict[str, str] = Field(default_factory=dict)
    remove_headers: list[str] = Field(default_factory=list)
    methods: list[str] | None = None
    paths: list[str] | None = None
    on_unauthorized: Literal["renew", "pass"] = "renew"
    replay_body_bytes_max: CountOrZero = 65536
    forwarded_headers: Literal["pass", "drop", "replace", "append"] = "pass"
    timeouts: Timeouts = Timeouts()
    connections_max: Count = 256
    connection_idle_seconds: Seconds = 55
    tls: Tls = Tls()


class Config(Section):
    """The whole file."""

    listen: list[str] = Field(default_factory=lambda: ["127.0.0.1:8080"])
    admin: Admin = Admin()
    allow_remote: bool = False
    allow_inline_secrets: bool = False
    allowed_hosts: list[str] | None = None
    """`None`: loopback names, every `match.host`, every upstream's own host."""
    browser_requests: Literal["refuse", "allow"] = "refuse"
    log: Log = Log()
    limits: Limits = Limits()
    startup: Startup = Startup()
    shutdown: Shutdown = Shutdown()
    clients: dict[str, Client] = Field(default_factory=dict)
    audiences: dict[str, Audience] = Field(default_factory=dict)
    upstreams: dict[str, Upstream]
