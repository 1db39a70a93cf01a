"""How a type of resource is made of API calls: the frame, and the table's plain rows."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import botocore.exceptions

from simpleflow.testing.cloud.wire import errors

Properties = Mapping[str, Any]
#: error codes that mean "it is not there": a deletion that meets one is done
GONE = ("NotFound", "NoSuch", "DoesNotExist", "ResourceNotFound", "InvalidAssociationID", "Gateway.NotAttached")


class Made(NamedTuple):
    """A resource as its creation left it."""

    #: physical id, which is Ref's value unless the type says otherwise
    physical: str
    #: what GetAtt answers
    attributes: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """What a resource may use while it is made."""

    #: boto3 client of a service, on behalf of the stack's caller
    api: Callable[[str], Any]
    stack: str
    logical: str
    region: str
    #: tags of the stack, which all its resources carry
    tags: Mapping[str, str]
    #: waits a moment between looks; returns False when waiting is over
    wait: Callable[[], bool]

    def name(self, *, most: int = 64) -> str:
        """A generated physical name, ``STACK-LOGICAL-RANDOM``, the same in every run."""
        tail = hashlib.sha256(f"{self.stack}/{self.logical}".encode()).hexdigest()[:12].upper()
        return f"{self.stack}-{self.logical}"[: most - 13] + "-" + tail

    def tag_list(self, properties: Properties) -> list[dict[str, str]]:
        """The resource's tags over the stack's."""
        merged = {**self.tags, **{t["Key"]: t["Value"] for t in properties.get("Tags", [])}}
        return [{"Key": k, "Value": str(v)} for k, v in merged.items()]

    def specification(self, kind: str, properties: Properties) -> dict[str, Any]:
        """``TagSpecifications`` of an EC2 creation, nothing when there are no tags."""
        tags = self.tag_list(properties)
        return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]} if tags else {}


class Kind:
    """One type of resource."""

    #: properties that this rehearsal carries out; any other fails the creation
    handled: ClassVar[frozenset[str]] = frozenset()
    #: properties of ``handled`` whose change is carried out in place; others mean replacement
    mutable: ClassVar[frozenset[str]] = frozenset()

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it by API calls."""
        raise errors.CloudError(f"{type(self).__name__} does not say how it is created")

    def update(self, context: Context, physical: str, old: Properties, new: Properties) -> dict[str, Any] | None:
        """Change ``mutable`` properties in place; returns new attributes, None when they stay."""
        return None

    def delete(self, context: Context, physical: str, properties: Properties) -> None:
        """Delete it by API calls; the engine takes "not there" as done."""

    def read(self, context: Context, physical: str) -> dict[str, Any]:
        """Read attributes again that other resources change."""
        return {}

    def touched(self, properties: Properties) -> str:
        """Physical id of another resource whose attributes this one's creation changes; '' for most."""
        return ""

    def ref(self, made: Made) -> str:
        """Ref's value."""
        return made.physical


def gone(error: botocore.exceptions.ClientError) -> bool:
    """Whether an error says that the resource is not there."""
    code = str(error.response["Error"]["Code"])
    message = str(error.response["Error"].get("Message", ""))
    return any(one in code for one in GONE) or (code == "ValidationError" and "not found" in message)


def pick(properties: Properties, names: Iterable[str]) -> dict[str, Any]:
    """Those of the properties that are given."""
    return {name: properties[name] for name in names if name in properties}


def dig(answer: Any, path: str) -> Any:
    """A value inside an answer by dotted path."""
    for part in path.split("."):
        answer = answer[int(part)] if part.isdigit() else answer[part]
    return answer


def flag(value: Any) -> bool:
    """A boolean as templates may write it."""
    return str(value).lower() == "true"


class Ec2Thing(Kind):
    """An EC2 resource that one call makes and one call deletes, both with the properties' own names."""

    create_call: ClassVar[str]
    delete_call: ClassVar[str]
    #: name of the id in the deletion
    by: ClassVar[str]
    #: path of the id in the creation's answer
    path: ClassVar[str]
    #: kind for TagSpecifications, '' for types without tags
    tag_kind: ClassVar[str] = ""
    #: properties passed to the creation as they are
    passed: ClassVar[frozenset[str]] = frozenset()
    #: GetAtt's attributes: name -> path in the creation's answer
    attributes: ClassVar[Mapping[str, str]] = {}

    def create(self, context: Context, properties: Properties) -> Made:
        given = pick(properties, sorted(self.passed))
        if self.tag_kind:
            given |= context.specification(self.tag_kind, properties)
        answer = getattr(context.api("ec2"), self.create_call)(**self.shaped(given))
        made = Made(dig(answer, self.path), {name: dig(answer, path) for name, path in self.attributes.items()})
        self.finish(context, made.physical, properties)
        return made

    def shaped(self, given: dict[str, Any]) -> dict[str, Any]:
        """Turn properties into parameters where the two differ."""
        return given

    def finish(self, context: Context, physical: str, properties: Properties) -> None:
        """Calls after the creation."""

    def update(self, context: Context, physical: str, old: Properties, new: Properties) -> dict[str, Any] | None:
        if "Tags" in self.mutable:
            retag(context, physical, old, new)
        self.finish(context, physical, new)
        return None

    def delete(self, context: Context, physical: str, properties: Properties) -> None:
        getattr(context.api("ec2"), self.delete_call)(**{self.by: physical})


def retag(context: Context, physical: str, old: Properties, new: Properties) -> None:
    """Carry a change of tags out on an EC2 resource."""
    before = {t["Key"]: t["Value"] for t in context.tag_list(old)}
    after = {t["Key"]: t["Value"] for t in context.tag_list(new)}
    lost = [{"Key": key} for key in before if key not in after]
    if lost:
        context.api("ec2").delete_tags(Resources=[physical], Tags=lost)
    if after:
        context.api("ec2").create_tags(Resources=[physical], Tags=[{"Key": k, "Value": v} for k, v in after.items()])
