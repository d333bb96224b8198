from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config.loader import admin_address, load, load_text
from proxy.config.problem import ConfigurationError
from proxy.config.validation import NAMED, NOT_YET, section_at
from proxy.model import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Inspector, Reader

    from proxy.config.problem import Problem

EVERYTHING_WRONG = """\
lisen: 127.0.0.1:1
listen: 0.0.0.0:80
clients:
  billing:
    client_id: 123
    client_secret: ${MISSING}
    authentication: client_secret_basik
    timeout_seconds: soon
    timeout_seconds: 3
    allow_http: "yes"
audiences:
  orders: {client: biling, renew_at: 1.5}
upstreams:
  orders: {audience: ordes, methods: [get], private_key: x}
"""


def test_every_kind_of_mistake_is_reported_in_one_run(problems: Inspector) -> None:
    found = problems(EVERYTHING_WRONG)
    assert [(p.line, p.column, p.path) for p in found] == [
        (1, 1, "lisen"),
        (2, 9, "listen"),
        (4, 3, "clients.billing"),
        (5, 16, "clients.billing.client_id"),
        (6, 20, "clients.billing.client_secret"),
        (7, 21, "clients.billing.authentication"),
        (8, 22, "clients.billing.timeout_seconds"),
        (9, 5, "clients.billing.timeout_seconds"),
        (10, 17, "clients.billing.allow_http"),
        (12, 20, "audiences.orders.client"),
        (12, 38, "audiences.orders.renew_at"),
        (14, 3, "upstreams.orders.url"),
        (14, 22, "upstreams.orders.audience"),
        (14, 39, "upstreams.orders.methods[0]"),
        (14, 45, "upstreams.orders.private_key"),
    ]
    suggestions = {p.path: p.suggestion for p in found if p.suggestion}
    assert suggestions == {
        "lisen": "listen",
        "clients.billing.authentication": "client_secret_basic",
        "audiences.orders.client": "billing",
        "upstreams.orders.audience": "orders",
    }


def test_a_problem_reads_as_file_line_column_path_message_suggestion(
    problems: Inspector, valid: str
) -> None:
    text = str(problems("lisen: 1\n" + valid)[0])
    assert text == "f.yaml:1:1: lisen: is not a known key (did you mean 'listen'?)"


def test_what_would_steer_a_terminal_is_not_printed(problems: Inspector) -> None:
    text = "\n".join(map(str, problems('"\\e[31m\\n": 1\n' + "k" * 500 + ": 1\n")))
    assert "\x1b" not in text
    assert "k" * 65 not in text


def test_the_smallest_configuration_gets_the_defaults(read: Reader, valid: str) -> None:
    config = read(valid)
    assert config.listen == ["127.0.0.1:8080"]
    assert config.clients["billing"].client_secret is not None
    assert config.clients["billing"].client_secret.read() == Secret("s3cr3t")
    assert config.audiences["orders"].renew_at == 0.75
    assert config.upstreams["orders"].match.path == "/"


def test_a_variable_becomes_a_number_or_a_switch_only_where_the_key_wants_one(
    read: Reader, valid: str
) -> None:
    text = valid.replace("client_id: billing", "client_id: ${ID}\n    timeout_seconds: ${T}")
    text += "    keep_prefix: ${YES}\n    connections_max: ${N}\n    on_unauthorized: ${WORD}\n"
    config = read(text, ID="123", T="2.5", YES="True", N="7", WORD="pass")
    assert config.clients["billing"].client_id == "123"
    assert config.clients["billing"].timeout_seconds == 2.5
    assert config.upstreams["orders"].keep_prefix is True
    assert config.upstreams["orders"].connections_max == 7
    assert config.upstreams["orders"].on_unauthorized == "pass"


@pytest.mark.parametrize("value", ["", "ten", "nan", "inf", "1_0", "0x10", "1e3", " 1", "-1", "0"])
def test_a_variable_that_holds_no_fitting_number_is_refused(
    problems: Inspector, valid: str, value: str
) -> None:
    found = problems(valid + "    connection_idle_seconds: ${N}\n", N=value)
    assert [problem.path for problem in found] == ["upstreams.orders.connection_idle_seconds"]


