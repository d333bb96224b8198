"""What the chart renders is what the program takes, listens on and answers."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from deployment import chart
from integration import proxy_process
from integration.recording_upstream import RecordingUpstream

from proxy.commands.command_line import main
from proxy.config.loader import load_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from integration.proxy_process import RunningProxy

CONFIGURED = sorted(case for case in chart.CASES if "config" in chart.values_of(case))
ENVIRONMENT = {"CLIENT_ID": "4711", "OTHER_SECRET": "x"}
MOUNTED = {
    "/run/secrets/token-proxy/client-secret": "secret",
    "/run/secrets/orders/client-secret": "secret",
    "/var/run/secrets/token-proxy-identity/token": "a.b.c",
}
"""What the cases mount, by its path in the container."""

NOBODY = {"token_endpoint": "http://127.0.0.1:9/token"}
"""An authorization server on this machine that nobody has."""


def written(rendered: chart.Manifests, folder: Path) -> Path:
    """Write the rendered configuration, and the files that it names, below `folder`."""
    text = chart.one(rendered, "ConfigMap", config_map_of(rendered))["data"]["token-proxy.yaml"]
    for path, content in MOUNTED.items():
        file = folder / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        text = text.replace(f"_file: {path}", f"_file: {file}")
    file = folder / "token-proxy.yaml"
    file.write_text(text)
    return file


def config_map_of(rendered: chart.Manifests) -> str:
    """Return the name of the ConfigMap that the proxy's container mounts where it looks."""
    [pod] = [spec for each in chart.objects(rendered) if (spec := proxy_pod(each))][:1]
    container = chart.sidecar({"kind": "Pod", "spec": pod})
    [mount] = [each for each in container["volumeMounts"] if each["name"] == "token-proxy-config"]
    assert container["args"][-1] == f"{mount['mountPath']}/token-proxy.yaml"
    [volume] = [each for each in pod["volumes"] if each["name"] == mount["name"]]
    return str(volume["configMap"]["name"])


def proxy_pod(thing: chart.Object) -> chart.Object | None:
    spec = chart.pod_spec(thing)
    if spec and "token-proxy" in {each["name"] for each in chart.containers(spec)}:
        return spec
    return None


def in_its_use(case: str, more: dict[str, Any] | None = None) -> chart.Manifests:
    """Render a case with the pods that use it: its own, or those of the example."""
    values = chart.merged(chart.values_of(case), more or {})
    if values.get("standalone", {}).get("enabled"):
        return chart.render(values)
    native = values.get("sidecar", {}).get("native", True)
    own = {"token-proxy": values, "reconcile": {"enabled": native}}
    return chart.render_orders_with(own)


