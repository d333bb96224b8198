from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.config.client_checks import OUR_PARAMETERS

if TYPE_CHECKING:
    from conftest import Inspector, Reader

CLIENT = "    client_id: billing\n    client_secret: ${SECRET}\n"


def client(body: str) -> str:
    return (
        f"clients:\n  billing:\n{body}"
        "audiences: {orders: {client: billing}}\n"
        "upstreams: {orders: {url: 'https://api.example.com', audience: orders}}\n"
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        "token_endpoint: https://a.example/t",
        "token_endpoint: https://a.example/t?policy=x",
        "token_endpoint: http://127.0.0.1:1/t",
        "token_endpoint: http://a.example/t\n    allow_http: true",
        "token_endpoint: http://a.example/t\n    allow_http: ${YES}",
        "issuer: https://a.example",
        "discovery: https://a.example/.well-known/openid-configuration",
        "issuer: https://a.example\n    discovery: https://a.example/d",
    ],
)
def test_an_authorization_server_is_named_in_one_way(read: Reader, endpoint: str) -> None:
    assert read(client(f"{CLIENT}    {endpoint}\n"), YES="true").clients["billing"]


@pytest.mark.parametrize(
    ("endpoint", "path", "message"),
    [
        ("basic_encoding: form", "", "is required"),
        ("token_endpoint: null", "", "is required"),
        ("token_endpoint: https://a/t\n    issuer: https://a", ".issuer", "excludes"),
        ("token_endpoint: https://a/t\n    discovery: https://a", ".discovery", "excludes"),
        ("issuer: https://a.example/?q", ".issuer", "no query"),
        ("token_endpoint: http://a.example/t", ".token_endpoint", "plain http"),
        ("issuer: http://localhost.evil.example", ".issuer", "plain http"),
        ("discovery: http://10.0.0.1/d", ".discovery", "plain http"),
        ("token_endpoint: http://localhost@evil.example", ".token_endpoint", "no user"),
        ("token_endpoint: ftp://a.example", ".token_endpoint", "https or http"),
    ],
)
def test_a_wrong_authorization_server_is_refused(
    problems: Inspector, endpoint: str, path: str, message: str
) -> None:
    [problem] = problems(client(f"{CLIENT}    {endpoint}\n"))
    assert problem.path == f"clients.billing{path}"
    assert message in problem.message


@pytest.mark.parametrize(
    ("lines", "path", "message"),
    [
        ("client_id: x", "client_secret", "is required"),
        ("client_id: x\n    authentication: client_secret_post", "client_secret", "is required"),
        ("client_id: x\n    authentication: none\n    client_secret: ${SECRET}", "client_secret",
         "of no use"),
        ("client_id: a:b\n    basic_encoding: raw\n    client_secret: ${SECRET}", "client_id",
         "cannot carry"),
        ("client_id: ''\n    client_secret: ${SECRET}", "client_id", "is empty"),
        ('client_id: "a\\nb"\n    client_secret: ${SECRET}', "client_id", "line break"),
        ("client_id: x\n    client_secret: ${SECRET}\n    http_proxy: http://p:1/path",
         "http_proxy", "without a path"),
    ],
)  # fmt: skip
def test_authentication_has_what_it_needs_and_no_more(
    problems: Inspector, lines: str, path: str, message: str
) -> None:
    [problem] = problems(client(f"    token_endpoint: https://a.example/t\n    {lines}\n"))
    assert problem.path == f"clients.billing.{path}"
    assert message in problem.message


def test_a_public_client_and_an_odd_name_are_allowed(read: Reader) -> None:
    endpoint = "    token_endpoint: https://a.example/t\n"
    assert read(client(endpoint + "    client_id: 'a:+%/é b'\n    authentication: none\n"))
    assert read(client(endpoint + CLIENT + "    http_proxy: http://proxy.example:3128\n"))


@pytest.mark.parametrize("name", sorted(OUR_PARAMETERS))
def test_fields_that_we_set_ourselves_are_no_parameters(
    problems: Inspector, valid: str, name: str
) -> None:
    text = valid.replace("client_id:", f"parameters: {{{name}: x}}\n    client_id:")
    text = text.replace("{client: billing}", f"{{client: billing, parameters: {{{name}: x}}}}")
    assert [problem.path for problem in problems(text)] == [
        f"clients.billing.parameters.{name}",
        f"audiences.orders.parameters.{name}",
    ]


def test_references_are_followed_even_where_the_structure_is_broken(problems: Inspector) -> None:
    found = problems(
        "clients: {billing: 3}\n"
        "audiences: {orders: {client: bill, renew_at: x}}\n"
        "upstreams: {a: {url: 1, audience: order}, b: {audience: none, url: 'https://b'}}\n"
    )
    assert [(problem.path, problem.suggestion) for problem in found] == [
        ("clients.billing", None),
        ("audiences.orders.client", "billing"),
        ("audiences.orders.renew_at", None),
        ("upstreams.a.url", None),
        ("upstreams.a.audience", "orders"),
        ("upstreams.b.match", None),
    ]


