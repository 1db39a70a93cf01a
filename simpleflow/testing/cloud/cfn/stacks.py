"""A stack's state: resources, events, outputs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud.cfn import intrinsics, template
from simpleflow.testing.cloud.wire import requests


@dataclasses.dataclass(kw_only=True)
class Resource:
    """One resource as the stack knows it."""

    name: str
    type: str
    physical: str = ""
    properties: dict[str, Any] = dataclasses.field(default_factory=dict)
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    status: str = ""
    reason: str = ""
    moment: float = 0.0
    #: DeletionPolicy and UpdateReplacePolicy
    deletion: str = "Delete"
    replacement: str = "Delete"


@dataclasses.dataclass(kw_only=True)
class Given:
    """What a create or update was asked for."""

    body: dict[str, Any]
    text: str
    #: parameters as given, and as resolved (SSM values looked up, defaults filled in)
    asked: dict[str, str]
    parameters: dict[str, Any]
    tags: dict[str, str]


class Stack:
    """One stack, living or deleted."""

    def __init__(
        self, name: str, stack_id: str, clock: clocks.Clock, given: Given, principal: requests.Principal
    ) -> None:
        self.name = name
        self.id = stack_id
        self._clock = clock
        self.given = given
        self.principal = principal
        self.created = clock.now()
        self.updated: float | None = None
        self.deleted: float | None = None
        self.status = ""
        self.reason = ""
        self.protected = False
        self.rollback = True
        self.capabilities: list[str] = []
        self.role = ""
        self.resources: dict[str, Resource] = {}
        self.outputs: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    # --- intrinsics.Resources -----------------------------------------------------------------------------------

    def ref(self, name: str) -> Any:
        """Ref's value of a resource; the logical name where a condition left it out (as Outputs may)."""
        resource = self.resources.get(name)
        if resource is None:
            raise template.invalid(f"Unresolved resource dependencies [{name}]")
        return resource.physical

    def attribute(self, name: str, attribute: str) -> Any:
        """GetAtt's value of a resource."""
        resource = self.resources.get(name)
        if resource is None:
            raise template.invalid(f"Unresolved resource dependencies [{name}]")
        if attribute not in resource.attributes:
            raise template.invalid(
                f"Requested attribute {attribute} must be readonly property in schema for {resource.type}"
            )
        return resource.attributes[attribute]

    # --- events -------------------------------------------------------------------------------------------------

    def tell(self, status: str, reason: str = "") -> None:
        """Set the stack's own status, with its event."""
        self.status, self.reason = status, reason
        if status == "DELETE_COMPLETE":
            self.deleted = self._clock.now()
        self._event(self.name, self.id, "AWS::CloudFormation::Stack", status, reason, None)

    def mark(self, resource: Resource, status: str, reason: str = "") -> None:
        """Set a resource's status, with its event."""
        resource.status, resource.reason, resource.moment = status, reason, self._clock.now()
        self._event(resource.name, resource.physical, resource.type, status, reason, resource.properties)

    def _event(
        self, name: str, physical: str, kind: str, status: str, reason: str, properties: Mapping[str, Any] | None
    ) -> None:
        event = {
            "EventId": f"{name}-{len(self.events) + 1:05d}",
            "StackId": self.id,
            "StackName": self.name,
            "LogicalResourceId": name,
            "PhysicalResourceId": physical,
            "ResourceType": kind,
            "Timestamp": self._clock.now(),
            "ResourceStatus": status,
        }
        if reason:
            event["ResourceStatusReason"] = reason
        if properties is not None:
            event["ResourceProperties"] = json.dumps(properties, default=str)
        self.events.append(event)


class Planned:
    """Answers Ref and GetAtt for a change that has not happened: what it will replace or make is unknown.

    Args:
        stack: the stack as it is.
        fresh: names that will have a new physical id.
        touched: names that will be changed in place.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.fresh: set[str] = set()
        self.touched: set[str] = set()

    def ref(self, name: str) -> Any:
        """Ref's value, unknown for what is made or replaced."""
        if name in self.fresh or name not in self._stack.resources:
            return intrinsics.Unknown()
        return self._stack.ref(name)

    def attribute(self, name: str, attribute: str) -> Any:
        """GetAtt's value, unknown for what is made, replaced or changed."""
        if name in self.fresh or name not in self._stack.resources:
            return intrinsics.Unknown()
        if name in self.touched and attribute.startswith("Latest"):
            return intrinsics.Unknown()
        return self._stack.attribute(name, attribute)


@dataclasses.dataclass(kw_only=True)
class Change:
    """One line of a change set."""

    action: str
    name: str
    type: str
    physical: str = ""
    replacement: str = ""
    details: tuple[str, ...] = ()


def policies(body: Mapping[str, Any]) -> tuple[str, str]:
    """DeletionPolicy and UpdateReplacePolicy of a resource of a template."""
    return str(body.get("DeletionPolicy", "Delete")), str(body.get("UpdateReplacePolicy", "Delete"))