@pytest.mark.parametrize("case", CONFIGURED)
def test_the_program_has_nothing_to_say_against_it(
    case: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    file = written(in_its_use(case), tmp_path)
    status = main(["validate", "-c", str(file)])
    assert status == 0, capsys.readouterr().err


@pytest.mark.parametrize("case", CONFIGURED)
def test_it_means_what_was_written_in_the_values(case: str, tmp_path: Path) -> None:
    file = written(in_its_use(case), tmp_path)
    told = load_text(file.read_text(), "it", ENVIRONMENT, tmp_path)
    values = chart.values_of(case)["config"]
    assert set(told.clients) >= set(values["clients"])
    assert set(told.upstreams) >= set(values["upstreams"])
    for name, upstream in values["upstreams"].items():
        assert told.upstreams[name].url == upstream["url"]


def test_standalone_serves_the_names_that_callers_use_and_those_of_before() -> None:
    rendered = chart.render(chart.values_of("standalone-full"))
    config = chart.parsed(chart.one(rendered, "ConfigMap")["data"]["token-proxy.yaml"])
    assert set(config["allowed_hosts"]) == {
        "localhost",
        "127.0.0.1",
        "shop-gateway",
        "shop-gateway.web",
        "shop-gateway.web.svc",
        "shop-gateway.web.svc.cluster.local",
        "api.example.com",
        "stock.example.com",
        "*.stock.internal",
    }
    own = {"config": {"allowed_hosts": ["*"], "allow_remote": False}}
    values = chart.merged(chart.values_of("standalone"), own)
    config = chart.parsed(chart.one(chart.render(values), "ConfigMap")["data"]["token-proxy.yaml"])
    assert {key: config[key] for key in own["config"]} == own["config"]


@contextlib.asynccontextmanager
async def running(file: Path) -> AsyncIterator[RunningProxy]:
    """Start the proxy with a rendered file, but on loopback and at ports of the kernel's."""
    text = file.read_text()
    config = chart.parsed(text)
    for address in (config["listen"], config["admin"]["listen"]):
        assert text.count(address) == 1
        text = text.replace(address, "127.0.0.1:0")
    file.write_text(text)
    proxy = await proxy_process.start({}, file.parent, environment=ENVIRONMENT, file=str(file))
    try:
        yield proxy
    finally:
        assert await proxy.stop() == 0


async def status_of(url: str, host: str) -> int:
    fields = {"Host": host}
    async with aiohttp.ClientSession() as session, session.get(url, headers=fields) as answer:
        return answer.status


async def ask_probes(rendered: chart.Manifests, proxy: RunningProxy) -> set[str]:
    """Ask what the kubelet would, and return which probes said yes."""
    container = chart.sidecar(chart.one(rendered, "Deployment"))
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    text = chart.one(rendered, "ConfigMap")["data"]["token-proxy.yaml"]
    admin = chart.parsed(text)["admin"]["listen"]
    passed = set()
    for key, probe in container.items():
        if key.endswith("Probe"):
            asked = probe["httpGet"]
            assert admin == f"0.0.0.0:{ports[asked['port']]}"
            # The kubelet asks the pod's IP, whatever the address that is listened on is called.
            host = f"10.1.2.3:{ports[asked['port']]}"
            if await status_of(f"{proxy.admin_url}{asked['path']}", host) == 200:
                passed.add(key)
    return passed


async def test_a_running_sidecar_says_yes_to_each_probe(tmp_path: Path) -> None:
    rendered = in_its_use("sidecar", {"config": {"clients": {"billing": NOBODY}}})
    async with running(written(rendered, tmp_path)) as proxy:
        assert await ask_probes(rendered, proxy) == {"startupProbe", "livenessProbe"}
        assert await status_of(f"{proxy.admin_url}/livez/no", "10.1.2.3") == 404
        assert await status_of(f"{proxy.admin_url}/metrics", "10.1.2.3") == 200


async def called(rendered: chart.Manifests, proxy: RunningProxy) -> tuple[int, str]:
    """Run what `helm test` would, with the addresses that this proxy has."""
    pod = chart.one(rendered, "Pod")["spec"]
    [call] = [each for each in pod["containers"] if each["name"] == "call"]
    assert call["command"] == ["python", "-c"]
    script, admin, path = call["args"]
    assert admin.endswith(":9090/readyz")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", script),
        *(f"{proxy.admin_url}/readyz", f"{proxy.url}/{path.split('/', 3)[3]}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_standalone_says_yes_to_each_probe_and_helm_test_to_an_upstream_that_answers(
    tmp_path: Path,
) -> None:
    async with RecordingUpstream() as upstream:
        # No token is needed for the one, none is to be had for the other.
        upstreams = {
            "orders": {"match": {"path": "/orders"}},
            "open": {"url": upstream.url, "audience": "none", "match": {"path": "/open"}},
        }
        config = {"clients": {"billing": NOBODY}, "upstreams": upstreams}
        good, bad = (
            in_its_use("standalone", {"config": config, "test": {"path": path}})
            for path in ("/open/health", "/orders/health")
        )
        async with running(written(good, tmp_path)) as proxy:
            probes = await ask_probes(good, proxy)
            assert probes == {"startupProbe", "livenessProbe", "readinessProbe"}
            for host in ("shop-token-proxy", "shop-token-proxy.web.svc:80", "localhost"):
                assert await status_of(f"{proxy.url}/open", host) == 200
            assert await status_of(f"{proxy.url}/open", "elsewhere.example") == 421
            status, said = await called(good, proxy)
            assert status == 0, said
            assert said.count("ok http://") == 2
            status, said = await called(bad, proxy)
            assert status == 1, said
            assert "ok http://" in said
            assert "/orders/health 503: token-proxy; error=" in said
