"""The Deployment and what goes with it; names; what is scraped."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from deployment import chart
from integration.foreign_server import require

if TYPE_CHECKING:
    from pathlib import Path

STANDALONE = chart.values_of("standalone")
FULL = chart.render(chart.values_of("standalone-full"))


def kinds(rendered: chart.Manifests) -> list[str]:
    return [each["kind"] for each in chart.objects(rendered)]


def with_values(**values: Any) -> chart.Manifests:
    return chart.render(chart.merged(STANDALONE, values))


def test_a_sidecars_release_has_a_configuration_and_nothing_that_runs() -> None:
    assert kinds(chart.render(chart.values_of("sidecar"))) == ["ConfigMap", "Pod"]
    assert kinds(chart.render(chart.values_of("monitoring-only"))) == [
        "ConfigMap",
        "PrometheusRule",
    ]


@pytest.mark.parametrize(
    ("values", "is_made"),
    [
        ({"standalone": {"replicas": 1}}, False),
        ({"standalone": {"replicas": 2}}, True),
        ({"podDisruptionBudget": {"enabled": False}}, False),
        ({"autoscaling": {"enabled": True, "minReplicas": 1}}, False),
        ({"autoscaling": {"enabled": True}, "standalone": {"replicas": 1}}, True),
    ],
)
def test_a_disruption_budget_never_stops_a_node_from_being_drained(
    values: dict[str, Any],
    is_made: bool,  # noqa: FBT001 - a table's column
) -> None:
    rendered = with_values(**values)
    assert ("PodDisruptionBudget" in kinds(rendered)) is is_made
    if is_made:
        spec = chart.one(rendered, "PodDisruptionBudget")["spec"]
        assert spec["maxUnavailable"] == 1
        assert "minAvailable" not in spec


def test_an_autoscaler_has_the_number_of_pods_to_itself() -> None:
    assert "replicas" not in chart.one(FULL, "Deployment")["spec"]
    target = chart.one(FULL, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target["name"] == chart.one(FULL, "Deployment")["metadata"]["name"]
    [metric] = chart.one(FULL, "HorizontalPodAutoscaler")["spec"]["metrics"]
    counted = metric["containerResource"]["container"]
    assert counted == chart.sidecar(chart.one(FULL, "Deployment"))["name"]


def test_a_rollout_takes_no_pod_away_before_there_is_another() -> None:
    strategy = chart.one(FULL, "Deployment")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_services_of_the_namespace_put_no_variables_into_the_proxys_pods() -> None:
    """One called `token-proxy` would bring TOKEN_PROXY_PORT."""
    for kind in ("Deployment", "Pod"):
        spec = chart.pod_spec(chart.one(FULL, kind))
        assert spec
        assert spec["enableServiceLinks"] is False


def test_whatever_selects_pods_selects_those_of_the_deployment() -> None:
    spec = chart.one(FULL, "Deployment")["spec"]
    labels = spec["template"]["metadata"]["labels"].items()
    selectors = [
        spec["selector"]["matchLabels"],
        spec["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
        chart.one(FULL, "Service")["spec"]["selector"],
        chart.one(FULL, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        chart.one(FULL, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels for selector in selectors)
    service = chart.one(FULL, "Service")["metadata"]["labels"].items()
    assert chart.one(FULL, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items() <= service
    # The pod of `helm test` is none of them.
    test = chart.one(FULL, "Pod")["metadata"]["labels"].items()
    assert not any(selector.items() <= test for selector in selectors)


def test_the_service_leads_to_ports_that_the_container_has() -> None:
    container = chart.sidecar(chart.one(FULL, "Deployment"))
    names = {port["name"]: port["containerPort"] for port in container["ports"]}
    ports = chart.one(FULL, "Service")["spec"]["ports"]
    assert {port["targetPort"] for port in ports} == set(names)
    config = chart.parsed(chart.one(FULL, "ConfigMap")["data"]["token-proxy.yaml"])
    assert config["listen"] == f"0.0.0.0:{names['tp-proxy']}"
    assert config["admin"]["listen"] == f"0.0.0.0:{names['tp-admin']}"


def test_a_network_policy_lets_in_who_is_named_and_out_to_what_is_named() -> None:
    spec = chart.one(FULL, "NetworkPolicy")["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    proxy, admin = spec["ingress"]
    assert proxy["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert proxy["from"] == [{"podSelector": {"matchLabels": {"calls": "orders"}}}]
    assert admin["ports"] == [{"port": 9090, "protocol": "TCP"}]
    dns, first, second, own = spec["egress"]
    assert {(port["port"], port["protocol"]) for port in dns["ports"]} == {
        (53, "UDP"),
        (53, "TCP"),
    }
    assert first["to"] == [{"ipBlock": {"cidr": "203.0.113.0/24"}}]
    assert [port["port"] for port in first["ports"]] == [443]
    assert [port["port"] for port in second["ports"]] == [443, 8443]
    assert own["to"] == [{"podSelector": {"matchLabels": {"app": "stock"}}}]
    default = with_values(networkPolicy={"enabled": True, "egress": [{"cidr": "0.0.0.0/0"}]})
    proxy, _ = chart.one(default, "NetworkPolicy")["spec"]["ingress"]
    assert proxy["from"] == [{"podSelector": {}}]


def test_a_pod_ends_after_it_has_left_the_load_balancers_and_drained() -> None:
    spec = chart.one(chart.render(STANDALONE), "Deployment")["spec"]["template"]["spec"]
    pause = chart.sidecar(chart.one(chart.render(STANDALONE), "Deployment"))["lifecycle"]
    assert pause == {"preStop": {"sleep": {"seconds": 5}}}
    assert spec["terminationGracePeriodSeconds"] == 25 + 5 + 5


@pytest.mark.parametrize("name", ["token-proxy", "x", "x-token-proxy", "r" * 53])
def test_names_are_short_enough_whatever_the_release_is_called(name: str) -> None:
    rendered = chart.render(
        chart.merged(STANDALONE, {"monitoring": {"dashboard": {"enabled": True}}}), name=name
    )
    names = {each["metadata"]["name"] for each in chart.objects(rendered)}
    assert all(len(each) <= 63 for each in names)
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", each) for each in names)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a", "b"),
        ("x", "x-token-proxy"),
        ("token-proxy", "token-proxy-token-proxy"),
        ("r" * 52 + "1", "r" * 52 + "2"),
    ],
)
def test_two_releases_in_one_namespace_have_nothing_in_common(first: str, second: str) -> None:
    values = chart.merged(
        chart.values_of("standalone-full"),
        {"nameOverride": "", "serviceAccount": {"name": ""}},
        {"monitoring": {"dashboard": {"enabled": True}, "prometheusRule": {"enabled": True}}},
    )

    def made(name: str) -> set[tuple[str, str]]:
        things = chart.objects(chart.render(values, name=name))
        return {(each["kind"], each["metadata"]["name"]) for each in things}

    assert not made(first) & made(second)
    selectors = [
        chart.one(chart.render(values, name=name), "Service")["spec"]["selector"]
        for name in (first, second)
    ]
    assert selectors[0] != selectors[1]


@pytest.mark.parametrize("override", ["nameOverride", "fullnameOverride"])
def test_two_in_one_release_do_not_get_each_others_calls(override: str) -> None:
    about = {
        "apiVersion": "v2",
        "name": "parent",
        "version": "0.1.0",
        "dependencies": [
            {
                "name": "token-proxy",
                "alias": name,
                "version": "0.1.0",
                "condition": f"{name}.enabled",
            }
            for name in ("orders", "stock")
        ],
    }
    files = {"Chart.yaml": yaml.safe_dump(about), "values.yaml": "{}"}
    values = {
        name: chart.merged(STANDALONE, {override: name, "enabled": True})
        for name in ("orders", "stock")
    }
    things = chart.objects(chart.render_files(files, values))
    labels = [
        each["spec"]["template"]["metadata"]["labels"].items()
        for each in things
        if each["kind"] == "Deployment"
    ]
    selectors = [each["spec"]["selector"] for each in things if each["kind"] == "Service"]
    assert len(labels) == len(selectors) == 2
    for selector in selectors:
        assert sum(selector.items() <= each for each in labels) == 1


@pytest.mark.parametrize("kind", ["podMonitor", "serviceMonitor", "prometheusRule"])
def test_monitors_are_left_out_where_nobody_knows_them_and_notes_say_so(kind: str) -> None:
    on = {"monitoring": {kind: {"enabled": True}}}
    rendered = with_values(**on)
    assert not {"PodMonitor", "ServiceMonitor", "PrometheusRule"} & set(kinds(rendered))
    assert "LEFT OUT" in chart.notes(rendered)
    known = with_values(**chart.merged(on, {"monitoring": {"assumeApi": True}}))
    assert kind.lower() in {each.lower() for each in kinds(known)}
    assert "LEFT OUT" not in chart.notes(known)


def test_what_scrapes_asks_the_port_that_the_pods_have() -> None:
    orders = chart.render_orders(chart.values_of("sidecar-full"))
    monitor = chart.one(orders, "PodMonitor")["spec"]
    deployment = chart.one(orders, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    [endpoint] = monitor["podMetricsEndpoints"]
    assert endpoint == {"port": "tp-admin", "path": "/metrics", "interval": "15s"}
    assert endpoint["port"] in {port["name"] for port in chart.sidecar(deployment)["ports"]}
    [endpoint] = chart.one(FULL, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["port"] in {
        port["name"] for port in chart.one(FULL, "Service")["spec"]["ports"]
    }


def test_the_alerts_are_those_of_the_file_with_ones_own_runbooks(tmp_path: Path) -> None:
    require(shutil.which("promtool"), "promtool is missing: install the package prometheus")
    file = chart.CHART / "files" / "token-proxy.rules.yaml"
    spec = chart.one(chart.render(chart.values_of("sidecar-full")), "PrometheusRule")["spec"]
    placeholder = "https://token-proxy.example/docs/runbooks/"
    text = file.read_text(encoding="utf-8").replace(placeholder, "https://wiki.example/runbooks/")
    assert spec == chart.parsed(text)
    assert "token-proxy.example" not in str(spec)
    assert "{{ $labels.audience }}" in str(spec)
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(spec), encoding="utf-8")
    subprocess.run(["promtool", "check", "rules", str(rules)], check=True, capture_output=True)


def test_the_dashboard_is_the_file_and_grafana_finds_it() -> None:
    dashboard = chart.one(
        chart.render(chart.values_of("sidecar-full")), "ConfigMap", "shop-token-proxy-dashboard"
    )
    file = chart.CHART / "files" / "token-proxy.dashboard.json"
    [text] = dashboard["data"].values()
    assert text.strip() == file.read_text(encoding="utf-8").strip()
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert dashboard["metadata"]["annotations"] == {"grafana_folder": "Platform"}


def test_notes_say_what_to_type_next() -> None:
    standalone = chart.notes(chart.render(STANDALONE))
    assert "kubectl -n web rollout status deployment/shop-token-proxy" in standalone
    assert "http://shop-token-proxy.web.svc:80" in standalone
    assert "helm test shop -n web" in standalone
    for case, key in (("sidecar", "initContainers:"), ("sidecar-classic", "    containers:")):
        text = chart.notes(chart.render(chart.values_of(case)))
        assert key in text
        assert '{{- include "token-proxy.sidecar" $proxy | nindent 8 }}' in text
