from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.commands.command_line import build_parser
from proxy.commands.configuration_source import COMMAND_LINE, load_source
from proxy.commands.exit_status import UsageError
from proxy.commands.source_arguments import SETTINGS
from proxy.config.problem import ConfigurationError
from proxy.config.secrets import SecretSource
from proxy.model import Secret

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from conftest import Runner

FLAGS = [
    "--upstream", "https://api.example.com/v1",
    "--token-endpoint", "https://auth.example.com/token",
    "--client-id", "billing",
]  # fmt: skip
VARIABLES = {
    "TOKEN_PROXY_UPSTREAM": "https://api.example.com/v2",
    "TOKEN_PROXY_TOKEN_ENDPOINT": "https://auth.example.com/token",
    "TOKEN_PROXY_CLIENT_ID": "from-environment",
    "TOKEN_PROXY_CLIENT_SECRET": "s3cr3t",
}


def arguments(*argv: str) -> Namespace:
    return build_parser().parse_args(["run", *argv])


def test_flags_alone_make_a_configuration(directory: Path) -> None:
    (directory / "secret").write_text("s3cr3t\n")
    config, source = load_source(
        arguments(
            *FLAGS, "--client-secret-file", "secret", "--audience", "https://api", "--scope", "a b",
            "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
        ),
        {},
    )  # fmt: skip
    assert source == COMMAND_LINE
    assert config.upstreams["default"].url == "https://api.example.com/v1"
    assert config.upstreams["default"].audience == "default"
    assert config.audiences["default"].client == "default"
    assert config.audiences["default"].audience == ["https://api"]
    assert config.audiences["default"].scope == "a b"
    assert config.clients["default"].client_id == "billing"
    assert config.clients["default"].client_secret == SecretSource(file=directory / "secret")
    assert config.listen == ["127.0.0.1:0"]
    assert config.admin.listen == "127.0.0.1:0"


def test_variables_alone_make_a_configuration() -> None:
    config, source = load_source(arguments(), VARIABLES)
    assert source == COMMAND_LINE
    assert config.clients["default"].client_id == "from-environment"
    assert config.clients["default"].client_secret == SecretSource(value=Secret("s3cr3t"))


def test_a_flag_wins_over_its_variable(directory: Path) -> None:
    (directory / "secret").write_text("s3cr3t\n")
    config, _ = load_source(arguments(*FLAGS, "--client-secret-file", "secret"), VARIABLES)
    assert config.clients["default"].client_id == "billing"
    assert config.upstreams["default"].url.endswith("/v1")
    assert config.clients["default"].client_secret == SecretSource(file=directory / "secret")


def test_flags_are_taken_as_they_are() -> None:
    config, _ = load_source(
        arguments("--client-id", "${HOME}$$"),
        {**VARIABLES, "HOME": "/somewhere"},
    )
    assert config.clients["default"].client_id == "${HOME}$$"


def test_problems_name_the_flag_or_the_variable() -> None:
    environ = {"TOKEN_PROXY_TOKEN_ENDPOINT": "http://auth.example.com", "TOKEN_PROXY_SCOPE": "a\nb"}
    with pytest.raises(ConfigurationError) as caught:
        load_source(arguments("--listen", "0.0.0.0:80", "--upstream", "https://a@b"), environ)
    assert {problem.path for problem in caught.value.problems} == {
        "--listen",
        "--upstream",
        "--client-id",
        "--client-secret-file or TOKEN_PROXY_CLIENT_SECRET",
        "TOKEN_PROXY_TOKEN_ENDPOINT",
        "TOKEN_PROXY_SCOPE",
    }
    assert str(caught.value.problems[0]).startswith("(command line): --")


def test_two_secrets_in_the_environment_are_one_too_many(directory: Path) -> None:
    (directory / "secret").write_text("x")
    environ = {**VARIABLES, "TOKEN_PROXY_CLIENT_SECRET_FILE": "secret"}
    with pytest.raises(ConfigurationError, match="both given"):
        load_source(arguments(), environ)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda one: one.flag)
def test_no_flag_goes_with_a_file(setting: object) -> None:
    flag = getattr(setting, "flag", "")
    with pytest.raises(UsageError, match=f"{flag} and -c exclude one another"):
        load_source(arguments("-c", "proxy.yaml", flag, "x"), {})
    with pytest.raises(UsageError, match=f"{flag} and TOKEN_PROXY_CONFIG exclude one another"):
        load_source(arguments(flag, "x"), {"TOKEN_PROXY_CONFIG": "proxy.yaml"})


def test_a_file_that_was_typed_wins_over_the_environment(configuration: Path) -> None:
    environ = {**VARIABLES, "SECRET": "x", "TOKEN_PROXY_CONFIG": "other.yaml"}
    config, source = load_source(arguments("-c", str(configuration)), environ)
    assert list(config.upstreams) == ["orders"]
    assert source == str(configuration)


def test_a_file_may_be_named_by_the_environment(configuration: Path) -> None:
    environ = {"SECRET": "x", "TOKEN_PROXY_CONFIG": str(configuration), "TOKEN_PROXY_ADMIN": "a:1"}
    assert load_source(arguments(), environ)[1] == str(configuration)
    with pytest.raises(UsageError, match="TOKEN_PROXY_UPSTREAM"):
        load_source(arguments(), {**environ, **VARIABLES})


def test_nothing_given_is_answered_with_what_to_type(run: Runner, directory: Path) -> None:
    outcome = run("run")
    assert outcome.status == 64
    assert "--token-endpoint" in outcome.err
    assert run("run", TOKEN_PROXY_ADMIN="127.0.0.1:1").status == 64
    (directory / "config.yaml").write_text("")
    assert "token-proxy run -c config.yaml" in run("run").err


def test_a_wrong_configuration_does_not_start(run: Runner, configuration: Path) -> None:
    outcome = run("run", "-c", str(configuration))
    assert outcome.status == 78
    assert outcome.err == (
        f"{configuration}:5:20: clients.billing.client_secret: "
        "the environment variable SECRET is not set\n"
    )
