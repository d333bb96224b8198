"""Every YAML that the pages show is a configuration, with its variables set and its files there.

`docs/providers/` has whole files, `docs/client-authentication.md` has parts of one. The paths that
they name are made below a temporary directory: a key, a JWT, a certificate by an authority of ours.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from integration.foreign_server import require

from proxy.config.client import Client
from proxy.config.loader import load_text
from proxy.config.proof import Authentication
from proxy.config.schema import Config

ROOT = Path(__file__).parents[2]
PROVIDERS = ROOT / "docs/providers"
METHODS_PAGE = ROOT / "docs/client-authentication.md"
INDEX = (PROVIDERS / "README.md").read_text(encoding="utf-8")
PAGES = sorted(PROVIDERS.glob("*.md"))
RECIPES = [page for page in PAGES if page.name != "README.md"]
EXAMPLE_TEXT = "example-0123456789-0123456789-0123456789"
REST_OF_A_FILE: dict[str, Any] = {
    "listen": "127.0.0.1:8080",
    "audiences": {"rest": {"client": "billing"}},
    "upstreams": {"rest": {"url": "https://api.example.com", "audience": "rest"}},
}

_MOUNTED = re.compile(r"(?:/var)?/run/secrets/")
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_]+)(?::-([^}]*))?\}")


def blocks(page: Path, language: str) -> list[str]:
    """Return the page's blocks of one language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def _of(pages: list[Path]) -> list[Any]:
    return [
        pytest.param(block, id=f"{page.stem}-{number}")
        for page in pages
        for number, block in enumerate(blocks(page, "yaml"), 1)
        if not is_manifest(block)
    ]


def is_manifest(block: str) -> bool:
    """Say whether a block is for Kubernetes and not for the proxy."""
    return "apiVersion" in yaml.safe_load(block)


class Mounts:
    """The directory that stands for `/run/secrets`, with the files that a configuration names."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._certificate = trustme.CA().issue_cert("billing.example.com")

    def mapped(self, text: str) -> tuple[str, dict[str, str]]:
        """Return the text with its paths moved here, and its variables. Makes the files."""
        text = _MOUNTED.sub(f"{self._directory}/", text)
        # A default is left to be used: that it leads somewhere is part of the recipe.
        variables = {name: EXAMPLE_TEXT for name, default in _VARIABLE.findall(text) if not default}
        self._make_files(yaml.safe_load(_VARIABLE.sub(lambda found: found[2] or "x", text)))
        return text, variables

    def _make_files(self, tree: Any) -> None:
        for key, value in tree.items() if isinstance(tree, dict) else ():
            if isinstance(value, dict):
                self._make_files(value)
            elif isinstance(key, str) and key.endswith("_file"):
                file = Path(value)
                assert file.is_relative_to(self._directory), f"{key}: {value} is not mapped"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self._content(key, file))

    def _content(self, key: str, file: Path) -> bytes:
        match key:
            case "client_secret_file":
                return f"{EXAMPLE_TEXT}\n".encode()
            case "private_key_file":
                return private_jwk() if file.suffix == ".jwk" else private_pem()
            case "client_assertion_file":
                return jwt_shaped().encode()
            case "certificate_file":
                return b"".join(blob.bytes() for blob in self._certificate.cert_chain_pems)
            case "key_file":
                return self._certificate.private_key_pem.bytes()
        raise AssertionError(f"no example of what {key} holds")


@functools.cache
def private_pem() -> bytes:
    """Return an RSA key of the length that the program asks for, as openssl writes it."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def private_jwk() -> bytes:
    """Return the Ed25519 key of RFC 8037 appendix A.1."""
    return json.dumps(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }
    ).encode()


def jwt_shaped() -> str:
    """Return three parts of base64url, as a service account's token has them."""
    parts = (b'{"alg":"RS256"}', b'{"sub":"system:serviceaccount:shop:orders"}', b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize("block", _of(PAGES))
def test_a_recipe_is_a_whole_configuration_as_it_stands(block: str, tmp_path: Path) -> None:
    text, variables = Mounts(tmp_path).mapped(block)
    config = load_text(text, "recipe.yaml", variables, tmp_path)
    (upstream,) = config.upstreams.values()
    assert upstream.audience in config.audiences
    assert upstream.url.startswith("https://")
    assert upstream.match.path != "/", "several recipes go into one file"
    assert list(config.clients) == [config.audiences[upstream.audience].client]


def test_the_command_accepts_a_recipe_and_names_what_is_wrong_with_it(tmp_path: Path) -> None:
    """The same code path as the other tests here, once from outside."""
    text, variables = Mounts(tmp_path).mapped(blocks(PROVIDERS / "entra.md", "yaml")[1])
    file = tmp_path / "token-proxy.yaml"
    file.write_text(text, encoding="utf-8")

    def validated() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "proxy", "validate", "-c", str(file)],
            cwd=ROOT,
            env=variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert validated().returncode == 0
    (assertion,) = (tmp_path / "azure/tokens").iterdir()
    assertion.unlink()
    refused = validated()
    assert refused.returncode == 78
    assert "clients.entra.client_assertion_file" in refused.stderr


