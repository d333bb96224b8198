"""What kind of YAML a page shows, and what each kind is held to.

`SHAPES` is the table: the first that recognises a document checks it. A document that none
recognises may not be on a page. What tests/deployment and tests/monitoring find out with Helm,
promtool and the like is not found out again here.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import helm_python
import jsonschema
import kubernetes_validate
import trustme
import yaml

from proxy.config.loader import load_text
from proxy.config.schema import Config

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/token-proxy"
KUBERNETES = "1.33"
OPERATORS_KINDS = {"PodMonitor", "PrometheusRule", "ServiceMonitor"}
"""Kinds that Kubernetes itself does not know."""
VALUE = "example-0123456789-0123456789-0123456789"

_VARIABLE = re.compile(r"\$\{\w+(?::-([^}]*))?\}")


def check(text: str, directory: Path) -> None:
    """Fail unless each document is of a known kind and right; files go below `directory`."""
    for document in yaml.safe_load_all(text):
        for name, recognises, holds in SHAPES:
            if recognises(document):
                print(name)
                holds(document, directory)
                break
        else:
            raise AssertionError(f"YAML of no known kind: {list(document)}")


def _keys(document: Any) -> set[str]:
    return set(document) if isinstance(document, dict) else set()


def _is_configuration(document: Any) -> bool:
    return bool(_keys(document)) and _keys(document) <= set(Config.model_fields)


def _configuration(document: Any, directory: Path) -> None:
    """Load it; a part of a file gets the rest of one. Every file that it names is made."""
    whole = {**_rest(document), **document}
    text = yaml.safe_dump(_with_files(whole, directory))
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)", text), VALUE)
    load_text(text, "page.yaml", variables, directory)


def _rest(part: dict[str, Any]) -> dict[str, Any]:
    """Return sections that fit what is there."""
    client = {"token_endpoint": "https://auth.example.com/token", "authentication": "none"}
    audiences = part.get("audiences", {})
    wanted = [each.get("audience") for each in part.get("upstreams", {}).values()]
    names = [each["client"] for each in audiences.values()] or list(part.get("clients", {"us": {}}))
    for name in [*filter(None, wanted)] or names:
        audiences = {name: {"client": names[0]}, **audiences}
    [first, *_] = audiences
    return {
        "clients": {name: {**client, "client_id": "us"} for name in names},
        "audiences": audiences,
        "upstreams": {"rest": {"url": "https://api.example.com", "audience": first}},
    }


def _with_files(tree: Any, directory: Path, key: str = "") -> Any:
    """Return it with its absolute paths moved below `directory`, where a file is put for each."""
    if isinstance(tree, dict):
        return {name: _with_files(value, directory, name) for name, value in tree.items()}
    if not (isinstance(tree, str) and key.endswith("_file")):
        return tree
    file = directory / _VARIABLE.sub(lambda found: found[1] or "", tree).lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_content(key, file.suffix), encoding="utf-8")
    return str(file)


def _content(key: str, suffix: str) -> str:
    authority, certificate = _certificates()
    match key:
        case "client_secret_file":
            return f"{VALUE}\n"
        case "client_assertion_file":
            return "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJvcmRlcnMifQ.c2lnbmF0dXJl"
        case "ca_file":
            return authority.cert_pem.bytes().decode()
        case "certificate_file":
            return "".join(blob.bytes().decode() for blob in certificate.cert_chain_pems)
        case "private_key_file" if suffix == ".jwk":
            return json.dumps(RFC_8037_KEY)
        case "key_file" | "private_key_file":
            return certificate.private_key_pem.bytes().decode()
    raise AssertionError(f"no example of what {key} holds")


RFC_8037_KEY = {
    "kty": "OKP",
    "crv": "Ed25519",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
"""RFC 8037, appendix A.1."""


@functools.cache
def _certificates() -> tuple[trustme.CA, trustme.LeafCert]:
    authority = trustme.CA()
    return authority, authority.issue_cert("billing.example.com")


def _manifest(document: Any, _directory: Path) -> None:
    if document["kind"] in OPERATORS_KINDS:
        assert {"metadata", "spec"} <= _keys(document)
    else:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def _pod(document: Any, _directory: Path) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shown"}, **document}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def _is_chart(document: Any) -> bool:
    return "dependencies" in _keys(document) or _keys(document) >= {"apiVersion", "name", "version"}


def _chart(document: Any, _directory: Path) -> None:
    own = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    for dependency in document["dependencies"]:
        assert dependency["name"] == own["name"]
        assert dependency["version"] == own["version"], dependency
        assert "condition" not in dependency, "the templates would vanish with it"


def _chart_values() -> set[str]:
    file = CHART / "values.yaml"
    return _keys(yaml.safe_load(file.read_text(encoding="utf-8"))) if file.exists() else set()


def _are_values(document: Any) -> bool:
    keys = _keys(document)
    return bool(keys) and (keys == {"token-proxy"} or keys <= _chart_values())


def _values(document: Any, _directory: Path) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    own = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(own | document.get("token-proxy", document), schema)


def check_template(text: str, directory: Path) -> None:
    """Have Helm render it in a chart that has ours as a dependency, with values of ours."""
    shutil.copytree(CHART, directory / "charts/token-proxy")
    chart = {
        "apiVersion": "v2",
        "name": "orders",
        "version": "1.0.0",
        "dependencies": [{"name": "token-proxy", "version": "*"}],
    }
    (directory / "Chart.yaml").write_text(yaml.safe_dump(chart), encoding="utf-8")
    (directory / "templates").mkdir()
    (directory / "templates/shown.yaml").write_text(text, encoding="utf-8")
    values = yaml.safe_load((CHART / "ci/sidecar-values.yaml").read_text(encoding="utf-8"))
    with helm_python.Chart.load(str(directory)) as loaded:
        rendered = loaded.render({"token-proxy": values}, name="page", namespace="shop")
    assert yaml.safe_load(rendered["orders/templates/shown.yaml"]), "it comes to nothing"


def _compose(document: Any, _directory: Path) -> None:
    for name, service in document["services"].items():
        assert {"image", "build"} & _keys(service), name


def _prometheus(document: Any, _directory: Path) -> None:
    for job in document.get("scrape_configs", []):
        assert "job_name" in job
    assert all(isinstance(each, str) for each in document.get("rule_files", []))


def _alertmanager(document: Any, _directory: Path) -> None:
    rules = (CHART / "files/token-proxy.rules.yaml").read_text(encoding="utf-8")
    names = re.findall(r"alert: (\w+)", rules)
    for rule in document.get("inhibit_rules", []):
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            label, operator, value = re.fullmatch(r'(\w+) *(=~?) *"?(.*?)"?', matcher).groups()
            assert label == "alertname"
            matches = re.fullmatch if operator == "=~" else str.__eq__
            assert any(matches(value, name) for name in names), matcher


SHAPES: tuple[tuple[str, Callable[[Any], bool], Callable[[Any, Path], None]], ...] = (
    ("a configuration, or top-level sections of one", _is_configuration, _configuration),
    ("a manifest for Kubernetes", lambda it: {"apiVersion", "kind"} <= _keys(it), _manifest),
    ("the spec of a Pod", lambda it: _keys(it) == {"spec"}, _pod),
    ("a Chart.yaml, or its dependencies", _is_chart, _chart),
    ("values of the chart, or of a chart around it", _are_values, _values),
    ("a Compose file", lambda it: "services" in _keys(it), _compose),
    ("Prometheus", lambda it: bool({"rule_files", "scrape_configs"} & _keys(it)), _prometheus),
    ("Alertmanager", lambda it: bool({"route", "inhibit_rules"} & _keys(it)), _alertmanager),
)
