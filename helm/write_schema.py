"""Writes what follows from `token-proxy/values.yaml`: values.schema.json, and README.md's table.

    python helm/write_schema.py

A value's description is its comment (`# --`), its type is that of its default; `DETAILS` has what
neither tells. `config` is the program's own schema. A test fails when the files in the repository
are not what this writes. JSON Schema draft 7, with every definition inside: Helm fetches none.
"""
# ruff: noqa: INP001 - a program of its own, beside charts

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from proxy.config.json_schema import file_schema

CHART = Path(__file__).parent / "token-proxy"
SCHEMA = CHART / "values.schema.json"
README = CHART / "README.md"
TABLE = re.compile(r"(?<=<!-- values -->\n).*(?=<!-- end of values -->)", re.DOTALL)

_KEY = re.compile(r"^( *)([A-Za-z_]+):(?: |$)")
_PORT = {"minimum": 1, "maximum": 65535}
_COUNT = {"minimum": 1}
_FROM_ZERO = {"minimum": 0}
_OBJECTS = {"items": {"type": "object"}}
_TEXTS = {"additionalProperties": {"type": "string"}}
_KUBERNETES = {"additionalProperties": True}
"""As Kubernetes has it: the cluster says what is wrong with it."""
_NAME = {"pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$", "maxLength": 50}
_SECONDS = {"pattern": "^([0-9]+(ms|[smhdwy]))+$"}
_NUMBER_OR_NONE = {"type": ["integer", "null"], "minimum": 0}
_PROFILE = {
    "properties": {"localhostProfile": {"description": "Its file.", "type": "string"}},
}
_EGRESS = {
    "items": {
        "type": "object",
        "required": ["cidr"],
        "additionalProperties": False,
        "properties": {
            "cidr": {"description": "An address range.", "type": "string", "pattern": "/[0-9]+$"},
            "ports": {
                "description": "TCP ports.",
                "type": "array",
                "items": {"type": "integer"} | _PORT,
            },
        },
    }
}
_ENVIRONMENT = {
    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
    "additionalProperties": {
        "anyOf": [
            {"type": ["string", "number", "boolean"]},
            {
                "type": "object",
                "required": ["valueFrom"],
                "additionalProperties": False,
                "properties": {"valueFrom": {"description": "Where from.", "type": "object"}},
            },
        ]
    },
}
_MAPS_OF_TEXT = (
    "service.annotations",
    "serviceAccount.annotations",
    "monitoring.podMonitor.labels",
    "monitoring.podMonitor.matchLabels",
    "monitoring.serviceMonitor.labels",
    "monitoring.prometheusRule.labels",
    "monitoring.dashboard.labels",
    "monitoring.dashboard.annotations",
    "test.labels",
    "commonLabels",
    "podLabels",
    "podAnnotations",
    "deploymentAnnotations",
    "nodeSelector",
)
DETAILS: dict[str, dict[str, Any]] = {
    "secretMountPath": {"pattern": "^/.*[^/]$"},
    "serviceAccountToken.expirationSeconds": {"minimum": 600},
    "serviceAccountToken.mountPath": {"pattern": "^/.*[^/]$"},
    "reload": {"enum": ["hot", "restart"]},
    "image.repository": {"minLength": 1},
    "image.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "imagePullSecrets": {"items": {"type": "object", "required": ["name"]}},
    "ports.proxy": _PORT,
    "ports.admin": _PORT,
    "service.port": _PORT,
    "standalone.replicas": _FROM_ZERO,
    "standalone.terminationGracePeriodSeconds": _FROM_ZERO,
    "standalone.revisionHistoryLimit": _FROM_ZERO,
    "preStopSeconds": _FROM_ZERO,
    "resources": _KUBERNETES,
    "resources.requests": _KUBERNETES,
    "resources.limits": _KUBERNETES,
    "resources.requests.cpu": {"type": ["string", "number", "null"]},
    "resources.requests.memory": {"type": ["string", "number", "null"]},
    "resources.limits.memory": {"type": ["string", "number", "null"]},
    "extraEnv": _ENVIRONMENT,
    "extraVolumes": _OBJECTS,
    "extraVolumeMounts": _OBJECTS,
    "securityContext": {
        "properties": {
            "seLinuxOptions": {"description": "SELinux labels.", "type": "object"},
            "appArmorProfile": {"description": "AppArmor's profile.", "type": "object"},
        }
    },
    "securityContext.runAsUser": _NUMBER_OR_NONE,
    "securityContext.runAsGroup": _NUMBER_OR_NONE,
    "securityContext.seccompProfile": _PROFILE,
    "podSecurityContext": _KUBERNETES,
    "podSecurityContext.seccompProfile": _PROFILE,
    **{
        f"probes.{probe}.{key}": _COUNT
        for probe in ("startup", "liveness", "readiness")
        for key in ("periodSeconds", "timeoutSeconds", "failureThreshold")
    },
    "probes.startup.failureThreshold": _FROM_ZERO,
    "autoscaling.minReplicas": _COUNT,
    "autoscaling.maxReplicas": _COUNT,
    "autoscaling.targetCPUUtilizationPercentage": _COUNT,
    "podDisruptionBudget.maxUnavailable": _COUNT,
    "networkPolicy.proxyFrom": _OBJECTS,
    "networkPolicy.adminFrom": _OBJECTS,
    "networkPolicy.egress": _EGRESS,
    "networkPolicy.extraEgress": _OBJECTS,
    "monitoring.podMonitor.interval": _SECONDS,
    "monitoring.serviceMonitor.interval": _SECONDS,
    "monitoring.prometheusRule.runbookBaseUrl": {"pattern": "^https?://.*/$"},
    "test.path": {"pattern": "^(/.*)?$"},
    "nameOverride": _NAME,
    "fullnameOverride": _NAME,
    "topologySpreadConstraints": _OBJECTS,
    "tolerations": _OBJECTS,
    "affinity": _KUBERNETES,
    **dict.fromkeys(_MAPS_OF_TEXT, _TEXTS),
}
SECTIONS = {
    "serviceAccountToken": "A token of the pod's own identity, as a credential.",
    "image": "The image.",
    "ports": "Where the proxy listens.",
    "sidecar": "In the pods of another chart.",
    "standalone": "In pods of its own.",
    "resources.requests": "What is reserved.",
    "resources.limits": "What is not exceeded.",
    "securityContext": "Security context of the proxy's container.",
    "probes": "What the kubelet asks, and how often.",
    "probes.startup": "Whether it has started.",
    "probes.liveness": "Whether it lives.",
    "probes.readiness": "Whether it takes requests.",
    "service": "The Service (standalone).",
    "autoscaling": "How the number of pods follows the load.",
    "podDisruptionBudget": "What a drained node may take away.",
    "networkPolicy": "Who may talk to whom.",
    "serviceAccount": "Who the pods are (standalone).",
    "monitoring": "Prometheus and Grafana.",
    "monitoring.podMonitor": "What scrapes pods.",
    "monitoring.serviceMonitor": "What scrapes a Service.",
    "monitoring.prometheusRule": "Alerts.",
    "monitoring.dashboard": "The dashboard.",
    "test": "`helm test`.",
}
"""Headings of values.yaml that have no comment of their own."""


