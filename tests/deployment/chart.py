"""The chart and the example application, rendered by Helm itself; nothing touches a network.

`render` and `render_orders` return manifests by template, `objects` the parsed ones. A refusal is
a `HelmError`, whose text `refusal` returns as an operator sees it.
"""

from __future__ import annotations

import io
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "token-proxy"
ORDERS = ROOT / "helm" / "examples" / "orders"
CASES = {
    path.name.removesuffix("-values.yaml"): path for path in (CHART / "ci").glob("*-values.yaml")
}
RELEASE, NAMESPACE = "shop", "web"

# What is written in C is ten times as fast, where the wheel has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Manifests = dict[str, str]
Object = dict[str, Any]


def values_of(case: str) -> dict[str, Any]:
    """Return the values of `ci/CASE-values.yaml`."""
    return parsed(CASES[case].read_text(encoding="utf-8"))


def parsed(text: str) -> dict[str, Any]:
    """Return one document of YAML."""
    values: dict[str, Any] = yaml.load(text, Loader=_LOADER)  # noqa: S506 - it is a safe one
    return values


@cache
def _chart() -> helm_python.Chart:
    return helm_python.Chart.load(CHART)


@cache
def _orders() -> helm_python.Chart:
    """Load the example with the chart where `helm dependency update` would put it."""
    files = [(path, f"orders/{path.relative_to(ORDERS)}") for path in _files(ORDERS)]
    return _packed([(name, path.read_bytes()) for path, name in files], "orders")


def _packed(files: list[tuple[str, bytes]], parent: str) -> helm_python.Chart:
    """Load a chart of `files` with this one in its charts/, without writing either."""
    vendored = [
        (f"{parent}/charts/token-proxy/{path.relative_to(CHART)}", path.read_bytes())
        for path in _files(CHART)
    ]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in [*files, *vendored]:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return helm_python.Chart.load_archive(archive.getvalue())


def _files(folder: Path) -> list[Path]:
    """Return what belongs to a chart: what .helmignore leaves."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.relative_to(folder).parts[0] not in {"charts", "ci", "Chart.lock", ".gitignore"}
    ]


def render(values: dict[str, Any], *, name: str = RELEASE) -> Manifests:
    """Render the chart as a release of its own, tests and NOTES too."""
    return _nonempty(_chart().render(values=values, name=name, namespace=NAMESPACE))


def render_orders(values: dict[str, Any] | None = None, *, name: str = RELEASE) -> Manifests:
    """Render the example application; `values` are for the chart in it."""
    given = {"token-proxy": values} if values else None
    return _nonempty(_orders().render(values=given, name=name, namespace=NAMESPACE))


def render_orders_with(values: dict[str, Any]) -> Manifests:
    """Render the example application with values of its own."""
    return _nonempty(_orders().render(values=values, name=RELEASE, namespace=NAMESPACE))


def render_in_parent(template: str, values: dict[str, Any]) -> Manifests:
    """Render a chart of one template that has this chart as a dependency."""
    meta = "{apiVersion: v2, name: parent, version: 0.1.0}"
    files = {"Chart.yaml": meta, "values.yaml": "{}", "templates/one.yaml": template}
    return render_files(files, values)


def render_files(files: dict[str, str], values: dict[str, Any]) -> Manifests:
    """Render a chart called `parent` of these files, with this chart in its charts/."""
    packed = [(f"parent/{name}", text.encode()) for name, text in files.items()]
    made = _packed(packed, "parent")
    return _nonempty(made.render(values=values, name=RELEASE, namespace=NAMESPACE))


def _nonempty(rendered: Manifests) -> Manifests:
    return {path: text for path, text in sorted(rendered.items()) if text.strip()}


def objects(rendered: Manifests) -> list[Object]:
    """Return the manifests as values; NOTES is none."""
    return [
        document
        for path, text in rendered.items()
        if not path.endswith("NOTES.txt")
        for document in yaml.load_all(text, Loader=_LOADER)
        if document
    ]


def notes(rendered: Manifests) -> str:
    """Return NOTES.txt of a release of the chart."""
    return rendered["token-proxy/templates/NOTES.txt"]


def one(rendered: Manifests, kind: str, name: str | None = None) -> Object:
    """Return the only object of a kind (and name)."""
    [found] = [
        each
        for each in objects(rendered)
        if each["kind"] == kind and name in (None, each["metadata"]["name"])
    ]
    return found


def pod_spec(thing: Object) -> Object | None:
    """Return the spec of the pods that an object makes, or is."""
    match thing["kind"]:
        case "Pod":
            spec = thing["spec"]
        case "Deployment" | "Job":
            spec = thing["spec"]["template"]["spec"]
        case "CronJob":
            spec = thing["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        case _:
            return None
    return dict(spec)


def containers(spec: Object) -> list[Object]:
    """Return all containers of a pod, native sidecars first."""
    return [*spec.get("initContainers", []), *spec["containers"]]


def sidecar(thing: Object) -> Object:
    """Return the proxy's container of what makes pods."""
    spec = pod_spec(thing)
    assert spec is not None
    [found] = [each for each in containers(spec) if each["name"] == "token-proxy"]
    return found


def refusal(values: dict[str, Any]) -> str:
    """Return what Helm says when it does not render the chart with `values`."""
    try:
        rendered = render(values)
    except helm_python.HelmError as error:
        return str(error)
    raise AssertionError(f"it rendered {list(rendered)}")


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Return values put together as Helm does it with several `-f`."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            before = whole.get(key)
            both = isinstance(before, dict) and isinstance(value, dict)
            whole[key] = merged(before, value) if both else value  # type: ignore[arg-type]
    return whole


def parsed_sets(*expressions: str) -> dict[str, Any]:
    """Return the values that `--set EXPRESSION` makes."""
    return merged(*(helm_python.parse_set_string(each) for each in expressions))
