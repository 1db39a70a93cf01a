"""Which calls of a record the roles' own policies allow: what a rehearsal can tell of rights, and no more.

It never shows that a policy suffices on AWS: dependent actions (PassRole, tags at launch) are not in any record, and
SWF's decision actions pass no gateway.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from simpleflow.testing.cloud import buckets, calls, policies


class Excess(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that a role made and its policies do not allow."""

    role: str
    #: the IAM action, such as ``s3:PutObject``
    action: str
    resource: str
    times: int


class Rights:
    """Reads roles' policies through IAM's API.

    Args:
        client: gives a boto3 client that is not recorded.
    """

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client

    def statements(self, role: str) -> list[Mapping[str, Any]]:
        """Every statement of a role's inline and attached policies."""
        iam = self._client("iam")
        found: list[Mapping[str, Any]] = []
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            found += policies.statements_of(
                _document(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
            )
        for one in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=one["PolicyArn"])["Policy"]["DefaultVersionId"]
            document = iam.get_policy_version(PolicyArn=one["PolicyArn"], VersionId=version)["PolicyVersion"][
                "Document"
            ]
            found += policies.statements_of(_document(document))
        return found

    def excess(self, record: calls.Record) -> list[Excess]:
        """The calls of roles' sessions that their policies, as they are now, do not allow."""
        counted: dict[tuple[str, str, str], int] = {}
        known: dict[str, list[Mapping[str, Any]]] = {}
        for call in record:
            role = call.principal.role
            if not role or call.status == 501:
                continue
            statements = known.setdefault(role, self.statements(role))
            action = buckets.action_of(call.action) if call.service == "s3" else call.name
            resource = buckets.resource_of(call.params) if call.service == "s3" else None
            if not allowed(statements, call, action, resource):
                key = (role, action, resource or "*")
                counted[key] = counted.get(key, 0) + 1
        return [Excess(role=r, action=a, resource=s, times=n) for (r, a, s), n in sorted(counted.items())]


def allowed(statements: list[Mapping[str, Any]], call: calls.Call, action: str, resource: str | None) -> bool:
    """Whether statements allow one recorded call; conditions on keys that no recorder sees count as met."""
    context = {"aws:userid": f"{call.principal.role}:{call.principal.session}", "aws:securetransport": "true"}
    if call.principal.session:
        context["ec2:sourceinstancearn"] = f"instance/{call.principal.session}"
    plain = [{k: v for k, v in policies.filled(one, context).items() if k != "Condition"} for one in statements]
    denied = [one for one in statements if one.get("Effect") == "Deny" and "Condition" in one]
    kept = [one for one, whole in zip(plain, statements, strict=True) if whole not in denied]
    return policies.verdict(kept, action=action, resource=resource, context=context) == "allow"


def _document(document: Any) -> Mapping[str, Any]:
    if isinstance(document, str):
        return dict(json.loads(unquote(document)))
    return dict(document)
