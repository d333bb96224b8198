"""What cannot work is refused before anything is installed, in a sentence that names the value."""

from __future__ import annotations

from typing import Any

import helm_python
import pytest
from deployment import chart

SIDECAR = chart.values_of("sidecar")
STANDALONE = chart.values_of("standalone")


def test_the_default_values_say_what_to_set() -> None:
    said = chart.refusal({})
    assert "set `config` (at least config.upstreams)" in said
    assert "`existingConfigMap`" in said


def test_standalone_without_a_configuration_says_what_to_set() -> None:
    monitored = {"monitoring": {"dashboard": {"enabled": True}}}
    assert "set `config`" in chart.refusal({"standalone": {"enabled": True}} | monitored)


def client(**keys: Any) -> dict[str, Any]:
    return chart.merged(SIDECAR, {"config": {"clients": {"billing": keys}}})


CANARY = "hunter2-canary"


@pytest.mark.parametrize("key", ["client_secret", "private_key"])
@pytest.mark.parametrize("text", [CANARY, "${NAME:-" + CANARY + "}", CANARY + "${NAME}"])
def test_a_secret_in_values_is_refused_and_not_repeated(key: str, text: str) -> None:
    values = client(**{key: text, "client_secret_file": None})
    said = chart.refusal(values)
    assert f"config.clients.billing.{key} is a secret in values" in said
    assert "`existingSecret`" in said
    assert f"{key}_file: /run/secrets/token-proxy/KEY" in said
    assert CANARY not in said


@pytest.mark.parametrize("field", ["password", "subject_token", "X-Api-Key", "client-secret-2"])
@pytest.mark.parametrize("section", ["clients", "audiences", "upstreams"])
def test_what_reads_like_a_secret_among_further_fields_is_refused(section: str, field: str) -> None:
    key = "set_headers" if section == "upstreams" else "parameters"
    name = next(iter(SIDECAR["config"][section]))

    def values(fields: dict[str, str]) -> dict[str, Any]:
        return chart.merged(SIDECAR, {"config": {section: {name: {key: fields}}}})

    said = chart.refusal(values({field: CANARY}))
    assert f"config.{section}.{name}.{key}.{field} reads like a secret in values" in said
    assert CANARY not in said
    assert chart.render(
        values({field: "${OTHER}", "requested_token_type": "urn:x", "tenant": "shop"})
    )


def test_a_secret_by_a_variable_is_taken() -> None:
    values = client(client_secret="${BILLING_SECRET}", client_secret_file=None)
    text = chart.one(chart.render(values), "ConfigMap")["data"]["token-proxy.yaml"]
    assert "client_secret: ${BILLING_SECRET}" in text


