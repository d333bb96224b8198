"""The sidecar in the example application's pods, native and classic."""

from __future__ import annotations

from typing import Any

import helm_python
import pytest
from deployment import chart

NATIVE = chart.render_orders()
CLASSIC = chart.render_orders_with(
    {
        "reconcile": {"enabled": False},
        "token-proxy": {"sidecar": {"native": False}},
    }
)


def template(rendered: chart.Manifests, kind: str) -> dict[str, Any]:
    spec = chart.one(rendered, kind)["spec"]
    made: dict[str, Any] = (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec)["template"]
    return made


@pytest.mark.parametrize("kind", ["Deployment", "CronJob"])
def test_a_native_sidecar_starts_first_and_goes_on_running(kind: str) -> None:
    spec = template(NATIVE, kind)["spec"]
    [proxy] = spec["initContainers"]
    assert proxy["name"] == "token-proxy"
    assert proxy["restartPolicy"] == "Always"
    assert "token-proxy" not in {each["name"] for each in spec["containers"]}


def test_a_classic_sidecar_is_an_ordinary_container() -> None:
    spec = template(CLASSIC, "Deployment")["spec"]
    assert "initContainers" not in spec
    proxy = chart.sidecar(chart.one(CLASSIC, "Deployment"))
    assert "restartPolicy" not in proxy
    assert proxy in spec["containers"]


@pytest.mark.parametrize("rendered", [NATIVE, CLASSIC], ids=["native", "classic"])
def test_a_sidecar_cannot_take_its_pod_out_of_service(rendered: chart.Manifests) -> None:
    proxy = chart.sidecar(chart.one(rendered, "Deployment"))
    assert {key for key in proxy if key.endswith("Probe")} == {"startupProbe", "livenessProbe"}


def test_only_a_classic_sidecar_waits_before_it_ends() -> None:
    assert "lifecycle" not in chart.sidecar(chart.one(NATIVE, "Deployment"))
    lifecycle = chart.sidecar(chart.one(CLASSIC, "Deployment"))["lifecycle"]
    assert lifecycle == {"preStop": {"sleep": {"seconds": 5}}}


def test_the_pod_has_time_for_the_application_and_then_for_the_proxy() -> None:
    """20 of the application's own, 25 of `shutdown.drain_seconds`, 5 to spare; 5 of preStop."""
    seconds = "terminationGracePeriodSeconds"
    assert template(NATIVE, "Deployment")["spec"][seconds] == 50
    assert template(CLASSIC, "Deployment")["spec"][seconds] == 55
    full = chart.render_orders(chart.values_of("sidecar-full"))
    # 12.5 seconds of draining are 13.
    assert template(full, "Deployment")["spec"][seconds] == 20 + 13 + 5


def test_the_proxy_listens_inside_the_pod_and_is_probed_from_outside() -> None:
    text = chart.one(NATIVE, "ConfigMap")["data"]["token-proxy.yaml"]
    config = chart.parsed(text)
    assert config["listen"] == "127.0.0.1:8080"
    assert config["admin"]["listen"] == "0.0.0.0:9090"
    assert "allow_remote" not in config
    assert "allowed_hosts" not in config
    ports = chart.sidecar(chart.one(NATIVE, "Deployment"))["ports"]
    assert ports == [{"name": "tp-admin", "containerPort": 9090, "protocol": "TCP"}]


def test_the_application_is_told_where_to_call() -> None:
    full = chart.render_orders(chart.values_of("sidecar-full"))
    for rendered, url in ((NATIVE, "http://127.0.0.1:8080"), (full, "http://127.0.0.1:8081")):
        for kind, name in (("Deployment", "orders"), ("CronJob", "reconcile")):
            spec = template(rendered, kind)["spec"]
            [app] = [each for each in spec["containers"] if each["name"] == name]
            assert {"name": "ORDERS_API", "value": url} in app["env"]


def test_what_somebody_set_stays() -> None:
    own = {"listen": ["127.0.0.1:7000", "[::1]:7000"], "admin": {"listen": "[::]:9090"}}
    rendered = chart.render_orders({"config": own, "ports": {"proxy": 7000}})
    config = chart.parsed(chart.one(rendered, "ConfigMap")["data"]["token-proxy.yaml"])
    assert {key: config[key] for key in own} == own


SOCKET = {"config": {"listen": "unix:/run/token-proxy/proxy.sock"}}


