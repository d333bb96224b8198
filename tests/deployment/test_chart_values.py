"""values.yaml, its schema, and the table of the README say the same; a typo fails."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from deployment import chart

import proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES_TEXT = (chart.CHART / "values.yaml").read_text(encoding="utf-8")
VALUES: dict[str, Any] = chart.parsed(VALUES_TEXT)
SCHEMA: dict[str, Any] = json.loads((chart.CHART / "values.schema.json").read_text("utf-8"))
README = (chart.CHART / "README.md").read_text(encoding="utf-8")


@cache
def writer() -> Any:
    spec = importlib.util.spec_from_file_location(
        "write_schema", chart.ROOT / "helm" / "write_schema.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaves(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        at = f"{path}.{key}".removeprefix(".")
        if isinstance(value, dict) and value:
            yield from leaves(value, at)
        else:
            yield at, value


def schema_at(path: str) -> dict[str, Any]:
    found = SCHEMA
    for key in path.split("."):
        found = found["properties"][key]
    return found


def nested(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def test_schema_and_readme_are_what_is_written_from_values_and_program() -> None:
    write = writer()
    described = write.comments(VALUES_TEXT)
    assert write.values_schema(VALUES, described) == SCHEMA, "run: python helm/write_schema.py"
    assert write.table(VALUES, described) in README, "run: python helm/write_schema.py"


@pytest.mark.parametrize("path", [path for path, _ in leaves(VALUES)])
def test_a_value_has_a_comment_and_a_described_schema_and_a_row_in_the_readme(path: str) -> None:
    if path.startswith("topologySpreadConstraints"):
        path = "topologySpreadConstraints"
    comment = writer().comments(VALUES_TEXT).get(path, "")
    assert comment.endswith(".")
    assert schema_at(path)["description"] == comment
    assert f"| `{path}` |" in README


def test_the_schema_is_draft_7_with_all_of_it_inside() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    text = json.dumps(SCHEMA)
    references = text.count('"$ref"')
    assert references
    assert references == text.count('"$ref": "#/definitions/')
    assert "2020-12" not in text


@pytest.mark.parametrize("case", sorted(chart.CASES))
def test_the_schema_takes_the_cases_and_what_helm_hands_to_dependencies(case: str) -> None:
    whole = chart.merged(VALUES, chart.values_of(case), {"global": {"anything": {"at": "all"}}})
    jsonschema.Draft7Validator(SCHEMA).validate(whole)
    assert chart.render(chart.values_of(case) | {"global": {"anything": 1}})


@pytest.mark.parametrize("of_its_own", [True, False])
def test_a_configmap_of_ones_own_takes_the_place_of_a_config_that_is_blanked(
    of_its_own: bool,  # noqa: FBT001 - a table's column
) -> None:
    """`config: null` is how a second values file takes away what the first one has."""
    blank = {"config": None, "existingConfigMap": "ours", "reload": "restart"}
    values = chart.merged(chart.values_of("sidecar"), blank)
    rendered = chart.render(values | {"standalone": {"enabled": of_its_own}})
    spec = chart.pod_spec(chart.one(rendered, "Deployment" if of_its_own else "Pod"))
    assert spec
    assert {"name": "token-proxy-config", "configMap": {"name": "ours"}} in spec["volumes"]


SECTIONS = sorted({path.rpartition(".")[0] for path, _ in leaves(VALUES)})
OPEN = {"monitoring.dashboard.labels", "resources.limits", "resources.requests"}
OPEN |= {"podSecurityContext"}
"""Maps whose keys are Kubernetes' or the operator's."""


@pytest.mark.parametrize("section", [each for each in SECTIONS if each not in OPEN])
def test_a_typo_fails_wherever_it_is(section: str) -> None:
    values = chart.merged(
        chart.values_of("sidecar"), nested(f"{section}.typo".removeprefix("."), True)
    )
    assert "'typo' not allowed" in chart.refusal(values)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"upstream": {}}, "'upstream' not allowed"),
        ({"clients": {"a": {"client_idd": "x"}}}, "'client_idd' not allowed"),
        ({"shutdown": {"drain_seconds": [1]}}, "drain_seconds"),
        ({"log": {"level": "loud"}}, "/config/log"),
        ({"upstreams": {"a": {"url": "https://a.example"}}}, "missing property 'audience'"),
        ({"upstreams": None}, "config.upstreams names nothing"),
    ],
)
def test_the_configuration_is_held_to_the_programs_schema(
    config: dict[str, Any], said: str
) -> None:
    values = chart.merged(chart.values_of("sidecar"), {"config": config})
    assert said in chart.refusal(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("reload", "cold"),
        ("ports.admin", 70000),
        ("image.digest", "sha256:12"),
        ("secretMountPath", "relative"),
        ("fullnameOverride", "Upper"),
        ("extraEnv", {"A": {"value": "x"}}),
        ("serviceAccountToken.expirationSeconds", 60),
        ("monitoring.prometheusRule.runbookBaseUrl", "https://wiki.example"),
        ("test.path", "health"),
        ("networkPolicy.egress", [{"ports": [443]}]),
        ("probes.liveness.periodSeconds", 0),
        ("standalone.enabled", "true"),
    ],
)
def test_a_value_of_the_wrong_kind_fails(path: str, value: Any) -> None:
    said = chart.refusal(chart.merged(chart.values_of("sidecar"), nested(path, value)))
    assert path.partition(".")[0] in said


def test_most_things_can_be_set_on_the_command_line() -> None:
    sets = chart.parsed_sets(
        "standalone.enabled=true",
        "standalone.replicas=1",
        "existingSecret=orders-oauth",
        "extraEnv.CLIENT_ID=4711",
        "extraEnv.KEY.valueFrom.secretKeyRef.name=keys",
        "extraEnv.KEY.valueFrom.secretKeyRef.key=k",
        "ports.proxy=8181",
        "image.repository=registry.example/token-proxy",
        "securityContext.runAsUser=null",
        "config.shutdown.drain_seconds=40",
        "config.limits.body_bytes_max=104857600",
        "config.clients.b.token_endpoint=https://auth.example.com/token",
        "config.clients.b.client_id=${CLIENT_ID}",
        "config.clients.b.client_secret_file=/run/secrets/token-proxy/secret",
        "config.audiences.o.client=b",
        "config.upstreams.o.url=https://api.example.com",
        "config.upstreams.o.audience=o",
    )
    rendered = chart.render(sets)
    deployment = chart.one(rendered, "Deployment")
    container = chart.sidecar(deployment)
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 50
    assert container["env"] == [
        {"name": "CLIENT_ID", "value": "4711"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}},
    ]
    assert "runAsUser" not in container["securityContext"]
    config = chart.parsed(chart.one(rendered, "ConfigMap")["data"]["token-proxy.yaml"])
    assert config["listen"] == "0.0.0.0:8181"
    # Not 1.048576e+08, which is what Go makes of large numbers if it is let.
    assert config["limits"]["body_bytes_max"] == 104857600
    assert "104857600" in chart.one(rendered, "ConfigMap")["data"]["token-proxy.yaml"]


def test_the_chart_names_the_programs_version_and_what_changed() -> None:
    meta = chart.parsed((chart.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert meta["appVersion"] == proxy.__version__
    assert "kubeVersion" in meta
    changes = chart.parsed(meta["annotations"]["artifacthub.io/changes"])
    assert all(set(change) == {"kind", "description"} for change in changes)


def test_the_example_depends_on_the_version_that_is_here() -> None:
    meta = chart.parsed((chart.ORDERS / "Chart.yaml").read_text(encoding="utf-8"))
    [dependency] = meta["dependencies"]
    own = chart.parsed((chart.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert dependency["version"] == own["version"]
    assert (
        chart.ORDERS / dependency["repository"].removeprefix("file://")
    ).resolve() == chart.CHART
    assert "condition" not in dependency
