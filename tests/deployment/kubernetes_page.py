"""`docs/kubernetes.md` taken apart, and an application's chart made of what it shows."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
CHART = ROOT / "helm/token-proxy"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_YAML = [text for language, text in _BLOCK.findall(PAGE) if language == "yaml"]
_PARSED = [list(yaml.safe_load_all(text)) for text in _YAML]


def blocks(language: str) -> list[str]:
    """Return the page's blocks of one language."""
    return [text for found, text in _BLOCK.findall(PAGE) if found == language]


def values() -> list[dict[str, Any]]:
    """Return what the page shows of an application's values, in its order."""
    return [yaml.safe_load(text) for text in _YAML if text.startswith("# values.yaml\n")]


def values_of_the_chart() -> list[dict[str, Any]]:
    """Return what it shows of values of the chart itself."""
    return [yaml.safe_load(text) for text in _YAML if text.startswith("# values.yaml of a release")]


def manifests() -> list[dict[str, Any]]:
    """Return the Kubernetes objects that it shows."""
    found = [document for documents in _PARSED for document in documents]
    return [document for document in found if {"apiVersion", "kind"} <= set(document)]


def values_for_openshift() -> dict[str, Any]:
    """Return the values that it says to hand to Helm there."""
    [text] = [text for text in _YAML if text.startswith("# openshift.yaml\n")]
    return dict(yaml.safe_load(text))


def shown_pod() -> dict[str, Any]:
    """Return the pod's `spec` that the page shows as the outcome of its first values."""
    [text] = [text for text in _YAML if text.startswith("spec:\n")]
    return dict(yaml.safe_load(text)["spec"])


def together(first: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    """Return an application's values: what `then` says of the proxy in place of what `first` does.

    A section of `config` that is shown again is shown whole.
    """
    ours, theirs = first["token-proxy"], then["token-proxy"]
    config = {**ours["config"], **theirs.get("config", {})}
    return {"token-proxy": {**ours, **theirs, "config": config}}


def rendered(
    directory: Path,
    template: str,
    of_values: dict[str, Any],
    given: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Make a chart called orders of these, and return what the real Helm makes of it.

    `of_values` are the chart's own, `given` those that somebody hands to Helm.
    """
    chart = directory / "orders"
    shutil.copytree(CHART, chart / "charts/token-proxy")
    [shown] = [yaml.safe_load(text) for text in _YAML if text.startswith("# Chart.yaml\n")]
    about = {"apiVersion": "v2", "name": "orders", "version": "0.1.0", **shown}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    (chart / "values.yaml").write_text(yaml.safe_dump(of_values))
    (chart / "templates").mkdir()
    (chart / "templates/orders.yaml").write_text(template)
    return _objects(chart, given or {})


def rendered_alone(of_values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the real Helm makes of the chart by itself."""
    return _objects(CHART, of_values)


def _objects(chart: Path, of_values: dict[str, Any]) -> list[dict[str, Any]]:
    with helm_python.Chart.load(chart) as loaded:
        loaded.validate_schema(of_values)
        files = loaded.render(of_values, name="orders", namespace="shop")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [one for text in texts for one in yaml.load_all(text, loader) if one]
