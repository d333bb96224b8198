"""The types of single values: numbers, switches, names, header fields, hosts, paths, lists.

Each is a plain Python type with its check. A check raises ValueError with a sentence that says
what is wanted and never holds the value. Numbers and switches take a string only if it came from
a variable: a quoted `"10"` in the file is a mistake, `${TIMEOUT}` is not.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, WithJsonSchema

from proxy.config.addresses import parse_address
from proxy.config.secrets import SecretSource
from proxy.config.substitution import Substituted
from proxy.config.urls import has_dot_segments, is_host_name, parse_url

TEN_YEARS_SECONDS = 315_576_000
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"

_NAME = re.compile(NAME_PATTERN.removesuffix("$"))
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?P<fraction>\.[0-9]{1,18})?")
_PATH = re.compile(r"/(?:[A-Za-z0-9\-._~:/@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_URI_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

UNSETTABLE_FIELDS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)
"""Fields that frame the message, belong to one hop, or are the proxy's own; `_` counts as `-`."""

COMMON_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        # pydantic reads True as 1; a duration of `true` is a mistake, not one second.
        raise ValueError("should be a number, not a boolean")  # noqa: TRY004 - pydantic's way
    if isinstance(value, Substituted):
        match = _NUMBER.fullmatch(value)
        if match is None:
            raise ValueError("should be a number, and the variable holds none")
        return float(value) if match["fraction"] else int(value)
    if isinstance(value, str):
        raise ValueError("should be a number, written like 10 or 0.5, without quotes")  # noqa: TRY004 - pydantic's way
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("is too large a number")
    return value


def _switch(value: Any) -> Any:
    if isinstance(value, Substituted) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError("should be true or false, without quotes")  # noqa: TRY004 - pydantic's way
    return value


def _or_nothing(value: Any) -> Any:
    # A heading with nothing but comments below it is YAML's null.
    return {} if value is None else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _off(value: Any) -> Any:
    # YAML 1.1 reads a bare `off` as false.
    return "off" if value is False else value


def _joined(value: Any) -> Any:
    # A scope: a list is joined; nothing at all is no scope, not an empty one.
    if isinstance(value, list):
        if not all(isinstance(item, str) and item for item in value):
            raise ValueError("should be text or a list of texts")
        value = " ".join(value)
    return value or None if isinstance(value, str) else value


def _some_text(value: str) -> str:
    if not value:
        raise ValueError("is empty")
    if _CONTROL.search(value):
        raise ValueError("has a line break or another control character")
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            "should be a name: a letter or digit, then at most 62 letters, digits, '_', '.', '-'"
        )
    return value


