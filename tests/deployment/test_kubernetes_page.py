"""Every block of `docs/kubernetes.md` is what it says it is: rendered, validated, loaded, parsed.

Shell lines are parsed as far as they are our own command; of `kubectl` and `helm` it is held
against a list that the subcommand is one there is.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from deployment import kubernetes_page as page
from deployment.admission_policy import AdmissionPolicy

from proxy.commands.command_line import build_parser
from proxy.config.loader import load_text

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.config.schema import Config

VERSIONS = ["1.33", "1.37"]
POLICY = AdmissionPolicy(page.ROOT / "docs/examples/mutating-admission-policy.yaml")
FIRST, *LATER = page.values()
DEPLOYMENT, CRON_JOB = page.blocks("gotmpl")
SECRET = "/run/secrets/token-proxy/client-secret"
IDENTITY = "/var/run/secrets/token-proxy-identity/token"
KUBECTL = {"apply", "create", "debug", "describe", "exec", "get", "label", "logs"}
KUBECTL |= {"port-forward", "rollout", "top"}
HELM = {"dependency", "rollback", "template", "test", "upgrade"}
FOREIGN_KINDS = {"PodMonitor", "PrometheusRule"}


def of_kind(kind: str, objects: list[dict[str, Any]]) -> dict[str, Any]:
    [found] = [
        each for each in objects if each["kind"] == kind and "test" not in str(each["metadata"])
    ]
    return found


def valid(each: dict[str, Any]) -> None:
    for version in VERSIONS:
        kubernetes_validate.validate(each, version, strict=True)


def loaded(text: str, directory: Path) -> Config:
    """Load a configuration whose files are where a test can make them."""
    for name in (SECRET, IDENTITY):
        file = directory / name.rpartition("/")[2]
        file.write_text("e30.e30.c2ln\n")
        text = text.replace(name, str(file))
    return load_text(text, "token-proxy.yaml", {}, directory)


@pytest.mark.parametrize("text", page.blocks("yaml"))
def test_a_yaml_block_is_yaml_and_of_a_kind_that_is_tested_here(text: str) -> None:
    known = [*page.values(), *page.values_of_the_chart(), *page.manifests()]
    known += [page.values_for_openshift(), {"spec": page.shown_pod()}]
    for document in yaml.safe_load_all(text):
        assert document in known or text.startswith("# Chart.yaml\n")


def test_ten_lines_of_values_make_a_sidecar(tmp_path: Path) -> None:
    text = next(each for each in page.blocks("yaml") if each.startswith("# values.yaml\n"))
    assert text.count("\n") == 11, "the comment with the file's name is one more"
    objects = page.rendered(tmp_path, DEPLOYMENT, FIRST)
    for each in objects:
        valid(each)
    config = loaded(of_kind("ConfigMap", objects)["data"]["token-proxy.yaml"], tmp_path)
    assert list(config.listen) == ["127.0.0.1:8080"]
    assert config.admin.listen == "0.0.0.0:9090"


def test_the_pod_that_is_shown_is_the_one_that_is_made(tmp_path: Path) -> None:
    objects = page.rendered(tmp_path, DEPLOYMENT, FIRST)
    assert page.shown_pod() == of_kind("Deployment", objects)["spec"]["template"]["spec"]


def test_the_policy_adds_the_container_that_the_chart_adds() -> None:
    """With the port and the mounts: who goes from one to the other changes nothing else."""
    bare = {"metadata": {}, "spec": {"containers": [{"name": "orders"}]}}
    bare["metadata"] = {"annotations": {"token-proxy.example/secret": "orders-oauth"}}
    [injected] = POLICY.admitted(bare)["spec"]["initContainers"]
    [shown] = page.shown_pod()["initContainers"]
    ours = {"image", "imagePullPolicy"}
    assert {k: v for k, v in injected.items() if k not in ours} == {
        k: v for k, v in shown.items() if k not in ours
    }


def test_a_cron_job_has_a_sidecar_that_lets_it_end(tmp_path: Path) -> None:
    job = of_kind("CronJob", page.rendered(tmp_path, CRON_JOB, FIRST))
    valid(job)
    [sidecar] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("token-proxy", "Always")


def test_a_template_with_the_wrong_context_says_so(tmp_path: Path) -> None:
    wrong = DEPLOYMENT.replace('(index .Subcharts "token-proxy")', ".")
    assert wrong != DEPLOYMENT
    with pytest.raises(helm_python.HelmRenderError, match=r"index \.Subcharts"):
        page.rendered(tmp_path, wrong, FIRST)


@pytest.mark.parametrize("later", LATER, ids=lambda each: "-".join(each["token-proxy"]))
def test_other_values_render_in_place_of_the_first(later: dict[str, Any], tmp_path: Path) -> None:
    objects = page.rendered(tmp_path, DEPLOYMENT, page.together(FIRST, later))
    for each in objects:
        if each["kind"] not in FOREIGN_KINDS:
            valid(each)
    loaded(of_kind("ConfigMap", objects)["data"]["token-proxy.yaml"], tmp_path)
    pod = of_kind("Deployment", objects)["spec"]["template"]["spec"]
    # Each of them changes the pod or adds an object.
    monitored = "monitoring" in later["token-proxy"]
    assert (pod == page.shown_pod()) == monitored


def test_the_identity_is_mounted_where_the_configuration_looks_for_it(tmp_path: Path) -> None:
    [later] = [each for each in LATER if "serviceAccountToken" in each["token-proxy"]]
    objects = page.rendered(tmp_path, DEPLOYMENT, page.together(FIRST, later))
    config = yaml.safe_load(of_kind("ConfigMap", objects)["data"]["token-proxy.yaml"])
    [client] = config["clients"].values()
    [sidecar] = of_kind("Deployment", objects)["spec"]["template"]["spec"]["initContainers"]
    mounts = [each["mountPath"] for each in sidecar["volumeMounts"]]
    assert client["client_assertion_file"] == IDENTITY
    assert IDENTITY.rpartition("/")[0] in mounts


def test_openshift_may_choose_the_user(tmp_path: Path) -> None:
    """Helm loses a null that stands in a chart's own values.yaml, as the page says."""
    objects = page.rendered(tmp_path, DEPLOYMENT, FIRST, page.values_for_openshift())
    [sidecar] = of_kind("Deployment", objects)["spec"]["template"]["spec"]["initContainers"]
    assert not {"runAsUser", "runAsGroup"} & set(sidecar["securityContext"])
    assert sidecar["securityContext"]["runAsNonRoot"]