def comments(text: str) -> dict[str, str]:
    """Return the `# --` comment above each key of values.yaml, by the key's path."""
    found: dict[str, str] = {}
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("# ") and comment:
            comment.append(stripped.removeprefix("# "))
        elif match := _KEY.match(line):
            path[len(match[1]) // 2 :] = [match[2]]
            if comment:
                found[".".join(path)] = " ".join(comment)
            comment = []
        else:
            comment = []
    return found


def values_schema(values: dict[str, Any], described: dict[str, str]) -> dict[str, Any]:
    """Return the schema of values.yaml (draft 7)."""
    config, definitions = _config_schema()
    schema = _section(values, "", described)
    config["description"] = described["config"]
    schema["properties"]["config"] = config
    # Helm hands these to a chart that another one depends on.
    schema["properties"]["global"] = {
        "description": "Values of all charts of a release. Not used here.",
        "type": "object",
    }
    schema["properties"]["enabled"] = {
        "description": "For the `condition` of a chart that depends on this one. Not used here.",
        "type": "boolean",
    }
    title = "Values of the Token Proxy chart"
    draft = "http://json-schema.org/draft-07/schema#"
    return {"$schema": draft, "title": title, **schema, "definitions": definitions}


def _section(values: dict[str, Any], path: str, described: dict[str, str]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for key, value in values.items():
        at = f"{path}.{key}".removeprefix(".")
        schema = _section(value, at, described) if isinstance(value, dict) else _scalar(value)
        details = DETAILS.get(at, {})
        known = schema.get("properties", {}) | details.get("properties", {})
        schema |= details | ({"properties": known} if known else {})
        description = described.get(at) or SECTIONS[at]
        properties[key] = {"description": description, **schema}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _scalar(value: Any) -> dict[str, Any]:
    types = {bool: "boolean", int: "integer", str: "string", list: "array"}
    return {"type": types[type(value)]}


def _config_schema() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the program's schema, and what it refers to.

    Nothing is required at the top: values come in parts, and the templates say in a sentence what
    the whole lacks.
    """
    text = json.dumps(file_schema()).replace('"#/$defs/', '"#/definitions/')
    schema: dict[str, Any] = json.loads(text)
    definitions: dict[str, Any] = schema.pop("$defs")
    for key in ("$schema", "title", "required"):
        del schema[key]
    return schema, definitions


def table(values: dict[str, Any], described: dict[str, str]) -> str:
    """Return README.md's table: a row for each value, in the order of values.yaml."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for path, text in described.items():
        value: Any = values
        for key in path.split("."):
            value = value[key]
        if isinstance(value, dict) and any(other.startswith(f"{path}.") for other in described):
            continue
        shown = json.dumps(value, ensure_ascii=False)
        rows.append(f"| `{path}` | `{shown}` | {text} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Write both files."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values, described = yaml.safe_load(text), comments(text)
    schema = json.dumps(values_schema(values, described), indent=2, ensure_ascii=False)
    SCHEMA.write_text(schema + "\n", encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    rows = table(values, described)
    README.write_text(TABLE.sub(lambda _: rows, readme), encoding="utf-8")


if __name__ == "__main__":
    main()
