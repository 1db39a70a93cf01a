"""Templates: reading them, and what CloudFormation refuses before it begins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from simpleflow.testing.cloud.wire import errors

#: bytes of a template in the request itself, and of one fetched from S3 (AWS quotas)
BODY_LIMIT = 51_200
URL_LIMIT = 1_000_000
_SECTIONS = frozenset(
    ["AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings", "Conditions", "Resources",
     "Outputs", "Rules"]
)  # fmt: skip
_ATTRIBUTES = frozenset(
    ["Type", "Properties", "DependsOn", "Condition", "DeletionPolicy", "UpdateReplacePolicy", "Metadata"]
)
_FUNCTION_TAGS = frozenset(
    ["Base64", "Cidr", "FindInMap", "GetAZs", "ImportValue", "Join", "Select", "Split", "Sub", "And", "Equals", "If",
     "Not", "Or"]
)  # fmt: skip
PSEUDO = frozenset(
    f"AWS::{name}"
    for name in ("AccountId", "NotificationARNs", "NoValue", "Partition", "Region", "StackId", "StackName", "URLSuffix")
)
_SUB = re.compile(r"\$\{([^!}][^}]*)\}")


def invalid(message: str) -> errors.ApiError:
    """CloudFormation's ValidationError."""
    return errors.ApiError("ValidationError", message)


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags; dates stay text."""


def _tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    if suffix == "GetAtt":
        return {"Fn::GetAtt": value.split(".", 1) if isinstance(value, str) else value}
    if suffix in _FUNCTION_TAGS:
        return {f"Fn::{suffix}": value}
    raise invalid(f"Template format error: unknown tag !{suffix}")


_Loader.add_multi_constructor("!", _tag)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(text: str) -> dict[str, Any]:
    """Parse JSON or YAML; raises ApiError with CloudFormation's words on what is not a template."""
    try:
        value = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Loader)  # noqa: S506 (SafeLoader)
    except (ValueError, yaml.YAMLError) as error:
        raise invalid(f"Template format error: JSON or YAML not well-formed. ({error})") from error
    if not isinstance(value, dict):
        raise invalid("Template format error: unsupported structure.")
    check(value)
    return value


def check(template: Mapping[str, Any]) -> None:
    """Refuse what CloudFormation refuses before any resource is touched."""
    if "Transform" in template:
        raise errors.ApiError("NotRehearsed", "templates with a Transform are not rehearsed", 501)
    unknown = sorted(set(template) - _SECTIONS)
    if unknown:
        raise invalid(f"Invalid template property or properties [{', '.join(unknown)}]")
    resources = template.get("Resources")
    if not resources:
        raise invalid("Template format error: At least one Resources member must be defined.")
    for name, resource in resources.items():
        if not re.fullmatch(r"[a-zA-Z0-9]+", name):
            raise invalid(f"Template format error: Resource name {name} is non alphanumeric.")
        if "Type" not in resource:
            raise invalid(
                f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member."
            )
        odd = sorted(set(resource) - _ATTRIBUTES)
        if odd:
            raise invalid(f"Invalid template resource property '{odd[0]}' (or not rehearsed) in {name}")
    known = set(template.get("Parameters", {})) | set(resources) | PSEUDO
    missing = sorted(
        {one for part in ("Resources", "Conditions") for one in references(template.get(part, {}))} - known
    )
    if missing:
        raise invalid(
            f"Template format error: Unresolved resource dependencies [{', '.join(missing)}] in the Resources block "
            "of the template"
        )
    missing = sorted(set(references(template.get("Outputs", {}))) - known)
    if missing:
        raise invalid(
            f"Template format error: Unresolved dependencies [{', '.join(missing)}]. Cannot reference resources in the "
            "Outputs block of the template"
        )
    order(resources)


def references(node: Any) -> Iterator[str]:
    """Every logical name (parameter, pseudo parameter or resource) that Ref, GetAtt and Sub name below a node."""
    if isinstance(node, Mapping):
        if len(node) == 1:
            ((key, value),) = node.items()
            if key == "Ref":
                yield value
                return
            if key == "Fn::GetAtt":
                yield value.split(".")[0] if isinstance(value, str) else value[0]
                return
            if key == "Fn::Sub":
                text, given = (value, {}) if isinstance(value, str) else (value[0], value[1])
                for name in _SUB.findall(text):
                    if name not in given:
                        yield name.split(".")[0]
                yield from references(given)
                return
        for key, value in node.items():
            if key == "DependsOn":
                yield from [value] if isinstance(value, str) else value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def imports(node: Any) -> Iterator[Any]:
    """The argument of every Fn::ImportValue below a node, not evaluated."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "Fn::ImportValue":
                yield value
            else:
                yield from imports(value)
    elif isinstance(node, list):
        for value in node:
            yield from imports(value)


def order(resources: Mapping[str, Any]) -> list[str]:
    """Names of the resources, each after those it depends on; ties by place in the template."""
    needs = {name: {one for one in references(body) if one in resources} for name, body in resources.items()}
    ordered: list[str] = []
    while len(ordered) < len(resources):
        ready = [name for name in resources if name not in ordered and needs[name] <= set(ordered)]
        if not ready:
            stuck = ", ".join(name for name in resources if name not in ordered)
            raise invalid(f"Circular dependency between resources: [{stuck}]")
        ordered += ready
    return ordered


def capabilities(template: Mapping[str, Any]) -> str:
    """The capability that its IAM resources ask for, '' when there are none."""
    needed = ""
    for resource in template["Resources"].values():
        if not resource["Type"].startswith("AWS::IAM::"):
            continue
        properties = resource.get("Properties", {})
        named = {"RoleName", "InstanceProfileName", "ManagedPolicyName", "UserName", "GroupName"}
        if resource["Type"] != "AWS::IAM::Policy" and named & set(properties):
            return "CAPABILITY_NAMED_IAM"
        needed = "CAPABILITY_IAM"
    return needed
