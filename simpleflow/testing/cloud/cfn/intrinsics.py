"""Functions of templates, evaluated against one stack's parameters, conditions and resources."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from simpleflow.testing.cloud.cfn import template
from simpleflow.testing.cloud.wire import requests

_SUB = re.compile(r"\$\{(!?)([^}]*)\}")
NO_VALUE = object()


class Unknown:
    """A value that only the change itself will bring; never equal to anything."""

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return id(self)

    def __str__(self) -> str:
        return "{{changeSet:KNOWN_AFTER_APPLY}}"


class Resources(Protocol):
    """What Ref and GetAtt ask of the stack."""

    def ref(self, name: str) -> Any:
        """The value of Ref for a resource."""

    def attribute(self, name: str, attribute: str) -> Any:
        """The value of GetAtt; raises ApiError for an attribute that the type lacks."""


class Scope:
    """Evaluates a template's functions.

    Args:
        body: the template.
        parameters: resolved values by name.
        stack: name and id, for the pseudo parameters.
        region: the region.
        zones: its zones.
        resources: answers Ref and GetAtt.
        imports: finds exports of other stacks; raises ApiError on a name that nobody exports.
    """

    def __init__(
        self,
        body: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        stack: tuple[str, str],
        region: str,
        zones: tuple[str, ...],
        resources: Resources,
        imports: Callable[[str], str],
    ) -> None:
        self.body = body
        self.parameters = parameters
        self._resources = resources
        self._zones = zones
        self._imports = imports
        self._pseudo: dict[str, Any] = {
            "AWS::AccountId": requests.ACCOUNT_ID,
            "AWS::NotificationARNs": [],
            "AWS::NoValue": NO_VALUE,
            "AWS::Partition": "aws",
            "AWS::Region": region,
            "AWS::StackId": stack[1],
            "AWS::StackName": stack[0],
            "AWS::URLSuffix": "amazonaws.com",
        }

    def condition(self, name: str) -> bool:
        """Evaluate a named condition."""
        conditions = self.body.get("Conditions", {})
        if name not in conditions:
            raise template.invalid(f"Template error: unresolved condition dependency {name}")
        return bool(self.value(conditions[name]))

    def included(self, resource: Mapping[str, Any]) -> bool:
        """Whether a resource's or output's condition holds."""
        return "Condition" not in resource or self.condition(resource["Condition"])

    def value(self, node: Any) -> Any:
        """Evaluate a node of the template, whole."""
        if isinstance(node, Mapping):
            if len(node) == 1:
                ((key, argument),) = node.items()
                if key == "Ref":
                    return self._ref(argument)
                if key == "Condition" and isinstance(argument, str):
                    return self.condition(argument)
                if key.startswith("Fn::"):
                    return self._function(key, argument)
            found = {key: self.value(value) for key, value in node.items()}
            return {key: value for key, value in found.items() if value is not NO_VALUE}
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not NO_VALUE]
        return node

    def _ref(self, name: str) -> Any:
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        return self._resources.ref(name)

    def _function(self, name: str, argument: Any) -> Any:
        match name:
            case "Fn::GetAtt":
                resource, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
                return self._resources.attribute(resource, self.value(attribute))
            case "Fn::Sub":
                return self._sub(argument)
            case "Fn::If":
                condition, yes, no = argument
                return self.value(yes if self.condition(condition) else no)
            case "Fn::And":
                return all(self.value(one) for one in argument)
            case "Fn::Or":
                return any(self.value(one) for one in argument)
            case "Fn::Not":
                return not self.value(argument[0])
        value = self.value(argument)
        match name:
            case "Fn::Join":
                return _known(value[1], lambda parts: value[0].join(str(one) for one in parts))
            case "Fn::Select":
                return value[1] if isinstance(value[1], Unknown) else value[1][int(value[0])]
            case "Fn::Split":
                return value[1] if isinstance(value[1], Unknown) else value[1].split(value[0])
            case "Fn::Base64":
                return _known([value], lambda one: base64.b64encode(str(one[0]).encode()).decode())
            case "Fn::GetAZs":
                return list(self._zones)
            case "Fn::Equals":
                return str(value[0]) == str(value[1])
            case "Fn::FindInMap":
                return self._find(value)
            case "Fn::ImportValue":
                return self._imports(str(value))
            case "Fn::Cidr":
                return _cidr(*value)
        raise template.invalid(f"Template error: {name} is not a function that is rehearsed")

    def _find(self, path: list[str]) -> Any:
        node: Any = self.body.get("Mappings", {})
        for part in path[:3]:
            if part not in node:
                raise template.invalid(f"Template error: Unable to get mapping for {'::'.join(map(str, path))}")
            node = node[part]
        return node

    def _sub(self, argument: Any) -> Any:
        text, given = (argument, {}) if isinstance(argument, str) else (argument[0], self.value(argument[1]))
        unknown: list[Unknown] = []

        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return "${" + name + "}"
            if name in given:
                value = given[name]
            elif "." in name:
                value = self._resources.attribute(*name.split(".", 1))
            else:
                value = self._ref(name)
            if isinstance(value, Unknown):
                unknown.append(value)
            return str(value)

        done = _SUB.sub(replace, text)
        return unknown[0] if unknown else done


def _known(parts: Any, make: Callable[[Any], Any]) -> Any:
    if isinstance(parts, Unknown):
        return parts
    unknown = [one for one in parts if isinstance(one, Unknown)]
    return unknown[0] if unknown else make(parts)


def _cidr(block: str, count: Any, bits: Any = None) -> Any:
    network = ipaddress.ip_network(block)
    prefix = network.max_prefixlen - int(bits)
    found = [str(one) for one, _ in zip(network.subnets(new_prefix=prefix), range(int(count)), strict=False)]
    if len(found) < int(count):
        raise template.invalid(f"Template error: Fn::Cidr: {block} does not hold {count} blocks of {bits} bits")
    return found