def test_a_pod_monitor_finds_the_pods_by_the_label_they_are_given(tmp_path: Path) -> None:
    [later] = [each for each in LATER if "monitoring" in each["token-proxy"]]
    monitoring = {**later["token-proxy"]["monitoring"], "assumeApi": True}
    values = page.together(FIRST, {"token-proxy": {"monitoring": monitoring}})
    objects = page.rendered(tmp_path, DEPLOYMENT, values)
    monitor = of_kind("PodMonitor", objects)["spec"]
    template = of_kind("Deployment", objects)["spec"]["template"]
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    [sidecar] = template["spec"]["initContainers"]
    assert [each["port"] for each in monitor["podMetricsEndpoints"]] == [
        each["name"] for each in sidecar["ports"]
    ]


def test_alerts_and_dashboard_come_by_themselves() -> None:
    [shown] = page.values_of_the_chart()
    values = {"monitoring": {**shown["monitoring"], "assumeApi": True}}
    kinds = sorted(each["kind"] for each in page.rendered_alone(values))
    assert kinds == ["ConfigMap", "PrometheusRule"]


@pytest.mark.parametrize("shown", page.manifests(), ids=lambda each: each["kind"])
def test_an_object_that_is_shown_is_one(shown: dict[str, Any]) -> None:
    valid(shown)


def test_what_the_policy_is_shown_with_becomes_a_proxy_that_starts(tmp_path: Path) -> None:
    shown = page.manifests()
    [held] = [each for each in shown if each["kind"] == "ConfigMap"]
    config = loaded(held["data"]["token-proxy.yaml"], tmp_path)
    template = of_kind("Deployment", shown)["spec"]["template"]
    wanted = POLICY.spec["matchConstraints"]["objectSelector"]["matchLabels"]
    assert wanted.items() <= template["metadata"]["labels"].items()
    spec = POLICY.admitted(template)["spec"]
    names = [each["configMap"]["name"] for each in spec["volumes"] if "configMap" in each]
    assert names == [held["metadata"]["name"]]
    [port] = spec["initContainers"][0]["ports"]
    assert config.admin.listen == f"0.0.0.0:{port['containerPort']}"


def typed() -> list[list[str]]:
    lines = [line for text in page.blocks("console") for line in text.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    inline = re.findall(r"`((?:kubectl|helm|curl|token-proxy) [^`]+)`", page.PAGE)
    return [shlex.split(line) for line in [*(line[2:] for line in lines), *inline]]


def test_shell_lines_name_commands_that_there_are() -> None:
    ours = []
    for words in typed():
        for number, word in enumerate(words):
            if word == "token-proxy" and (number == 0 or words[number - 1] == "--"):
                ours.append(words[number + 1 :])
            elif word in {"kubectl", "helm"} and (number == 0 or words[number - 1] == "|"):
                rest = words[number + 1 :]
                subcommand = rest[2] if rest[0] == "-n" else rest[0]
                assert subcommand in (KUBECTL if word == "kubectl" else HELM), words
    assert {words[0] for words in ours} >= {"config", "doctor", "status", "validate"}
    for words in ours:
        build_parser().parse_args(words)


def test_keys_in_the_text_are_keys_of_the_chart_or_of_the_configuration() -> None:
    chart = yaml.safe_load((page.CHART / "values.yaml").read_text(encoding="utf-8"))
    reference = (page.ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    found = set()
    for path in re.findall(r"`([a-z]+[A-Za-z_]*(?:\.[A-Za-z_]+)+)(?::[^`]*)?`", page.PAGE):
        first, *rest = path.split(".")
        if first in chart:
            value = chart[first]
            for name in rest:
                assert value == {} or name in value, path
                value = value.get(name, {})
            found.add(path)
        elif f"\n## `{first}" in reference:
            assert f"`{rest[-1]}`" in reference or f".{rest[-1]}`" in reference, path
            found.add(path)
    assert {"sidecar.native", "startup.wait_for_tokens_seconds"} <= found


def test_links_into_pages_lead_to_a_heading() -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.PAGE):
        file = page.ROOT / "docs" / (target or "kubernetes.md")
        headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        slugs = [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]
        assert anchor in slugs, f"{target}#{anchor}"
