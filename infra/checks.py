"""Our own checks of a generated template: what cfn-lint accepts and AWS, or an auditor, does not.

A check takes the template as plain data and yields problems. Each is shown by a mutation in tests/unit/infra.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from . import stacks, values

#: bytes before base64 (EC2 User Guide: "User data is limited to 16 KB, in raw form, before it is base64-encoded")
USER_DATA_LIMIT = 16_384
#: what a parameter may become in user data: a bucket's name has at most 63 characters, the code's key is about as long
_PARAMETER_LENGTH = 120
_TAG_KEY = re.compile(r"[A-Za-z0-9+\-=.,_:@]{1,128}")
#: letters that any tag's value may hold (EC2 User Guide, tag restrictions)
_TAG_VALUE = re.compile(r"[\w\s+\-=.:/@]{0,256}")
_TYPE = re.compile(r"[a-z][a-z0-9-]*\.(nano|micro|small|medium|(\d+x?)?x?large|metal[a-z0-9-]*)")
_FIXED_NAMES = {
    "AWS::EC2::LaunchTemplate": "LaunchTemplateName",
    "AWS::AutoScaling::AutoScalingGroup": "AutoScalingGroupName",
    "AWS::IAM::Role": "RoleName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::Logs::LogGroup": "LogGroupName",
}

Resource = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, and what to do."""

    #: name of the check
    check: str
    #: logical id, '' for the template as a whole
    resource: str
    message: str

    def __str__(self) -> str:
        where = f"{self.resource}: " if self.resource else ""
        return f"{where}{self.message} [{self.check}]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """What checks look at."""

    template: Mapping[str, Any]
    #: instance types of the region; None when they are not known: then only their form is checked
    instance_types: Collection[str] | None

    def of(self, *kinds: str) -> Iterator[tuple[str, Resource]]:
        """Logical id and properties of every resource of these types."""
        for name, resource in sorted(self.template.get("Resources", {}).items()):
            if resource["Type"] in kinds:
                yield name, resource.get("Properties", {})

    def templates(self) -> Iterator[tuple[str, Resource]]:
        """Data of every launch template."""
        for name, properties in self.of("AWS::EC2::LaunchTemplate"):
            yield name, properties.get("LaunchTemplateData", {})


Finding = tuple[str, str]
_CHECKS: dict[str, Callable[[Subject], Iterator[Finding]]] = {}


def _check(function: Callable[[Subject], Iterator[Finding]]) -> Callable[[Subject], Iterator[Finding]]:
    _CHECKS[function.__name__.replace("_", "-")] = function
    return function


def names() -> tuple[str, ...]:
    """Every check's name."""
    return tuple(_CHECKS)


def check(template: Mapping[str, Any], instance_types: Collection[str] | None = None) -> tuple[Problem, ...]:
    """Look at one template; returns every problem, none when all is well."""
    subject = Subject(template=template, instance_types=instance_types)
    return tuple(
        Problem(check=name, resource=resource, message=message)
        for name, function in _CHECKS.items()
        for resource, message in function(subject)
    )


# --- machines ---------------------------------------------------------------------------------------------------------


@_check
def metadata(subject: Subject) -> Iterator[Finding]:
    for name, data in subject.templates():
        options = data.get("MetadataOptions", {})
        for key, wanted in (
            ("HttpTokens", "required"),
            ("HttpPutResponseHopLimit", 1),
            ("InstanceMetadataTags", "enabled"),
        ):
            if options.get(key) != wanted:
                yield name, f"MetadataOptions.{key} is {options.get(key)!r}; write {wanted!r}"


@_check
def disks(subject: Subject) -> Iterator[Finding]:
    for name, data in subject.templates():
        mappings = data.get("BlockDeviceMappings", [])
        if not mappings:
            yield name, "no BlockDeviceMappings: the image's own disk may be unencrypted; name the root device"
        for mapping in mappings:
            for key in ("Encrypted", "DeleteOnTermination"):
                if str(mapping.get("Ebs", {}).get(key)).lower() != "true":
                    yield name, f"disk {mapping.get('DeviceName')}: {key} is not true; set it"


@_check
def shutdown(subject: Subject) -> Iterator[Finding]:
    for name, data in subject.templates():
        if data.get("InstanceInitiatedShutdownBehavior") != "terminate":
            yield name, "InstanceInitiatedShutdownBehavior is not 'terminate': a node that powers off is billed on"


def _length(node: Any) -> int:
    if isinstance(node, str):
        return len(node.encode())
    if isinstance(node, Mapping) and "Fn::Join" in node:
        glue, parts = node["Fn::Join"]
        return sum(_length(part) for part in parts) + len(glue.encode()) * max(len(parts) - 1, 0)
    return _PARAMETER_LENGTH