@pytest.mark.parametrize(
    "line",
    [
        "connections_max: '10'",
        "connections_max: 1.5",
        "connections_max: true",
        "connections_max: 99999999999999999999",
        "connection_idle_seconds: .inf",
        "connection_idle_seconds: .nan",
        "connection_idle_seconds: 999999999",
        "replay_body_bytes_max: -1",
        "keep_prefix: 1",
        "keep_prefix: 'true'",
        "host_header: 3",
        "set_headers: [a]",
        "set_headers: {X-A: 1}",
        "remove_headers: x",
        "methods: []",
        "paths: [x]",
        "paths: ['/a?b']",
        "paths: [/a/../b]",
        "paths: [/ü]",
        "methods: ['a b']",
        "methods: [CONNECT]",
        "match: x",
        "match: {host: 'a:80'}",
        "match: {host: '*.*.a'}",
        "timeouts: {connect_seconds: null}",
        "set_headers: {Transfer_Encoding: x}",
        "set_headers: {Host: x}",
        'set_headers: {X-A: "a\\r\\nb"}',
        "set_headers: {X-A: ' a'}",
        "set_headers: {X-A: é}",
        "remove_headers: [Connection]",
        "tls: {server_name: 'a b'}",
    ],
)
def test_a_value_that_does_not_fit_its_key_is_refused(
    problems: Inspector, valid: str, line: str
) -> None:
    [problem] = problems(valid + f"    {line}\n")
    assert problem.line == 12
    assert problem.path.startswith("upstreams.orders." + line.partition(":")[0])


def test_a_number_where_text_is_wanted_is_told_to_be_quoted(
    problems: Inspector, valid: str
) -> None:
    [problem] = problems(valid.replace("client_id: billing", "client_id: 007"))
    assert problem.message == "should be text, not a number; put it in quotes"


def test_one_value_may_stand_for_a_list(read: Reader, valid: str) -> None:
    one = "{client: billing, audience: a, resource: 'urn:r', scope: [x, y]}"
    many = "{client: billing, audience: [a, b], resource: ['urn:r'], scope: x y}"
    first = read("listen: 127.0.0.1:0\n" + valid.replace("{client: billing}", one))
    second = read("listen: ['[::1]:0', unix:/x]\n" + valid.replace("{client: billing}", many))
    assert first.listen == ["127.0.0.1:0"]
    assert second.listen == ["[::1]:0", "unix:/x"]
    assert first.audiences["orders"].audience == ["a"]
    assert second.audiences["orders"].audience == ["a", "b"]
    assert first.audiences["orders"].resource == second.audiences["orders"].resource == ["urn:r"]
    assert first.audiences["orders"].scope == second.audiences["orders"].scope == "x y"


@pytest.mark.parametrize("scope", ["[]", "''", "null"])
def test_an_empty_scope_is_no_scope(read: Reader, valid: str, scope: str) -> None:
    config = read(valid.replace("{client: billing}", f"{{client: billing, scope: {scope}}}"))
    assert config.audiences["orders"].scope is None


@pytest.mark.parametrize(
    "entry", ["scope: [1]", "scope: {}", "audience: 1", "audience: ['']", "resource: relative",
              "resource: 'https://a/#f'", "header: 'a b'", "header: Host", "scheme: 'a b'"]
)  # fmt: skip
def test_what_cannot_be_asked_for_is_refused(problems: Inspector, valid: str, entry: str) -> None:
    [problem] = problems(valid.replace("{client: billing}", f"{{client: billing, {entry}}}"))
    assert problem.path.startswith("audiences.orders." + entry.partition(":")[0])


@pytest.mark.parametrize(("scheme", "found"), [("''", ""), ("Token", "Token"), ("", None)])
def test_a_scheme_may_be_empty_and_that_is_not_the_same_as_none(
    read: Reader, valid: str, scheme: str, found: str | None
) -> None:
    config = read(valid.replace("{client: billing}", f"{{client: billing, scheme: {scheme}}}"))
    assert config.audiences["orders"].scheme == found


