"""Each `ci/*-values.yaml` and the example application: rendered, linted, known to Kubernetes.

The golden files show a review what a change does: `GOLDEN=write` writes them anew, and fails.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import helm_python
import kubernetes_validate
import pytest
from deployment import chart
from deployment.chart import CASES, Manifests, Object

GOLDEN = Path(__file__).parent / "golden"
OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
MONITORS = "monitoring.coreos.com/v1"
CLUSTERS_CHOICE = {"openshift"}
"""Cases in which the user is the cluster's to choose."""


def rendered(case: str) -> Manifests:
    if case == "orders":
        return chart.render_orders()
    if case.startswith("orders-"):
        own = {"reconcile": {"enabled": False}} if "classic" in case else {}
        values = chart.values_of(case.removeprefix("orders-"))
        return chart.render_orders_with(own | {"token-proxy": values})
    return chart.render(chart.values_of(case))


SIDECARS = [case for case in CASES if case.startswith("sidecar")]
ALL = [*sorted(CASES), "orders", *(f"orders-{case}" for case in sorted(SIDECARS))]


def pods(case: str) -> list[Object]:
    made = [chart.pod_spec(each) for each in chart.objects(rendered(case))]
    return [spec for spec in made if spec]


def test_there_are_cases_for_both_uses() -> None:
    assert SIDECARS
    assert any(case.startswith("standalone") for case in CASES)


@pytest.mark.parametrize("case", ALL)
def test_what_is_rendered_is_what_was_reviewed(case: str) -> None:
    parts = []
    for path, text in rendered(case).items():
        # These are files that have tests of their own; what stands around them is the chart's.
        shown = re.sub(r"(?ms)^  groups:.*", "  groups: (token-proxy.rules.yaml)\n", text)
        shown = re.sub(r"(?ms)^(  token-proxy.dashboard.json): .*", r"\1: (the file)\n", shown)
        parts.append(f"# {path}\n{shown.strip()}\n")
    text = "---\n".join(parts)
    golden = GOLDEN / f"{case}.yaml"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
        pytest.fail("written")
    assert text == golden.read_text(encoding="utf-8"), "if that is meant: GOLDEN=write"


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(ALL)


@pytest.mark.parametrize("case", sorted(CASES))
def test_helm_finds_nothing_to_warn_of(case: str) -> None:
    report = helm_python.lint(chart.CHART, chart.values_of(case), strict=True)
    assert not report["errors"]
    assert [each for each in report["messages"] if each["severity"] > 1] == []


def test_the_example_is_put_together_by_helm_and_linted(tmp_path: Path) -> None:
    for folder in (chart.CHART, chart.ORDERS):
        shutil.copytree(folder, tmp_path / folder.relative_to(chart.ROOT))
    orders = tmp_path / chart.ORDERS.relative_to(chart.ROOT)
    helm_python.dependency_update(orders)
    [dependency] = helm_python.dependency_list(orders)
    assert dependency["status"] == "ok"
    report = helm_python.lint(orders, strict=True, with_subcharts=True)
    assert not report["errors"]
    made = helm_python.Chart.load(orders).render(name=chart.RELEASE, namespace=chart.NAMESPACE)
    assert {path: text for path, text in made.items() if text.strip()} == chart.render_orders()


@pytest.mark.parametrize("case", ALL)
def test_kubernetes_knows_every_field(case: str) -> None:
    known = [each for each in chart.objects(rendered(case)) if each["apiVersion"] != MONITORS]
    assert known
    for thing in known:
        for version in (OLDEST, NEWEST):
            kubernetes_validate.validate(thing, version, strict=True)


def test_kubernetes_would_have_found_a_field_that_it_does_not_know() -> None:
    thing = chart.one(rendered("orders"), "Deployment")
    chart.sidecar(thing)["startupprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="startupprobe"):
        kubernetes_validate.validate(thing, NEWEST, strict=True)


@pytest.mark.parametrize("case", ALL)
def test_every_container_meets_the_restricted_standard(case: str) -> None:
    for spec in pods(case):
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        allowed = {"configMap", "secret", "projected", "name"}
        assert all(set(volume) <= allowed for volume in spec.get("volumes", []))
        for container in chart.containers(spec):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True
            assert context["runAsNonRoot"] is True
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert context.get("runAsUser", 0) > 0 or case in CLUSTERS_CHOICE


@pytest.mark.parametrize("case", ALL)
def test_every_container_says_what_it_needs_and_which_image_it_is(case: str) -> None:
    for spec in pods(case):
        for container in chart.containers(spec):
            resources = container["resources"]
            assert {"cpu", "memory"} <= set(resources["requests"])
            assert "memory" in resources["limits"]
            image = container["image"]
            assert "@sha256:" in image or re.search(r":[^:/]+$", image), image
            assert not image.endswith(":latest")


@pytest.mark.parametrize("case", ALL)
def test_every_lasting_container_has_probes_and_no_file_is_mounted_alone(case: str) -> None:
    for spec in pods(case):
        for container in chart.containers(spec):
            if container["name"] not in {"call", "reconcile"}:
                assert {"startupProbe", "livenessProbe"} <= set(container)
            mounts = container.get("volumeMounts", [])
            assert not any("subPath" in mount for mount in mounts)
            volumes = {volume["name"] for volume in spec.get("volumes", [])}
            assert {mount["name"] for mount in mounts} <= volumes


@pytest.mark.parametrize("case", ALL)
def test_no_secret_is_made(case: str) -> None:
    assert all(each["kind"] != "Secret" for each in chart.objects(rendered(case)))


@pytest.mark.parametrize("case", ALL)
def test_every_name_and_label_is_short_enough_and_every_object_in_a_namespace(case: str) -> None:
    seen = set()
    for each in chart.objects(rendered(case)):
        meta = each["metadata"]
        key = (each["kind"], meta["name"])
        assert key not in seen
        seen.add(key)
        assert len(meta["name"]) <= 63
        assert all(len(str(value)) <= 63 for value in meta["labels"].values())
        assert all(isinstance(value, str) for value in meta.get("annotations", {}).values())