@_check
def user_data(subject: Subject) -> Iterator[Finding]:
    for name, data in subject.templates():
        given = data.get("UserData")
        if given is None:
            yield name, "no UserData: the node would not know what it is for"
        elif isinstance(given, str):
            try:
                length = len(base64.b64decode(given, validate=True))
            except (binascii.Error, ValueError):
                yield name, "UserData is not base64; wrap it in Fn::Base64"
                continue
            if length > USER_DATA_LIMIT:
                yield name, _too_long(length)
        elif "Fn::Base64" not in given:
            yield name, "UserData is not base64; wrap it in Fn::Base64"
        elif _length(given["Fn::Base64"]) > USER_DATA_LIMIT:
            yield name, _too_long(_length(given["Fn::Base64"]))


def _too_long(length: int) -> str:
    return (
        f"UserData has {length} bytes, EC2 takes {USER_DATA_LIMIT}; move environment and setup into the code that is "
        "fetched from the bucket"
    )


@_check
def instance_types(subject: Subject) -> Iterator[Finding]:
    found = [(name, data.get("InstanceType")) for name, data in subject.templates()]
    for name, properties in subject.of("AWS::AutoScaling::AutoScalingGroup"):
        overrides = properties.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("Overrides", [])
        found += [(name, each.get("InstanceType")) for each in overrides]
    for name, given in found:
        yield from ((name, text) for text in type_problems(str(given), subject.instance_types))


def type_problems(given: str, known: Collection[str] | None) -> Iterator[str]:
    """Tell what is wrong with the name of an instance type."""
    if _TYPE.fullmatch(given) is None:
        yield f"instance type '{given}' has no form that EC2 knows; write one such as 'c7i.large'"
    elif known is not None and given not in known:
        yield f"instance type '{given}' does not exist in this region; see `aws ec2 describe-instance-types`"


@_check
def instance_profiles(subject: Subject) -> Iterator[Finding]:
    profiles = {name for name, _ in subject.of("AWS::IAM::InstanceProfile")}
    for name, data in subject.templates():
        arn = data.get("IamInstanceProfile", {}).get("Arn")
        right = isinstance(arn, Mapping) and arn.get("Fn::GetAtt", [""])[0] in profiles
        if not right:
            yield name, f"IamInstanceProfile.Arn is {arn!r}, not the Arn of an instance profile of this stack"


# --- tags -------------------------------------------------------------------------------------------------------------


def tag_problems(tags: Mapping[str, str]) -> Iterator[str]:
    """Tell what is wrong with tags: keys that metadata cannot show, values that AWS does not take."""
    for key, value in tags.items():
        if _TAG_KEY.fullmatch(key) is None:
            yield f"tag '{key}': instance metadata shows only letters, digits and +-=.,_:@; rename it"
        if isinstance(value, str) and _TAG_VALUE.fullmatch(value) is None:
            yield f"tag '{key}': value '{value}' holds what AWS does not take; letters, digits, spaces and +-=.:/_@"