@pytest.mark.parametrize("page", RECIPES, ids=lambda page: page.stem)
def test_a_page_has_a_recipe_a_source_and_its_place_in_the_index(page: Path) -> None:
    assert blocks(page, "yaml")
    assert f"({page.name})" in INDEX
    text = page.read_text(encoding="utf-8")
    assert "\n## When it fails\n" in text
    (source,) = re.findall(r"^Source\b.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    # Unidy has its documentation on plain http.
    assert re.search(r"\]\(https?://[^)\s]+\)", source)


def test_the_index_says_which_recipes_are_run_and_which_only_checked() -> None:
    run, only, checked = INDEX.partition("checked by `token-proxy validate` only")
    assert only
    for page in RECIPES:
        says_so = "Not run against" in " ".join(page.read_text(encoding="utf-8").split())
        assert f"]({page.name})" in (checked if says_so else run), page.name


def test_the_methods_are_those_of_the_schema() -> None:
    text = METHODS_PAGE.read_text(encoding="utf-8")
    header, *rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert header == "authentication"
    assert rows == list(get_args(Authentication))


def test_the_page_on_methods_names_every_key_that_they_have() -> None:
    text = METHODS_PAGE.read_text(encoding="utf-8")
    others = {"token_request", "parameters", "http_proxy", "timeout_seconds", "allow_http"}
    others |= {"discovery", "tls"}
    for key in set(Client.model_fields) - others:
        assert f"`{key}" in text or f"{key}:" in text, key


@pytest.mark.parametrize("block", _of([METHODS_PAGE]))
def test_an_example_is_part_of_a_configuration(block: str, tmp_path: Path) -> None:
    text, variables = Mounts(tmp_path).mapped(block)
    shown = yaml.safe_load(text)
    rest = {key: value for key, value in REST_OF_A_FILE.items() if key not in shown}
    config = load_text(text + yaml.safe_dump(rest), "example.yaml", variables, tmp_path)
    assert isinstance(config, Config)
    assert list(config.clients) == ["billing"]


def test_the_manifest_puts_the_token_where_the_example_looks_for_it() -> None:
    parts = [yaml.safe_load(block) for block in blocks(METHODS_PAGE, "yaml")]
    (manifest,) = (part["spec"] for part in parts if part.get("kind") == "Pod")
    (client,) = (
        part["clients"]["billing"]
        for part in parts
        if "clients" in part
        and part["clients"]["billing"]["authentication"] == "client_assertion_file"
    )
    (container,) = manifest["containers"]
    (mount,) = container["volumeMounts"]
    (volume,) = manifest["volumes"]
    (projected,) = (source["serviceAccountToken"] for source in volume["projected"]["sources"])
    assert mount["name"] == volume["name"]
    assert f"{mount['mountPath']}/{projected['path']}" == client["client_assertion_file"]


def test_the_keys_that_the_page_makes_are_accepted(tmp_path: Path) -> None:
    """Every openssl line of the page is run as it stands, and the program that prints a JWK."""
    require(shutil.which("openssl"), "openssl is missing")
    lines = [line for block in blocks(METHODS_PAGE, "console") for line in block.splitlines()]
    commands = [shlex.split(line.removeprefix("$ ")) for line in lines]
    assert {command[0] for command in commands} == {"openssl"}
    for command in commands:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    keys = sorted(key for key in tmp_path.glob("*.pem") if not key.match("*.pub.pem"))
    assert [key.name for key in keys] == ["ed25519.pem", "p256.pem", "rsa.pem"]
    for key in keys:
        config = {
            **REST_OF_A_FILE,
            "clients": {
                "billing": {
                    "token_endpoint": "https://auth.example.com/token",
                    "client_id": "us",
                    "authentication": "private_key_jwt",
                    "private_key_file": str(key),
                }
            },
        }
        load_text(yaml.safe_dump(config), "key.yaml", {}, tmp_path)
    (program,) = blocks(METHODS_PAGE, "python")
    printed = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    (public,) = json.loads(printed)["keys"]
    assert set(public) == {"kty", "crv", "x", "y", "kid", "use"}