def test_hosts_are_lower_cased_and_a_heading_without_content_is_empty(
    read: Reader, valid: str
) -> None:
    text = "limits:\nallowed_hosts: [A.Example, '*.B.example', '*', '[::1]']\n" + valid
    config = read(text + "    match: {host: API.Example}\n    tls:\n    set_headers:\n")
    assert config.allowed_hosts == ["a.example", "*.b.example", "*", "[::1]"]
    assert config.upstreams["orders"].match.host == "api.example"
    assert config.upstreams["orders"].set_headers == {}


def test_parameters_take_text_and_lists_of_it(
    read: Reader, problems: Inspector, valid: str
) -> None:
    text = valid.replace("client_id:", "parameters: {a: x, b: [y, z]}\n    client_id:")
    assert read(text).clients["billing"].parameters == {"a": "x", "b": ["y", "z"]}
    [problem] = problems(text.replace("[y, z]", "[y, 1]"))
    assert problem.path == "clients.billing.parameters.b"


def test_a_key_of_a_later_version_is_said_to_be_one(problems: Inspector, valid: str) -> None:
    [problem] = problems(valid.replace("client_id:", "grant: authorization_code\n    client_id:"))
    assert problem.message == "is not supported by this version"


def test_no_key_is_called_unsupported_that_the_schema_has() -> None:
    for section in NAMED.values():
        assert not NOT_YET & set(section.model_fields)


def test_each_section_of_the_tree_is_known_by_its_path() -> None:
    assert section_at(("clients",)) is None
    assert section_at(("clients", "x")) is NAMED["clients"]
    assert section_at(("upstreams", "x", "set_headers")) is None
    inner = section_at(("upstreams", "upstreams", "timeouts"))
    assert inner is not None
    assert "connect_seconds" in inner.model_fields


@pytest.mark.parametrize("text", ["", "[]", "just text", "3"])
def test_a_file_that_is_no_configuration_is_refused(problems: Inspector, text: str) -> None:
    assert problems(text)


def test_a_missing_file_is_a_problem_like_others(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / "none.yaml", {})
    [problem] = caught.value.problems
    assert (problem.line, problem.column) == (1, 1)
    assert "No such file" in problem.message


def test_a_file_that_is_not_utf_8_is_reported_where_it_ends_to_be(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(b"# fine\nlisten: \xff\n")
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (2, 9)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path, valid: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + valid.encode())
    assert load(file, {"SECRET": "x"}).config.upstreams


def test_the_admin_address_is_found_in_a_file_that_is_wrong_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("admin: {listen: '${A}'}\nlisen: ${UNSET}\n")
    assert admin_address(file, {"A": "127.0.0.1:1"}) == "127.0.0.1:1"
    file.write_text("admin: {listen: null}\n")
    assert admin_address(file, {}) is None
    file.write_text("listen: x\n")
    assert admin_address(file, {}) == "127.0.0.1:9090"
    file.write_text("admin: {listen: 9090}\n")
    with pytest.raises(ConfigurationError, match="should be an address"):
        admin_address(file, {})
    file.write_text("admin: {listen: '${UNSET}'}\n")
    with pytest.raises(ConfigurationError, match="UNSET is not set"):
        admin_address(file, {})


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["orders", "billing", "none", "https://a.example", "127.0.0.1:0", "${X}"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "clients", "audiences", "upstreams", "listen", "admin", "billing", "orders", "client",
            "audience", "url", "match", "path", "host", "tls", "ca_file", "client_secret",
            "client_secret_file", "set_headers", "remove_headers", "parameters", "scope", "issuer",
        ]),
        inner, max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(tree=TREES)
def test_any_tree_is_a_configuration_or_a_list_of_problems(tree: object, tmp_path: Path) -> None:
    import yaml

    text = yaml.safe_dump(tree, allow_unicode=True)
    lines = text.split("\n")
    found: list[Problem] = []
    try:
        load_text(text, "f.yaml", {"X": "x"}, tmp_path)
    except ConfigurationError as error:
        found = error.problems
    for problem in found:
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