def test_a_reference_into_nothing_says_that_there_is_none(problems: Inspector) -> None:
    [problem] = problems("upstreams: {a: {url: 'https://a', audience: x}}\n")
    assert "there is none" in problem.message


def test_none_is_no_name_for_an_audience(problems: Inspector, valid: str) -> None:
    [problem] = problems(valid.replace("  orders: {", "  none: {client: billing}\n  orders: {"))
    assert problem.path == "audiences.none"


@pytest.mark.parametrize("name", ["a b", "-a", "a/b", "ü", "x" * 64, "''"])
def test_names_are_fit_for_labels(problems: Inspector, valid: str, name: str) -> None:
    [problem] = problems(valid.replace("upstreams:\n  orders:", f"upstreams:\n  {name}:"))
    assert "should be a name" in problem.message
    assert (problem.line, problem.column) == (9, 3)


@pytest.mark.parametrize("text", ["upstreams:\n", "upstreams: {}\n", "listen: 127.0.0.1:0\n"])
def test_a_proxy_without_upstreams_is_refused(problems: Inspector, text: str) -> None:
    [problem] = problems(text)
    assert problem.path == "upstreams"


def test_plain_http_to_an_upstream_needs_leave(
    problems: Inspector, read: Reader, valid: str
) -> None:
    text = valid.replace("https://api", "http://api")
    [problem] = problems(text)
    assert problem.path == "upstreams.orders.url"
    assert read(text + "    allow_http: true\n")
    assert read(valid.replace("https://api.example.com", "http://localhost:1"))


@pytest.mark.parametrize(
    ("lines", "paths"),
    [
        ("listen: 0.0.0.0:80", ["listen"]),
        ("listen: [127.0.0.1:1, '[::]:1', host.example:1]", ["listen[1]", "listen[2]"]),
        ("listen: [127.0.0.1:1, 127.0.0.1:1]", ["listen[1]"]),
        ("listen: 127.0.0.1:9090", ["admin.listen"]),
        ("listen: []", ["listen"]),
        ("listen: ':80'", ["listen"]),
        ("listen: 8080", ["listen"]),
        ("listen: 0.0.0.0:1\nallow_remote: true", []),
        ("listen: [127.0.0.1:0, 127.0.0.1:0]\nadmin: {listen: 127.0.0.1:0}", []),
        ("admin: {listen: 0.0.0.0:9090}", []),
        ("admin: {listen: null}", []),
        ("listen: unix:/run/x.sock", []),
    ],
)
def test_listeners_stay_on_this_machine_and_apart(
    problems: Inspector, valid: str, lines: str, paths: list[str]
) -> None:
    assert [problem.path for problem in problems(f"{lines}\n{valid}")] == paths


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("{}", "{}", True),
        ("{path: /}", "null", True),
        ("{path: /a}", "{path: /a/}", True),
        ("{host: A.example}", "{host: a.EXAMPLE, path: /}", True),
        ("{path: /a}", "{path: /A}", False),
        ("{path: /a}", "{path: /ab}", False),
        ("{host: a.example}", "{host: '*.a.example'}", False),
        ("{host: a.example}", "{}", False),
    ],
)
def test_two_upstreams_cannot_match_the_same_requests(
    problems: Inspector, one: str, two: str, *, same: bool
) -> None:
    found = problems(
        f"upstreams:\n  a: {{url: 'https://a', audience: none, match: {one}}}\n"
        f"  b: {{url: 'https://b', audience: none, match: {two}}}\n"
    )
    assert [problem.message.split(":")[0] for problem in found] == (
        ["matches the same requests as upstream a"] if same else []
    )


def test_the_field_of_the_token_is_left_to_the_proxy(
    problems: Inspector, read: Reader, valid: str
) -> None:
    edits = "    set_headers: {AUTHORIZATION: x}\n    remove_headers: [X-Other, authorization]\n"
    assert [problem.path for problem in problems(valid + edits)] == [
        "upstreams.orders.set_headers.AUTHORIZATION",
        "upstreams.orders.remove_headers[1]",
    ]
    keyed = valid.replace("{client: billing}", "{client: billing, header: X-Api-Key}")
    assert read(keyed + edits)
    [problem] = problems(keyed + "    set_headers: {X_Api_Key: x}\n")
    assert problem.path == "upstreams.orders.set_headers.X_Api_Key"
    assert read(valid.replace("audience: orders", "audience: none") + edits)


def test_a_field_is_set_once(problems: Inspector, valid: str) -> None:
    [problem] = problems(valid + "    set_headers: {X-A: x, x-a: y}\n")
    assert problem.path == "upstreams.orders.set_headers.x-a"
