"""What the registry says of resource types, from the schemas that cfn-lint carries."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER


@functools.cache
def of(kind: str, region: str) -> Mapping[str, Any] | None:
    """The registry's schema of a type in a region, None when there is none."""
    try:
        found: Mapping[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, kind).schema
    except Exception:  # cfn-lint's error class is none of its public names
        return None
    return found


def create_only(kind: str, region: str) -> frozenset[str]:
    """Top-level properties whose change means a new resource."""
    schema = of(kind, region) or {}
    return frozenset(path.split("/")[2] for path in schema.get("createOnlyProperties", []) if path.count("/") == 2)


def permissions(kind: str, region: str) -> frozenset[str]:
    """Every IAM action that the type's handlers may call."""
    schema = of(kind, region) or {}
    return frozenset(one for handler in schema.get("handlers", {}).values() for one in handler.get("permissions", []))


def faults(kind: str, region: str, properties: Mapping[str, Any]) -> list[str]:
    """What the registry refuses about these properties, in CloudFormation's words; [] when nothing."""
    schema = of(kind, region)
    if schema is None:
        return [f"Unrecognized resource types: [{kind}]"]
    read_only = [p.split("/")[2] for p in schema.get("readOnlyProperties", []) if p.count("/") == 2]
    set_ones = [name for name in read_only if name in properties]
    found = [f"Encountered a read-only property: {name}" for name in set_ones]
    return found + list(_check(schema, schema, properties, "#"))


def _check(root: Mapping[str, Any], schema: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
    while "$ref" in schema:
        node: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        schema = node
    if isinstance(value, Mapping):
        yield from _check_object(root, schema, value, where)
    elif isinstance(value, list):
        if "items" in schema:
            for number, one in enumerate(value):
                yield from _check(root, schema["items"], one, f"{where}/{number}")
        elif _allows(schema, "string") and not _allows(schema, "array"):
            yield f"{where}: expected type: String, found: JSONArray"
    else:
        yield from _check_plain(schema, value, where)


def _allows(schema: Mapping[str, Any], kind: str) -> bool:
    stated = schema.get("type", [])
    return kind in ([stated] if isinstance(stated, str) else stated)


def _check_object(
    root: Mapping[str, Any], schema: Mapping[str, Any], value: Mapping[str, Any], where: str
) -> Iterator[str]:
    properties = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    if not properties and not patterns and "type" in schema and not _allows(schema, "object"):
        yield f"{where}: expected type: {schema['type']}, found: JSONObject"
    if schema.get("additionalProperties") is False and not patterns:
        for name in value:
            if name not in properties:
                yield f"{where}: extraneous key [{name}] is not permitted"
    for name in schema.get("required", []):
        if name not in value:
            yield f"{where}: required key [{name}] not found"
    for name, one in value.items():
        if name in properties:
            yield from _check(root, properties[name], one, f"{where}/{name}")


def _check_plain(schema: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
    if schema.get("type") in ("array", "object"):
        yield f"{where}: expected type: {schema['type']}, found: {type(value).__name__}"
    if schema.get("type") == "integer" and not str(value).lstrip("-").isdigit():
        yield f"{where}: expected type: Integer, found: {value!r}"
    if schema.get("type") == "boolean" and str(value).lower() not in ("true", "false"):
        yield f"{where}: expected type: Boolean, found: {value!r}"
    allowed = schema.get("enum")
    if allowed and str(value) not in map(str, allowed):
        yield f"{where}: {value} is not a valid enum value"
