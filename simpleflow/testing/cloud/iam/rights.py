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

from simpleflow.testing.cloud.iam import buckets, policies
from simpleflow.testing.cloud.wire import requests


class Excess(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that a role made and its policies do not allow."""

    role: str
    #: the IAM action, such as ``s3:PutObject``
    action: str
    resource: str
    times: int


_CHANGES = frozenset(
    ["PutRolePolicy", "DeleteRolePolicy", "AttachRolePolicy", "DetachRolePolicy", "CreateRole", "DeleteRole"]
)


class Rights:
    """Judges each call by the policies that its role had then.

    Args:
        client: gives a boto3 client that is not recorded.
        record: the calls.
    """

    def __init__(self, client: Callable[[str], Any], record: requests.Record) -> None:
        self._client = client
        self._record = record
        self._judged = 0
        self._counted: dict[tuple[str, str, str], int] = {}

    def guard(self, request: requests.Request) -> None:
        """Judge what was called so far before policies change."""
        if request.service == "iam" and request.action in _CHANGES:
            self._judge()

    def clear(self) -> None:
        """Forget every judgement, as the record forgets its calls."""
        self._judged = 0
        self._counted.clear()

    def statements(self, role: str) -> list[Mapping[str, Any]]:
        """Every statement of a role's inline and attached policies; a role that is not there has none."""
        iam = self._client("iam")
        found: list[Mapping[str, Any]] = []
        try:
            names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        except iam.exceptions.NoSuchEntityException:
            return []
        for name in names:
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

    def excess(self) -> list[Excess]:
        """The calls of roles' sessions so far that their policies did not allow."""
        self._judge()
        return [Excess(role=r, action=a, resource=s, times=n) for (r, a, s), n in sorted(self._counted.items())]

    def _judge(self) -> None:
        known: dict[str, list[Mapping[str, Any]]] = {}
        for call in self._record.after(self._judged):
            self._judged = call.number
            role = call.principal.role
            if not role or call.status == 501:
                continue
            if role not in known:
                known[role] = self.statements(role)
            action = buckets.action_of(call.action) if call.service == "s3" else call.name
            resource = buckets.resource_of(call.params) if call.service == "s3" else None
            if not allowed(known[role], call, action, resource):
                key = (role, action, resource or "*")
                self._counted[key] = self._counted.get(key, 0) + 1


def allowed(statements: list[Mapping[str, Any]], call: requests.Call, action: str, resource: str | None) -> bool:
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