def _tags(node: Any) -> Iterator[list[Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "Tags" and isinstance(value, list):
                yield value
            else:
                yield from _tags(value)
    elif isinstance(node, list):
        for value in node:
            yield from _tags(value)


@_check
def tags(subject: Subject) -> Iterator[Finding]:
    for name, resource in sorted(subject.template.get("Resources", {}).items()):
        for given in _tags(resource.get("Properties", {})):
            plain = {each["Key"]: each["Value"] for each in given}
            yield from ((name, text) for text in tag_problems(plain))
            if values.CLUSTER_TAG not in plain:
                yield name, f"tags without {values.CLUSTER_TAG}: nobody would find this resource again"


# --- network ----------------------------------------------------------------------------------------------------------


@_check
def ingress(subject: Subject) -> Iterator[Finding]:
    rules = [
        (name, rule)
        for name, properties in subject.of("AWS::EC2::SecurityGroup")
        for rule in properties.get("SecurityGroupIngress", [])
    ]
    rules += list(subject.of("AWS::EC2::SecurityGroupIngress"))
    for name, rule in rules:
        source = rule.get("CidrIp") or rule.get("CidrIpv6")
        if source in ("0.0.0.0/0", "::/0"):
            yield name, f"lets everybody in ({source}); nodes need no inbound port: remove the rule"


@_check
def zones(subject: Subject) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name, properties in subject.of("AWS::EC2::Subnet"):
        if name == "NatSubnet":
            continue
        zone = str(properties.get("AvailabilityZone"))
        if zone in seen:
            yield name, f"zone {zone} has subnet {seen[zone]} already; a fleet takes one subnet per zone"
        seen[zone] = name


@_check
def gateways(subject: Subject) -> Iterator[Finding]:
    resources = subject.template.get("Resources", {})
    attachments = {name for name, _ in subject.of("AWS::EC2::VPCGatewayAttachment")}
    internet = {name for name, _ in subject.of("AWS::EC2::InternetGateway")}
    for name, resource in sorted(resources.items()):
        properties = resource.get("Properties", {})
        outward = resource["Type"] == "AWS::EC2::Route" and properties.get("GatewayId", {}).get("Ref") in internet
        if not outward and resource["Type"] != "AWS::EC2::EIP":
            continue
        needs = resource.get("DependsOn", [])
        if not attachments & set([needs] if isinstance(needs, str) else needs):
            yield name, "is made before the gateway is attached; add DependsOn of the VPCGatewayAttachment"


# --- rights -----------------------------------------------------------------------------------------------------------


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@_check
def policies(subject: Subject) -> Iterator[Finding]:
    for name, properties in subject.of("AWS::IAM::Role"):
        for policy in properties.get("Policies", []):
            document = policy.get("PolicyDocument", {})
            if document.get("Version") != "2012-10-17":
                yield name, f"policy {policy.get('PolicyName')} has no Version 2012-10-17: its variables would be text"
            for statement in _listed(document.get("Statement", [])):
                wide = [each for each in _listed(statement.get("Action", [])) if each == "*" or each.endswith(":*")]
                if statement.get("Effect") == "Allow" and wide:
                    yield name, f"policy {policy.get('PolicyName')} allows {', '.join(wide)}; name the actions"


@_check
def trust(subject: Subject) -> Iterator[Finding]:
    for name, properties in subject.of("AWS::IAM::Role"):
        document = properties.get("AssumeRolePolicyDocument", {})
        if document.get("Version") != "2012-10-17":
            yield name, "the trust policy has no Version 2012-10-17; add it"
        for statement in _listed(document.get("Statement", [])):
            if statement.get("Principal") != {"Service": "ec2.amazonaws.com"}:
                yield name, f"trusts {statement.get('Principal')}; instances assume it as ec2.amazonaws.com"


# --- storage ----------------------------------------------------------------------------------------------------------


@_check
def bucket(subject: Subject) -> Iterator[Finding]:
    secured = {
        properties.get("Bucket", {}).get("Ref")
        for _, properties in subject.of("AWS::S3::BucketPolicy")
        if any(_demands_tls(each) for each in _listed(properties.get("PolicyDocument", {}).get("Statement", [])))
    }
    for name, properties in subject.of("AWS::S3::Bucket"):
        if name not in secured:
            yield name, "no policy denies calls without TLS (aws:SecureTransport); add it"
        if not properties.get("BucketEncryption"):
            yield name, "no BucketEncryption; add AES256"
        block = properties.get("PublicAccessBlockConfiguration", {})
        keys = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        for key in keys:
            if str(block.get(key)).lower() != "true":
                yield name, f"PublicAccessBlockConfiguration.{key} is not true; set it"


def _demands_tls(statement: Mapping[str, Any]) -> bool:
    conditions = statement.get("Condition", {}).get("Bool", {})
    return (
        statement.get("Effect") == "Deny"
        and statement.get("Principal") == "*"
        and statement.get("Action") == "s3:*"
        and str(conditions.get("aws:SecureTransport")).lower() == "false"
        and len(_listed(statement.get("Resource", []))) == 2
    )


@_check
def kept(subject: Subject) -> Iterator[Finding]:
    for name, resource in sorted(subject.template.get("Resources", {}).items()):
        if resource["Type"] in ("AWS::S3::Bucket", "AWS::Logs::LogGroup"):
            for key in ("DeletionPolicy", "UpdateReplacePolicy"):
                if resource.get(key) != "Retain":
                    yield name, f"{key} is not Retain: down would delete data"
        if resource["Type"] == "AWS::Logs::LogGroup" and not resource.get("Properties", {}).get("RetentionInDays"):
            yield name, "no RetentionInDays: logs would be kept, and paid for, for ever"


# --- the group and the whole ------------------------------------------------------------------------------------------


@_check
def group(subject: Subject) -> Iterator[Finding]:
    for name, properties in subject.of("AWS::AutoScaling::AutoScalingGroup"):
        if "DesiredCapacity" in properties:
            yield name, "DesiredCapacity is set: an update would put a running decider to sleep; remove it"
        if "LaunchConfigurationName" in properties:
            yield name, "launch configurations are refused in new accounts; use the launch template"
        if str(properties.get("NewInstancesProtectedFromScaleIn")).lower() != "true":
            yield name, "NewInstancesProtectedFromScaleIn is not true: a working decider could be ended"
    for name, properties in subject.of("AWS::AutoScaling::ScalingPolicy"):
        if properties.get("AdjustmentType") != "ExactCapacity":
            yield name, "AdjustmentType is not ExactCapacity: the group would climb after every leave"


@_check
def fixed_names(subject: Subject) -> Iterator[Finding]:
    for kind, key in _FIXED_NAMES.items():
        for name, properties in subject.of(kind):
            if key in properties and "AWS::StackId" not in str(properties[key]):
                yield name, f"{key} is fixed: an update that replaces it would fail; use the output"


@_check
def size(subject: Subject) -> Iterator[Finding]:
    length = len(stacks.text(dict(subject.template)).encode())
    if length > stacks.UPLOADED_LIMIT:
        yield (
            "",
            (
                f"the template has {length} bytes, CloudFormation takes {stacks.UPLOADED_LIMIT}; "
                "split the profiles over two clusters"
            ),
        )