def _token(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise ValueError("should be a token: ASCII letters, digits and !#$%&'*+-.^_`|~ only")
    return value


def _scheme(value: str) -> str:
    return _token(value) if value else value


def _field_name(value: str) -> str:
    if _token(value).lower().replace("_", "-") in UNSETTABLE_FIELDS:
        raise ValueError("frames the message or belongs to one hop: it is not for configuration")
    return value


def _field_value(value: str) -> str:
    if _CONTROL.search(value.replace("\t", " ")) or not value.isascii():
        raise ValueError("should be a field value: ASCII, without line breaks")
    if value != value.strip():
        raise ValueError("should not begin or end with a space")
    return value


def _method(value: str) -> str:
    if _token(value) in {"CONNECT", "TRACE"}:
        raise ValueError("is a method that is never forwarded")
    if value.upper() != value and value.upper() in COMMON_METHODS:
        raise ValueError(f"should be written {value.upper()}: methods are case-sensitive")
    return value


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("should begin with /")
    if not _PATH.fullmatch(value):
        raise ValueError("should be a path without query or fragment, percent-encoded if need be")
    if has_dot_segments(value):
        raise ValueError("should have no dot segments (. or ..)")
    return value


def _host(value: str) -> str:
    bare = value.removeprefix("*.")
    six = bare == value and re.fullmatch(r"\[[0-9A-Fa-f:.]+\]", value)
    if not is_host_name(bare) and not six:
        raise ValueError("should be a host name without port, or *.suffix")
    return value.lower()


def _host_name(value: str) -> str:
    if not is_host_name(value):
        raise ValueError("should be a host name without port")
    return value.lower()


def _any_or_host(value: str) -> str:
    return value if value == "*" else _host(value)


def _address(value: str) -> str:
    parse_address(value)
    return value


def _url(value: str) -> str:
    parse_url(value)
    return value


def _url_with_query(value: str) -> str:
    parse_url(value, query_allowed=True)
    return value


def _origin(value: str) -> str:
    if parse_url(value).path not in {"", "/"}:
        raise ValueError("should be scheme://host:port, without a path")
    return value


def _resource(value: str) -> str:
    if not _URI_SCHEME.match(_some_text(value)) or "#" in value:
        raise ValueError("should be an absolute URI without fragment (RFC 8707)")
    return value


def _parameter(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in items):
        raise ValueError("should be text or a list of texts; put numbers in quotes")
    return value


Seconds = Annotated[
    float, Field(gt=0, le=TEN_YEARS_SECONDS, allow_inf_nan=False), BeforeValidator(_number)
]
SecondsOrZero = Annotated[
    float, Field(ge=0, le=TEN_YEARS_SECONDS, allow_inf_nan=False), BeforeValidator(_number)
]
AssertionSeconds = Annotated[
    float, Field(ge=1, le=3600, allow_inf_nan=False), BeforeValidator(_number)
]
Fraction = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False), BeforeValidator(_number)]
Count = Annotated[int, Field(gt=0), BeforeValidator(_number)]
CountOrZero = Annotated[int, Field(ge=0), BeforeValidator(_number)]
Switch = Annotated[bool, BeforeValidator(_switch)]

AccessLog = Annotated[
    Literal["off", "errors", "all"],
    BeforeValidator(_off),
    WithJsonSchema({"enum": ["off", "errors", "all", False]}),
]

Text = Annotated[str, AfterValidator(_some_text)]
Name = Annotated[
    str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})
]
Scheme = Annotated[str, AfterValidator(_scheme)]
FieldName = Annotated[str, AfterValidator(_field_name)]
FieldValue = Annotated[str, AfterValidator(_field_value)]
Method = Annotated[str, AfterValidator(_method)]
PathPrefix = Annotated[str, AfterValidator(_path)]
HostPattern = Annotated[str, AfterValidator(_host)]
HostName = Annotated[str, AfterValidator(_host_name)]
AllowedHost = Annotated[str, AfterValidator(_any_or_host)]
ListenAddress = Annotated[str, AfterValidator(_address)]
UrlText = Annotated[str, AfterValidator(_url)]
UrlWithQuery = Annotated[str, AfterValidator(_url_with_query)]
OriginText = Annotated[str, AfterValidator(_origin)]

_TEXT_OR_LIST = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
)
Scope = Annotated[
    Text | None,
    BeforeValidator(_joined),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "null"},
            ]
        }
    ),
]
Listeners = Annotated[
    list[ListenAddress], Field(min_length=1), BeforeValidator(_listed), _TEXT_OR_LIST
]
Texts = Annotated[list[Text], BeforeValidator(_listed), _TEXT_OR_LIST]
Resources = Annotated[
    list[Annotated[str, AfterValidator(_resource)]], BeforeValidator(_listed), _TEXT_OR_LIST
]
OrNothing = BeforeValidator(_or_nothing)
Parameters = Annotated[
    dict[Text, Annotated[str | list[str], BeforeValidator(_parameter), _TEXT_OR_LIST]], OrNothing
]
SecretField = Annotated[
    InstanceOf[SecretSource], WithJsonSchema({"type": "string", "format": "password"})
]
AssertionFile = Annotated[InstanceOf[SecretSource], WithJsonSchema({"type": "string"})]