CASES = {
    "inline secrets allowed": (
        chart.merged(SIDECAR, {"config": {"allow_inline_secrets": True}}),
        "config.allow_inline_secrets has no place in values",
    ),
    "two configurations": (
        SIDECAR | {"existingConfigMap": "other"},
        "`config` and `existingConfigMap` are both set",
    ),
    "a secret file and no secret": (
        SIDECAR | {"existingSecret": ""},
        "nothing is mounted there: set `existingSecret`",
    ),
    "a token file and no token": (
        client(client_assertion_file="/var/run/secrets/token-proxy-identity/token"),
        "set serviceAccountToken.enabled=true",
    ),
    "a token for nobody": (
        SIDECAR | {"serviceAccountToken": {"enabled": True}},
        "serviceAccountToken.audience is not set",
    ),
    "two volumes in one place": (
        SIDECAR
        | {
            "serviceAccountToken": {
                "enabled": True,
                "audience": "a",
                "mountPath": "/var/run/secrets/token-proxy",
            }
        },
        "are one directory (/var/run is /run)",
    ),
    "an admin address with another port": (
        chart.merged(SIDECAR, {"config": {"admin": {"listen": "0.0.0.0:9999"}}}),
        "config.admin.listen does not end in :9090",
    ),
    "no admin listener": (
        chart.merged(SIDECAR, {"config": {"admin": {"listen": None}}}),
        "config.admin.listen does not end in :9090",
    ),
    "an admin address that no probe reaches": (
        chart.merged(SIDECAR, {"config": {"admin": {"listen": "127.0.0.1:9090"}}}),
        "config.admin.listen is on the loopback interface",
    ),
    "one port for two": (
        SIDECAR | {"ports": {"proxy": 9090}},
        "ports.proxy and ports.admin are the same",
    ),
    "a Service that leads nowhere": (
        chart.merged(STANDALONE, {"config": {"listen": ["0.0.0.0:8081", "unix:/run/x"]}}),
        "nothing in config.listen ends in :8080",
    ),
    "a Service that leads to the loopback interface": (
        chart.merged(STANDALONE, {"config": {"listen": "127.0.0.1:8080"}}),
        "nothing in config.listen ends in :8080 outside the loopback interface",
    ),
    "a name that no Service may have": (
        STANDALONE | {"fullnameOverride": "2nd"},
        "2nd is no name for a Service",
    ),
    "too little time to end": (
        chart.merged(STANDALONE, {"standalone": {"terminationGracePeriodSeconds": 34}}),
        "terminationGracePeriodSeconds is less than the 35",
    ),
    "a time to end that cannot be counted": (
        chart.merged(STANDALONE, {"config": {"shutdown": {"drain_seconds": "${DRAIN}"}}}),
        "config.shutdown.drain_seconds is a text",
    ),
    "a network policy that lets nothing out": (
        STANDALONE | {"networkPolicy": {"enabled": True}},
        "networkPolicy.egress is empty",
    ),
    "fewer pods at most than at least": (
        STANDALONE | {"autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 2}},
        "autoscaling.maxReplicas is less",
    ),
    "everything scraped twice": (
        STANDALONE
        | {"monitoring": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}},
        "every pod would be scraped twice",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_work_is_refused_in_a_sentence(case: str) -> None:
    values, sentence = CASES[case]
    said = chart.refusal(values)
    assert "token-proxy: " in said
    assert sentence in said


def test_a_file_below_a_mount_of_ones_own_is_taken() -> None:
    own = {
        "extraVolumes": [{"name": "vault", "csi": {"driver": "secrets-store.csi.k8s.io"}}],
        "extraVolumeMounts": [{"name": "vault", "mountPath": "/run/secrets/token-proxy"}],
    }
    assert chart.render(SIDECAR | {"existingSecret": ""} | own)


def included(template: str, context: str) -> chart.Manifests:
    """Render a chart that has this one as a dependency and includes something of it."""
    line = f'k: {{{{ include "{template}" {context} | quote }}}}'
    return chart.render_in_parent(line, {"token-proxy": SIDECAR})


TEMPLATES = [
    "token-proxy.sidecar",
    "token-proxy.volumes",
    "token-proxy.podAnnotations",
    "token-proxy.terminationGracePeriodSeconds",
    "token-proxy.url",
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("context", [".", ".Values", '(index .Values "token-proxy")', '"orders"'])
def test_a_wrong_context_is_told_the_right_one(template: str, context: str) -> None:
    with pytest.raises(helm_python.HelmError) as told:
        included(template, context)
    assert 'include "token-proxy.sidecar" (index .Subcharts "token-proxy")' in str(told.value)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_right_context_is_taken(template: str) -> None:
    assert included(template, '(index .Subcharts "token-proxy")')


def test_a_sidecar_beside_a_deployment_of_its_own_is_refused() -> None:
    with pytest.raises(helm_python.HelmError, match="a release is for one of them"):
        chart.render_orders({"standalone": {"enabled": True}})


def test_a_job_with_a_classic_sidecar_is_refused_by_the_example() -> None:
    with pytest.raises(helm_python.HelmError, match="never ends"):
        chart.render_orders({"sidecar": {"native": False}})


@pytest.mark.parametrize(
    ("version", "native", "is_refused"),
    [("v1.28.0", True, True), ("v1.28.0", False, False), ("v1.29.0", True, False)],
)
def test_a_native_sidecar_is_refused_where_there_are_none(
    version: str,
    native: bool,  # noqa: FBT001 - a table's column
    is_refused: bool,  # noqa: FBT001 - the same
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Only Helm's linter can be told a cluster's version; it writes what `fail` says to stderr."""
    values = SIDECAR | {"sidecar": {"native": native}}
    helm_python.lint(chart.CHART, values, strict=True, kube_version=version)
    said = capfd.readouterr().err
    assert ("v1.28.0 has no native sidecars: set sidecar.native=false" in said) is is_refused
