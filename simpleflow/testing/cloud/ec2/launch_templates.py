"""Launch templates: versions, and the merging that RunInstances, CreateFleet and Auto Scaling do."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud.wire import errors, ids, requests

#: bytes of user data before base64 (AWS: "User data is limited to 16 KB, in raw form")
USER_DATA_LIMIT = 16_384
_TAG_KEY_IN_METADATA = re.compile(r"[0-9a-zA-Z\-_+=,.@:]{1,255}")
_BY_DEVICE = "BlockDeviceMappings"


def check_tags(tags: Mapping[str, str], *, in_metadata: bool) -> None:
    """Refuse tags as EC2 does: lengths, the reserved prefix, and the characters that metadata cannot serve."""
    if len(tags) > 50:
        raise errors.ApiError("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise errors.ApiError(
                "InvalidParameterValue", f"Tag key {key!r} or its value exceeds the maximum length (128 and 256)"
            )
        if key.lower().startswith("aws:"):
            raise errors.ApiError("InvalidParameterValue", f"Tag keys starting with 'aws:' are reserved: {key}")
        if in_metadata and (not _TAG_KEY_IN_METADATA.fullmatch(key) or key in (".", "..", "_index")):
            raise errors.ApiError(
                "InvalidParameterValue",
                f"'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), "
                "and must not be a reserved name ('.', '..', '_index')",
            )


def user_data(text: str) -> bytes:
    """Decode user data as EC2 does; raises ApiError when it is not base64 or too long."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.ApiError("InvalidParameterValue", "Invalid BASE64 encoding of user data") from error
    if len(raw) > USER_DATA_LIMIT:
        raise errors.ApiError("InvalidParameterValue", "User data is limited to 16384 bytes")
    return raw


def tags_of(specifications: list[dict[str, Any]], kind: str) -> dict[str, str]:
    """The tags that these TagSpecifications give to one kind of resource."""
    return {
        tag["Key"]: tag.get("Value", "")
        for one in specifications
        if one.get("ResourceType") == kind
        for tag in one.get("Tags", [])
    }


