"""YAML text → `Document`: values, places, variables replaced; every mistake on the way reported.

It walks the composed nodes itself instead of letting PyYAML construct, because only nodes know
their lines, duplicate keys are visible only there, and variables are replaced in strings alone.
Aliases and `<<` are followed, within bounds. Tags other than YAML's own scalars are refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from yaml.constructor import SafeConstructor

from proxy.config.document import BROKEN, Document, KeyPath, Position
from proxy.config.problem import ConfigurationError, Problem
from proxy.config.substitution import SubstitutionError, substitute

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT_CHARACTERS_MAX = 4 * 1024 * 1024
NODES_MAX = 200_000
DEPTH_MAX = 32

_TAG = "tag:yaml.org,2002:"
_QUOTED = re.compile(r" '(?!<)[^']{2,}'")


def read_document(text: str, file: str, environ: Mapping[str, str]) -> Document:
    """Return the tree of `text`; its `problems` may hold some already.

    Raises `ConfigurationError` where there is no tree at all: broken YAML, or bounds exceeded.
    """
    document = Document(file)
    node = _compose(text, file)
    if node is not None:
        reader = _Reader(document, environ)
        document.values = reader.value(node, ())
    return document


def _compose(text: str, file: str) -> yaml.Node | None:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise ConfigurationError([Problem(file, 1, 1, "", "is too long for a configuration")])
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
        message = "has a character that YAML does not allow"
        raise ConfigurationError([Problem(file, line, column, "", message)]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = _position(mark) if mark else Position()
        message = _explained(error, text, position)
        problem = Problem(file, position.line, position.column, "", message)
        raise ConfigurationError([problem]) from None
    except RecursionError:
        raise ConfigurationError([Problem(file, 1, 1, "", "is nested too deeply")]) from None
    return node


def _explained(error: yaml.MarkedYAMLError, text: str, position: Position) -> str:
    # What PyYAML quotes may be a piece of a value; token names in <> and single characters stay.
    parts = [part for part in (error.context, error.problem) if part]
    message = "is not YAML: " + _QUOTED.sub("", ", ".join(parts))
    lines = text.split("\n")
    if position.line <= len(lines) and "${" in lines[position.line - 1]:
        message += "; within { } and [ ] a ${NAME} must be in quotes"
    return message


def _position(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


class _Reader:
    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self._constructor = SafeConstructor()
        self._nodes = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._nodes += 1
        if self._nodes > NODES_MAX or len(path) > DEPTH_MAX:
            # Aliases can make a small text a huge or an endless tree.
            position = _position(node.start_mark)
            message = "is nested or aliased beyond all bounds"
            raise ConfigurationError(
                [Problem(self._document.file, position.line, position.column, "", message)]
            )
        self._document.places[path] = _position(node.start_mark)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        return self._broken(path, "has a YAML tag that is not supported")

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                merged.append(value_node)
                continue
            position = _position(key_node.start_mark)
            if key_node.tag != _TAG + "str":
                self._document.wrong_at(path, position, "has a key that is no text; quote it")
                continue
            key = str(key_node.value)
            if key in result:
                first = self._document.keys[(*path, key)]
                self._document.wrong_at(
                    (*path, key), position, f"is given twice, first in line {first.line}"
                )
                continue
            self._document.keys[(*path, key)] = position
            result[key] = self.value(value_node, (*path, key))
        for source in merged:
            self._merge(source, path, result)
        return result

    def _merge(self, source: yaml.Node, path: KeyPath, result: dict[str, Any]) -> None:
        """Add what `<<` brings; a key that the mapping has itself wins."""
        nodes = source.value if isinstance(source, yaml.SequenceNode) else [source]
        for node in nodes:
            if not isinstance(node, yaml.MappingNode):
                self._document.wrong_at(path, _position(node.start_mark), "<< takes mappings only")
                continue
            for key_node, value_node in self._own_entries(node, len(path)):
                key = str(key_node.value)
                if key not in result:
                    self._document.keys[(*path, key)] = _position(key_node.start_mark)
                    result[key] = self.value(value_node, (*path, key))

    def _own_entries(self, node: yaml.MappingNode, depth: int) -> list[tuple[yaml.Node, yaml.Node]]:
        # What is wrong with the source's keys is said where it stands, not where it is merged.
        entries = [pair for pair in node.value if pair[0].tag == _TAG + "str"]
        self._nodes += len(entries)
        if depth < DEPTH_MAX:
            for key_node, value_node in node.value:
                if key_node.tag == _TAG + "merge" and isinstance(value_node, yaml.MappingNode):
                    entries += self._own_entries(value_node, depth + 1)
        return entries

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind == "str":
            try:
                return substitute(str(node.value), self._environ)
            except SubstitutionError as error:
                return self._broken(path, str(error), error.suggestion)
        if kind == "timestamp":
            return self._broken(path, "is a date to YAML; put it in quotes")
        try:
            if kind == "int":
                return self._constructor.construct_yaml_int(node)
            if kind == "float":
                return self._constructor.construct_yaml_float(node)
            if kind == "bool":
                return self._constructor.construct_yaml_bool(node)
        except (ValueError, KeyError):
            return self._broken(path, "is not what its YAML tag says")
        if kind == "null":
            return None
        return self._broken(path, "has a YAML tag that is not supported")

    def _broken(self, path: KeyPath, message: str, suggestion: str | None = None) -> Any:
        self._document.break_value(path, message, suggestion)
        return BROKEN
