"""What a MutatingAdmissionPolicy makes of a pod, by a CEL library and without a cluster.

The expressions are evaluated as they are written, but for one thing: the library knows no message
types. `Object.spec.volumes{name: x}` becomes a map with its type under `@type`, and afterwards each
type has to be the path of the field that holds it, as the API server demands. What only the API
server does is not done here: its check of types before anything runs (lists and maps whose values
are of one type, variables without patch types), its bounds of cost, its own admission chain.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import cel
import yaml

if TYPE_CHECKING:
    from pathlib import Path

TYPE = "@type"

_CONSTRUCTED = re.compile(r"\b((?:Object|JSONPatch)[\w.]*)\{")
_FIELD = re.compile(r"(?<=[{,])(\s*)([A-Za-z]\w*):")


class AdmissionPolicy:
    """A policy out of a file that has it first and its binding second."""

    def __init__(self, file: Path) -> None:
        self.policy, self.binding = yaml.safe_load_all(file.read_text(encoding="utf-8"))
        self.spec: dict[str, Any] = self.policy["spec"]

    def matches(self, pod: dict[str, Any]) -> bool:
        """Say whether all conditions hold; selectors are not looked at."""
        said = [
            cel.evaluate(each["expression"], {"object": pod})
            for each in self.spec["matchConditions"]
        ]
        assert all(isinstance(each, bool) for each in said)
        return all(said)

    def admitted(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Return the pod as it goes on from here, looked at once."""
        if not self.matches(pod):
            return pod
        variables = {
            each["name"]: cel.evaluate(each["expression"], {"object": pod})
            for each in self.spec["variables"]
        }
        for mutation in self.spec["mutations"]:
            expression = _without_types(mutation["jsonPatch"]["expression"])
            operations = cel.evaluate(expression, {"object": pod, "variables": variables})
            pod = copy.deepcopy(pod)
            for operation in operations:
                _apply(operation, pod)
        return pod


def _without_types(expression: str) -> str:
    quoted = _FIELD.sub(r'\1"\2":', expression)
    return _CONSTRUCTED.sub(rf'{{"{TYPE}": "\1", ', quoted)


def _apply(operation: dict[str, Any], target: Any) -> None:
    """Do one `add` of RFC 6902 to `target`."""
    assert operation.pop(TYPE) == "JSONPatch"
    assert set(operation) == {"op", "path", "value"}
    assert operation["op"] == "add"
    assert operation["path"].startswith("/")
    *parents, last = operation["path"][1:].split("/")
    fields = [name for name in [*parents, last] if not re.fullmatch(r"\d+|-", name)]
    value = _checked(operation["value"], ".".join(["Object", *fields]))
    for name in parents:
        target = target[name]
    if isinstance(target, dict):
        target[last] = value
    else:
        target.insert(len(target) if last == "-" else int(last), value)


def _checked(value: Any, path: str) -> Any:
    """Return `value` without its types. Each of them has to be the path of its field."""
    if isinstance(value, list):
        return [_checked(each, path) for each in value]
    if not isinstance(value, dict):
        return value
    assert value.get(TYPE, path) == path
    return {name: _checked(each, f"{path}.{name}") for name, each in value.items() if name != TYPE}