def merge(template: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a request over a template's data, as EC2 documents it.

    The request's value wins; tags are merged by kind of resource and key, disks by device name, metadata options by
    option.
    """
    merged = {**template, **{k: v for k, v in request.items() if v not in (None, [], {})}}
    if template.get("MetadataOptions"):
        merged["MetadataOptions"] = {**template["MetadataOptions"], **request.get("MetadataOptions", {})}
    if template.get(_BY_DEVICE) and request.get(_BY_DEVICE):
        disks = {d["DeviceName"]: d for d in template[_BY_DEVICE]}
        disks |= {d["DeviceName"]: {**disks.get(d["DeviceName"], {}), **d} for d in request[_BY_DEVICE]}
        merged[_BY_DEVICE] = list(disks.values())
    specifications = [*template.get("TagSpecifications", []), *request.get("TagSpecifications", [])]
    if specifications:
        kinds = dict.fromkeys(one["ResourceType"] for one in specifications)
        merged["TagSpecifications"] = [
            {
                "ResourceType": kind,
                "Tags": [{"Key": k, "Value": v} for k, v in tags_of(specifications, kind).items()],
            }
            for kind in kinds
        ]
    return merged


class LaunchTemplates:
    """The account's launch templates."""

    def __init__(self, clock: clocks.Clock, maker: ids.Ids) -> None:
        self._clock = clock
        self._ids = maker
        self._templates: dict[str, dict[str, Any]] = {}
        self._versions: dict[str, dict[int, dict[str, Any]]] = {}

    def resolve(self, specification: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Find a template's version; returns its data, and the specification as answers show it.

        Raises ApiError for a template or version that does not exist.
        """
        template = self._find(specification.get("LaunchTemplateId"), specification.get("LaunchTemplateName"))
        number = self._number(template, str(specification.get("Version") or "$Default"))
        version = self._versions[template["LaunchTemplateId"]].get(number)
        if version is None:
            raise errors.ApiError(
                "InvalidLaunchTemplateId.VersionNotFound",
                f"Could not find launch template version {specification.get('Version')}.",
            )
        shown = {
            "LaunchTemplateId": template["LaunchTemplateId"],
            "LaunchTemplateName": template["LaunchTemplateName"],
            "Version": str(number),
        }
        return version["LaunchTemplateData"], shown

    def _find(self, template_id: str | None, name: str | None) -> dict[str, Any]:
        if template_id:
            found = self._templates.get(template_id)
            if found is None:
                raise errors.ApiError(
                    "InvalidLaunchTemplateId.NotFound",
                    f"The specified launch template, with template ID {template_id}, does not exist.",
                )
            return found
        for one in self._templates.values():
            if one["LaunchTemplateName"] == name:
                return one
        raise errors.ApiError(
            "InvalidLaunchTemplateName.NotFoundException",
            f"The specified launch template, with template name {name}, does not exist.",
        )

    @staticmethod
    def _number(template: Mapping[str, Any], version: str) -> int:
        if version == "$Latest":
            return int(template["LatestVersionNumber"])
        if version == "$Default":
            return int(template["DefaultVersionNumber"])
        if not version.isdigit():
            raise errors.ApiError("InvalidParameterValue", f"Invalid launch template version: {version}")
        return int(version)

    @requests.handles("ec2:CreateLaunchTemplate")
    def create(self, request: requests.Request) -> dict[str, Any]:
        """Make a template with its first version."""
        name = request.params["LaunchTemplateName"]
        if any(t["LaunchTemplateName"] == name for t in self._templates.values()):
            raise errors.ApiError(
                "InvalidLaunchTemplateName.AlreadyExistsException", f"Launch template name already in use: {name}"
            )
        _check(request.params["LaunchTemplateData"])
        template = {
            "LaunchTemplateId": self._ids.make("lt"),
            "LaunchTemplateName": name,
            "CreateTime": self._clock.now(),
            "CreatedBy": request.principal.arn,
            "DefaultVersionNumber": 1,
            "LatestVersionNumber": 0,
            "Tags": [
                {"Key": k, "Value": v}
                for k, v in tags_of(request.params.get("TagSpecifications", []), "launch-template").items()
            ],
        }
        self._templates[template["LaunchTemplateId"]] = template
        self._versions[template["LaunchTemplateId"]] = {}
        self._add(template, request)
        return {"LaunchTemplate": template}

    @requests.handles("ec2:CreateLaunchTemplateVersion")
    def create_version(self, request: requests.Request) -> dict[str, Any]:
        """Add a version; the default stays what it was."""
        template = self._find(request.params.get("LaunchTemplateId"), request.params.get("LaunchTemplateName"))
        _check(request.params["LaunchTemplateData"])
        return {"LaunchTemplateVersion": self._add(template, request)}

    def _add(self, template: dict[str, Any], request: requests.Request) -> dict[str, Any]:
        data = request.params["LaunchTemplateData"]
        source = request.params.get("SourceVersion")
        if source:
            data = merge(self._versions[template["LaunchTemplateId"]][int(source)]["LaunchTemplateData"], data)
        template["LatestVersionNumber"] += 1
        version = {
            "LaunchTemplateId": template["LaunchTemplateId"],
            "LaunchTemplateName": template["LaunchTemplateName"],
            "VersionNumber": template["LatestVersionNumber"],
            "VersionDescription": request.params.get("VersionDescription"),
            "CreateTime": self._clock.now(),
            "CreatedBy": request.principal.arn,
            "DefaultVersion": template["LatestVersionNumber"] == template["DefaultVersionNumber"],
            "LaunchTemplateData": data,
        }
        self._versions[template["LaunchTemplateId"]][template["LatestVersionNumber"]] = version
        return version

    @requests.handles("ec2:ModifyLaunchTemplate")
    def modify(self, request: requests.Request) -> dict[str, Any]:
        """Set the default version."""
        template = self._find(request.params.get("LaunchTemplateId"), request.params.get("LaunchTemplateName"))
        number = self._number(template, str(request.params["DefaultVersion"]))
        if number not in self._versions[template["LaunchTemplateId"]]:
            raise errors.ApiError(
                "InvalidLaunchTemplateId.VersionNotFound", f"Could not find launch template version {number}."
            )
        template["DefaultVersionNumber"] = number
        return {"LaunchTemplate": template}

    @requests.handles("ec2:DeleteLaunchTemplate")
    def delete(self, request: requests.Request) -> dict[str, Any]:
        """Delete a template with its versions."""
        template = self._find(request.params.get("LaunchTemplateId"), request.params.get("LaunchTemplateName"))
        del self._templates[template["LaunchTemplateId"]], self._versions[template["LaunchTemplateId"]]
        return {"LaunchTemplate": template}

    @requests.handles("ec2:DescribeLaunchTemplates")
    def describe(self, request: requests.Request) -> dict[str, Any]:
        """List templates by id, name or the tag filters."""
        params = request.params
        wanted = [
            *(self._find(one, None) for one in params.get("LaunchTemplateIds", [])),
            *(self._find(None, one) for one in params.get("LaunchTemplateNames", [])),
        ]
        found = wanted or list(self._templates.values())
        for one in params.get("Filters", []):
            found = [t for t in found if _passes(t, one["Name"], one.get("Values", []))]
        return {"LaunchTemplates": found}

    @requests.handles("ec2:DescribeLaunchTemplateVersions")
    def describe_versions(self, request: requests.Request) -> dict[str, Any]:
        """List a template's versions, all or those asked for."""
        template = self._find(request.params.get("LaunchTemplateId"), request.params.get("LaunchTemplateName"))
        known = self._versions[template["LaunchTemplateId"]]
        asked = [self._number(template, str(v)) for v in request.params.get("Versions", [])] or list(known)
        if any(number not in known for number in asked):
            raise errors.ApiError(
                "InvalidLaunchTemplateId.VersionNotFound", f"Could not find launch template versions {asked}."
            )
        default = template["DefaultVersionNumber"]
        return {
            "LaunchTemplateVersions": [
                {**known[n], "DefaultVersion": n == default} for n in sorted(asked, reverse=True)
            ]
        }

    def tagged(self, resource: str) -> dict[str, Any] | None:
        """The template of this id, for CreateTags and DescribeTags."""
        return self._templates.get(resource)


def _check(data: Mapping[str, Any]) -> None:
    if not data:
        raise errors.ApiError("MissingParameter", "The request must contain the parameter LaunchTemplateData")
    if data.get("UserData"):
        user_data(data["UserData"])
    if data.get("NetworkInterfaces") and (data.get("SecurityGroupIds") or data.get("SecurityGroups")):
        raise errors.ApiError(
            "InvalidParameterCombination",
            "Network interfaces and an instance-level security groups may not be specified on the same request",
        )


def _passes(template: Mapping[str, Any], name: str, values: list[str]) -> bool:
    if name == "launch-template-name":
        return template["LaunchTemplateName"] in values
    if name.startswith("tag:"):
        return any(t["Key"] == name[4:] and t["Value"] in values for t in template["Tags"])
    if name == "tag-key":
        return any(t["Key"] in values for t in template["Tags"])
    raise errors.ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
