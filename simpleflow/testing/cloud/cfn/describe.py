"""Stacks and resources in the shape of CloudFormation's answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simpleflow.testing.cloud.cfn import stacks


def stack(one: stacks.Stack) -> dict[str, Any]:
    """A stack as DescribeStacks shows it."""
    return {
        "StackId": one.id,
        "StackName": one.name,
        "Description": one.given.body.get("Description"),
        "Parameters": [
            {
                "ParameterKey": key,
                "ParameterValue": value,
                "ResolvedValue": one.given.parameters[key]
                if str(one.given.body["Parameters"][key]["Type"]).startswith("AWS::SSM::Parameter::Value<")
                else None,
            }
            for key, value in one.given.asked.items()
        ],
        "CreationTime": one.created,
        "LastUpdatedTime": one.updated,
        "DeletionTime": one.deleted,
        "StackStatus": one.status,
        "StackStatusReason": one.reason or None,
        "DisableRollback": False,
        "RoleARN": one.role or None,
        "EnableTerminationProtection": one.protected,
        "Capabilities": one.capabilities,
        "Outputs": one.outputs,
        "Tags": [{"Key": k, "Value": v} for k, v in one.given.tags.items()],
        "NotificationARNs": [],
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def resource(one: stacks.Resource) -> dict[str, Any]:
    """A resource with its moment still under the name ``moment``."""
    return {
        "LogicalResourceId": one.name,
        "PhysicalResourceId": one.physical or None,
        "ResourceType": one.type,
        "ResourceStatus": one.status,
        "ResourceStatusReason": one.reason or None,
        "DriftInformation": None,
        "moment": one.moment,
    }


def at(shown: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The same, its moment under the name that this answer has for it."""
    return {**{k: v for k, v in shown.items() if k != "moment"}, name: shown["moment"]}


def change(one: stacks.Change) -> dict[str, Any]:
    """A line of a change set."""
    body: dict[str, Any] = {
        "Action": one.action,
        "LogicalResourceId": one.name,
        "ResourceType": one.type,
        "PhysicalResourceId": one.physical or None,
        "Replacement": one.replacement or None,
        "Scope": ["Properties"] if one.details else [],
        "Details": [
            {
                "Target": {
                    "Attribute": "Properties",
                    "Name": name,
                    "RequiresRecreation": "Always" if one.replacement == "True" else "Never",
                },
                "Evaluation": "Static",
                "ChangeSource": "DirectModification",
            }
            for name in one.details
        ],
    }
    return {"Type": "Resource", "ResourceChange": body}