def test_an_address_that_nothing_listens_on_is_not_handed_out() -> None:
    """A Unix socket, or a port that is not `ports.proxy`."""
    for own in (SOCKET, {"config": {"listen": "127.0.0.1:7000"}}):
        with pytest.raises(helm_python.HelmError, match="ends in :8080"):
            chart.render_orders(own)
        values = chart.merged(chart.values_of("sidecar"), own)
        said = chart.notes(chart.render(values))
        assert "127.0.0.1:8080" not in said
        assert "calls an address of config.listen" in said
        assert "ends in :8080" in chart.refusal(values | {"test": {"path": "/health"}})


def test_a_number_in_the_environment_is_the_number_that_was_written() -> None:
    environment = {"ID": 12345678, "RATIO": 0.5, "ON": True, "TEXT": "007"}
    rendered = chart.render_orders({"extraEnv": environment})
    told = {
        each["name"]: each["value"]
        for each in chart.sidecar(chart.one(rendered, "Deployment"))["env"]
    }
    assert told == {"ID": "12345678", "RATIO": "0.5", "ON": "true", "TEXT": "007"}


@pytest.mark.parametrize("kind", ["Deployment", "CronJob"])
def test_logs_and_exec_are_the_applications_unless_asked(kind: str) -> None:
    made = template(NATIVE, kind)
    default = made["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"]
    assert default in {each["name"] for each in made["spec"]["containers"]} - {"token-proxy"}


def test_a_change_restarts_pods_only_where_that_is_wanted() -> None:
    def annotations(reload: str, level: str) -> dict[str, str]:
        rendered = chart.render_orders({"reload": reload, "config": {"log": {"level": level}}})
        return dict(template(rendered, "Deployment")["metadata"]["annotations"])

    assert annotations("hot", "info") == annotations("hot", "debug")
    before, after = annotations("restart", "info"), annotations("restart", "debug")
    assert set(before) == set(after)
    assert before != after


def test_a_startup_that_waits_for_tokens_is_waited_for() -> None:
    def failures(config: dict[str, Any], **startup: int) -> int:
        values = {"config": config, "probes": {"startup": startup}}
        rendered = chart.render_orders(values)
        probe = chart.sidecar(chart.one(rendered, "Deployment"))["startupProbe"]
        return int(probe["failureThreshold"])

    waits = {"startup": {"wait_for_tokens_seconds": 29.5}}
    assert failures({}) == 60
    assert failures(waits) == 90
    assert failures(waits, periodSeconds=4) == 23
    assert failures(waits, failureThreshold=7) == 7


def test_a_dependency_may_go_by_another_name() -> None:
    """`alias` in Chart.yaml: the chart is then called so, and its objects keep their names."""
    files = {"Chart.yaml": ALIASED, "values.yaml": "{}", "templates/one.yaml": INCLUDED}
    rendered = chart.render_files(files, {"auth": chart.values_of("sidecar")})
    assert chart.sidecar({"kind": "Pod"} | chart.parsed(rendered["parent/templates/one.yaml"]))
    assert chart.one(rendered, "ConfigMap")["metadata"]["name"] == "shop-token-proxy"


ALIASED = """
{apiVersion: v2, name: parent, version: 0.1.0,
 dependencies: [{name: token-proxy, alias: auth, version: 0.1.0}]}
"""
INCLUDED = """\
apiVersion: v1
kind: Pod
metadata: {name: x}
spec:
  initContainers: []
  containers:
    {{- include "token-proxy.sidecar" .Subcharts.auth | nindent 4 }}
"""


def test_a_user_can_be_taken_away_from_a_dependency_too() -> None:
    rendered = chart.render_orders({"securityContext": {"runAsUser": None, "runAsGroup": None}})
    context = chart.sidecar(chart.one(rendered, "Deployment"))["securityContext"]
    assert not {"runAsUser", "runAsGroup"} & set(context)
    assert context["runAsNonRoot"] is True


def test_helm_test_tries_what_the_application_has() -> None:
    """The same container, the same configuration and secret; then it calls, and ends."""
    pod = chart.one(NATIVE, "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert chart.sidecar(pod) == chart.sidecar(chart.one(NATIVE, "Deployment"))
    assert pod["spec"]["restartPolicy"] == "Never"
    [call] = pod["spec"]["containers"]
    # By name, as an admin.listen of [::]:9090 takes no IPv4.
    assert call["args"][-1] == "http://localhost:9090/readyz"
    # A pod with a classic one would not end.
    assert not [each for each in chart.objects(CLASSIC) if each["kind"] == "Pod"]
