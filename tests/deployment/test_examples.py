"""`docs/examples/`: the policy that injects the sidecar, and the systemd unit."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from deployment.admission_policy import AdmissionPolicy
from integration.foreign_server import require

from proxy import __version__
from proxy.commands.command_line import build_parser
from proxy.commands.exit_status import ExitStatus
from proxy.config.loader import load_text
from proxy.config.schema import Config

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/examples"
SYSTEMD_PAGE = (ROOT / "docs/systemd.md").read_text(encoding="utf-8")
UNIT = EXAMPLES / "token-proxy.service"
POLICY = AdmissionPolicy(EXAMPLES / "mutating-admission-policy.yaml")
MARK = "token-proxy.example"
VERSIONS = ["1.36", "1.37"]
EXPOSURE_MAX = 15
"""Of 100, by `systemd-analyze security`; it was 12 when this was written."""


def pod(*, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a pod as the API server hands it to a policy: what is empty is not there."""
    metadata: dict[str, Any] = {"name": "orders", "labels": {f"{MARK}/inject": "true"}}
    if annotations is not None:
        metadata["annotations"] = annotations
    containers = [{"name": "orders", "image": "orders:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": containers, **spec},
    }


BARE = pod()
FURNISHED = pod(
    annotations={
        f"{MARK}/config": "orders-proxy",
        f"{MARK}/secret": "billing",
        f"{MARK}/token-audience": "https://auth.example.com",
    },
    initContainers=[{"name": "migrate", "image": "migrate:1"}],
    volumes=[{"name": "data", "emptyDir": {"medium": "Memory"}}],
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", [POLICY.policy, POLICY.binding], ids=lambda d: d["kind"])
def test_policy_and_binding_are_what_kubernetes_knows(
    document: dict[str, Any], version: str
) -> None:
    assert kubernetes_validate.validate(document, version, strict=True) == version


def test_the_binding_binds_the_policy_where_a_namespace_wants_it() -> None:
    assert POLICY.binding["spec"]["policyName"] == POLICY.policy["metadata"]["name"]
    selector = POLICY.binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"]
    assert selector == {f"{MARK}/injection": "enabled"}
    wanted = POLICY.spec["matchConstraints"]["objectSelector"]["matchLabels"]
    assert wanted == BARE["metadata"]["labels"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("before", [BARE, FURNISHED], ids=["bare", "furnished"])
def test_a_pod_with_its_proxy_is_a_pod_still(before: dict[str, Any], version: str) -> None:
    after = POLICY.admitted(before)
    kubernetes_validate.validate(after, version, strict=True)
    added, *rest = after["spec"]["initContainers"]
    assert (added["name"], added["restartPolicy"]) == ("token-proxy", "Always")
    assert rest == before["spec"].get("initContainers", [])
    old = before["spec"].get("volumes", [])
    assert after["spec"]["volumes"][: len(old)] == old
    assert after["spec"]["containers"] == before["spec"]["containers"]
    assert after["metadata"] == before["metadata"]


@pytest.mark.parametrize("before", [BARE, FURNISHED], ids=["bare", "furnished"])
def test_a_pod_that_has_its_proxy_is_left_alone(before: dict[str, Any]) -> None:
    assert POLICY.matches(before)
    after = POLICY.admitted(before)
    assert not POLICY.matches(after)
    assert POLICY.admitted(after) == after


def test_a_proxy_that_is_a_classic_container_counts_too() -> None:
    classic = pod()
    classic["spec"]["containers"].append({"name": "token-proxy", "image": "token-proxy:1"})
    assert not POLICY.matches(classic)


def test_annotations_say_what_is_mounted() -> None:
    spec = POLICY.admitted(FURNISHED)["spec"]
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert volumes["token-proxy-config"]["configMap"] == {"name": "orders-proxy"}
    assert volumes["token-proxy-secret"]["secret"] == {"secretName": "billing"}
    [source] = volumes["token-proxy-identity"]["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "https://auth.example.com"
    mounted = {m["name"]: m["mountPath"] for m in spec["initContainers"][0]["volumeMounts"]}
    assert set(mounted) == set(volumes) - {"data"}
    token = f"{mounted['token-proxy-identity']}/{source['serviceAccountToken']['path']}"
    assert token == "/var/run/secrets/token-proxy-identity/token"


def test_without_annotations_only_a_configuration_is_mounted() -> None:
    spec = POLICY.admitted(BARE)["spec"]
    assert spec["volumes"] == [{"name": "token-proxy-config", "configMap": {"name": "token-proxy"}}]
    [mount] = spec["initContainers"][0]["volumeMounts"]
    assert mount["name"] == "token-proxy-config"


def test_no_mount_is_one_that_is_never_replaced() -> None:
    mounts = POLICY.admitted(FURNISHED)["spec"]["initContainers"][0]["volumeMounts"]
    assert all(set(mount) == {"name", "mountPath", "readOnly"} for mount in mounts)


def test_the_injected_container_runs_the_command_with_what_is_mounted() -> None:
    container = POLICY.admitted(BARE)["spec"]["initContainers"][0]
    typed = build_parser().parse_args(container["args"])
    assert str(Path(typed.config).parent) == container["volumeMounts"][0]["mountPath"]
    assert container["image"].endswith(f":{__version__}")


def test_patch_types_are_used_where_the_api_server_knows_them() -> None:
    elsewhere = [each["expression"] for each in POLICY.spec["variables"]]
    elsewhere += [each["expression"] for each in POLICY.spec["matchConditions"]]
    assert elsewhere
    assert not any(re.search(r"Object|JSONPatch", each) for each in elsewhere)


def unit() -> configparser.ConfigParser:
    """Return the unit; of a key that is there twice, the lines together."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    return parser


@pytest.fixture(name="runnable")
def _runnable(tmp_path: Path) -> Path:
    """Return the unit with a program that is on this machine: systemd looks whether it is."""
    require(shutil.which("systemd-analyze"), "systemd-analyze is missing: install systemd")
    text = UNIT.read_text(encoding="utf-8")
    program = shlex.split(unit()["Service"]["ExecStart"])[0]
    changed = text.replace(program, str(shutil.which("true")))
    assert changed != text
    copy = tmp_path / UNIT.name
    copy.write_text(changed, encoding="utf-8")
    return copy


def analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_systemd_understands_every_line_of_the_unit(runnable: Path) -> None:
    said = analyzed("verify", "--man=no", str(runnable))
    # Other units of this machine may have troubles of their own.
    assert [line for line in said.stderr.splitlines() if UNIT.stem in line] == []
    assert said.returncode == 0


def test_systemd_finds_little_that_the_unit_leaves_open(runnable: Path) -> None:
    said = analyzed(
        "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(runnable)
    )
    assert said.returncode == 0, said.stdout


def test_the_unit_runs_the_command_and_reloads_it() -> None:
    service = unit()["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert Path(program).name == "token-proxy"
    assert build_parser().parse_args(arguments).command == "run"
    assert service["ExecReload"].endswith("kill -HUP $MAINPID")
    assert float(service["TimeoutStopSec"]) > Config.model_fields["shutdown"].default.drain_seconds
    statuses = {int(each) for each in service["RestartPreventExitStatus"].split()}
    assert statuses == {ExitStatus.USAGE, ExitStatus.CONFIGURATION}


def test_the_secret_is_where_the_page_says_that_the_configuration_looks(tmp_path: Path) -> None:
    name, _, _ = unit()["Service"]["LoadCredential"].partition(":")
    (tmp_path / name).write_text("s3cret\n")
    [text] = re.findall(r"^```yaml\n(.*?)^```", SYSTEMD_PAGE, re.MULTILINE | re.DOTALL)
    config = load_text(text, "systemd.md", {"CREDENTIALS_DIRECTORY": str(tmp_path)}, tmp_path)
    assert list(config.clients) == [name]
    shown = yaml.safe_load(text)["clients"][name]["client_secret_file"]
    assert shown == f"${{CREDENTIALS_DIRECTORY}}/{name}"


def test_the_systemd_page_types_what_there_is() -> None:
    consoles = re.findall(r"^```console\n(.*?)^```", SYSTEMD_PAGE, re.MULTILINE | re.DOTALL)
    typed = [line.removeprefix("# ") for text in consoles for line in text.splitlines()]
    typed += re.findall(r"^\| .* \| [^|]*?`([^`]+)`", SYSTEMD_PAGE, re.MULTILINE)
    words = [shlex.split(line) for line in typed]
    ours = [line for line in words if any(Path(word).name == "token-proxy" for word in line)]
    commands = [
        line[number + 1 :]
        for line in ours
        for number, word in enumerate(line)
        if re.fullmatch(r"(/opt/token-proxy/bin/)?token-proxy", word) and line[0] != "systemctl"
    ]
    commands = [line for line in commands if line and not line[0].startswith("-")]
    assert {line[0] for line in commands} == {"doctor", "status", "validate"}
    for line in commands:
        build_parser().parse_args(line)
    assert ["systemctl", "reload", UNIT.stem] in words
    program = shlex.split(unit()["Service"]["ExecStart"])[0]
    assert [program, "status"] in words
