"""The image's recipe and the compose file, looked at without building anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import compose_spec
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from proxy.config.schema import Shutdown

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements.lock", "requirements-build.lock")
# What `make lock` gives uv, and uv names as the place where a requirement comes from.
SOURCES = {
    "requirements.lock": (
        [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["otel"]],
        "token-proxy (pyproject.toml)",
    ),
    # From standard input, which has no name.
    "requirements-build.lock": ([*PROJECT["build-system"]["requires"], "uv"], ""),
}


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, each with its arguments in one line."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def arguments(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def locked(name: str) -> dict[str, tuple[Requirement, list[str], set[str]]]:
    """Return a lock's entries: the pinned requirement, its hashes, and who asked for it."""
    entries = {}
    text = (ROOT / name).read_text(encoding="utf-8")
    for entry in re.findall(r"^\w.*(?:\n .*)*", text, re.MULTILINE):
        pinned = Requirement(entry.partition(" \\\n")[0])
        hashes = re.findall(r"--hash=(\S+)", entry)
        _, _, via = entry.partition("# via")
        askers = {line.strip("# ") for line in via.splitlines()} - {""} or {""}
        entries[canonicalize_name(pinned.name)] = (pinned, hashes, askers)
    return entries


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_user_is_a_number_that_is_not_root() -> None:
    assert arguments("USER") == ["65532:65532"]


@pytest.mark.parametrize("name", ["ENTRYPOINT", "CMD"])
def test_no_shell_stands_between_a_signal_and_the_program(name: str) -> None:
    (given,) = arguments(name)
    assert all(isinstance(part, str) for part in json.loads(given))


def test_the_health_check_is_the_program_s_own() -> None:
    (given,) = arguments("HEALTHCHECK")
    assert json.loads(given.partition(" CMD ")[2]) == ["token-proxy", "healthcheck"]


def test_the_base_can_be_named_by_digest_and_has_a_version_by_default() -> None:
    (default,) = [each for each in arguments("ARG") if each.startswith("PYTHON_IMAGE=")]
    _, _, tag = default.partition(":")
    assert re.fullmatch(r"3\.\d+-slim-\w+", tag)
    assert [each.partition(" AS ")[0] for each in arguments("FROM")] == ["${PYTHON_IMAGE}"] * 2


def test_no_build_argument_asks_for_a_secret() -> None:
    """Build arguments are published with an image's provenance."""
    names = {each.partition("=")[0] for each in arguments("ARG")}
    assert names == {"PYTHON_IMAGE", "VERSION", "REVISION", "CREATED"}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_everything_and_has_hashes_for_it(name: str) -> None:
    entries = locked(name)
    assert entries
    for pinned, hashes, _ in entries.values():
        assert re.fullmatch(r"==[^*,]+", str(pinned.specifier)), pinned
        assert hashes, pinned
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), pinned


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_what_pyproject_asks_for_and_nothing_that_nobody_asks_for(name: str) -> None:
    """What else there is to know, an index alone knows: `make lock` asks it."""
    required, source = SOURCES[name]
    entries = locked(name)
    wanted = {canonicalize_name(each.name): each for each in map(Requirement, required)}
    assert {key for key, (_, _, askers) in entries.items() if source in askers} == set(wanted)
    for key, requirement in wanted.items():
        pinned, _, _ = entries[key]
        (version,) = pinned.specifier
        assert requirement.specifier.contains(version.version), (str(requirement), str(pinned))
    for key, (_, _, askers) in entries.items():
        assert all(canonicalize_name(each) in entries for each in askers - {source}), key


def test_a_lock_has_what_its_entries_need_as_far_as_that_is_installed_here() -> None:
    entries = locked("requirements.lock")
    compared = 0
    for key, (pinned, _, _) in entries.items():
        try:
            found = metadata.distribution(key)
        except metadata.PackageNotFoundError:
            continue
        if not pinned.specifier.contains(found.version):
            continue
        for each in map(Requirement, found.requires or []):
            if each.marker is None or each.marker.evaluate({"extra": ""}):
                need, _, _ = entries[canonicalize_name(each.name)]
                (version,) = need.specifier
                assert each.specifier.contains(version.version), (key, str(each))
                compared += 1
    assert compared


def test_only_what_the_image_is_made_of_goes_to_the_builder() -> None:
    """No secret, no history, no test: everything is left out but what is named."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {
        source
        for each in arguments("COPY")
        if not each.startswith("--from=")
        for source in each.split()[:-1]
    }
    assert sent == copied
    assert "proxy" in copied


def test_the_compose_file_keeps_the_specification() -> None:
    options = compose_spec.PyOptions(apply_merge=True)
    options.from_yaml(COMPOSE).validate()
    for right, wrong in (("read_only:", "read_onyl:"), ("secrets: [b", "secrets: [c")):
        assert right in COMPOSE
        with pytest.raises(Exception, match=r"extension key|is not defined"):
            options.from_yaml(COMPOSE.replace(right, wrong)).validate()


def services() -> dict[str, dict[str, Any]]:
    whole = json.loads(compose_spec.PyOptions(apply_merge=True).from_yaml(COMPOSE).to_json())
    return dict(whole["services"])


def test_every_service_of_the_compose_file_may_do_nothing_that_it_need_not() -> None:
    for name, service in services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "mem_limit" in service, name
        _, _, neighbour = service.get("network_mode", "").partition("service:")
        assert not neighbour or {neighbour} == set(service["depends_on"]), name
        assert all(each.startswith("127.0.0.1:") for each in service.get("ports", [])), name


def test_the_compose_file_builds_the_proxy_and_takes_the_base_for_who_calls_it() -> None:
    """An image with a name would be looked for in a registry first, or be built twice at once."""
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    for name, service in services().items():
        if name in {"demo", "proxy"}:
            assert service["build"] == "."
            assert "image" not in service
            assert service["healthcheck"]["test"][1:] == ["token-proxy", "healthcheck"]
        else:
            assert (service["image"], service["user"]) == (base, "65532:65532"), name


def test_the_compose_file_lets_the_proxy_drain() -> None:
    assert services()["proxy"]["stop_grace_period"] == "30s"
    assert Shutdown().drain_seconds < 30


def test_the_compose_example_s_configuration_is_valid() -> None:
    file = ROOT / "docs" / "examples" / "compose" / "token-proxy.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "validate", "-c", file],
        env={**os.environ, "BILLING_CLIENT_ID": "billing"},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    # The secret is compose's to put there; everything else is right.
    assert [line for line in done.stderr.splitlines() if "client_secret_file" not in line] == []
