from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Runner


def test_a_valid_file_is_counted_on_standard_output(run: Runner, configuration: Path) -> None:
    outcome = run("validate", "-c", str(configuration), SECRET="x")
    expected = f"{configuration} is valid: 1 upstream, 1 audience, 1 client\n"
    assert outcome == (0, expected, "")


def test_problems_go_to_standard_error_one_a_line(run: Runner, configuration: Path) -> None:
    configuration.write_text(configuration.read_text().replace("client:", "clint:"))
    outcome = run("validate", "-c", str(configuration))
    assert outcome.status == 78
    assert outcome.out == ""
    at = configuration
    assert outcome.err.splitlines() == [
        f"{at}:5:20: clients.billing.client_secret: the environment variable SECRET is not set",
        f"{at}:7:3: audiences.orders.client: is required",
        f"{at}:7:12: audiences.orders.clint: is not a known key (did you mean 'client'?)",
    ]


def test_json_says_the_same(run: Runner, configuration: Path) -> None:
    good = run("validate", "-c", str(configuration), "--format", "json", SECRET="x")
    assert good.status == 0
    assert json.loads(good.out) == {"valid": True, "problems": []}
    bad = run("validate", "-c", "none.yaml", "--format", "json")
    assert bad.status == 78
    assert bad.err == ""
    assert json.loads(bad.out) == {
        "valid": False,
        "problems": [
            {
                "file": "none.yaml",
                "line": 1,
                "column": 1,
                "path": "",
                "message": "cannot be read: No such file or directory",
                "suggestion": None,
            },
        ],
    }


def test_flags_can_be_validated_too(run: Runner) -> None:
    outcome = run(
        "validate", "--upstream", "https://a.example", "--token-endpoint", "https://b.example",
        "--client-id", "c", TOKEN_PROXY_CLIENT_SECRET="x",
    )  # fmt: skip
    assert outcome == (0, "(command line) is valid: 1 upstream, 1 audience, 1 client\n", "")


def test_config_shows_defaults_and_no_secret(run: Runner, configuration: Path) -> None:
    outcome = run("config", "-c", str(configuration), SECRET="hunter2")
    assert outcome.status == 0
    shown = yaml.safe_load(outcome.out)
    assert shown["clients"]["billing"]["client_secret"] == "***"
    assert shown["upstreams"]["orders"]["connections_max"] == 256
    assert "hunter2" not in outcome.out
    assert run("config", "-c", "none.yaml").status == 78
