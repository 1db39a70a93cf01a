"""Stacks of CloudFormation: create, update, watch, delete, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from simpleflow.nodes import errors
from simpleflow.nodes import tags as names

from . import clients, owned

#: bytes of a template that is sent directly; a longer one lies in S3 (CloudFormation quotas)
DIRECT_LIMIT = 51_200
_DONE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE", "IMPORT_COMPLETE"})
_CAPABILITIES = ["CAPABILITY_IAM"]


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """The present state of one stack."""

    name: str
    id: str
    status: str
    reason: str = ""
    outputs: Mapping[str, str] = {}
    tags: Mapping[str, str] = {}
    description: str = ""

    @property
    def busy(self) -> bool:
        return self.status.endswith("_IN_PROGRESS")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a resource of a stack."""

    id: str
    stack: str
    resource: str
    kind: str
    status: str
    reason: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One resource that a change set would touch."""

    action: str
    resource: str
    kind: str
    #: 'True', 'False' or 'Conditional'
    replacement: str = ""


class Formation:
    """CloudFormation as this project uses it. Every method may be repeated."""

    def __init__(self, made: clients.Clients, pause: float = 2.0, wait: Callable[[float], None] = time.sleep) -> None:
        self._clients = made
        self._pause = pause
        self._wait = wait

    @property
    def _api(self) -> Any:
        return self._clients.get("cloudformation")

    def find(self, name: str) -> Stack | None:
        """Return a stack by name or id; None when it does not exist or was deleted."""
        with clients.mapped(f"looking for stack '{name}'"):
            try:
                found = self._api.describe_stacks(StackName=name)["Stacks"]
            except Exception as error:
                if clients.code_of(error) == "ValidationError" and "does not exist" in str(error):
                    return None
                raise
        each = found[0]
        if each["StackStatus"] == "DELETE_COMPLETE":
            return None
        return Stack(
            name=each["StackName"],
            id=each["StackId"],
            status=each["StackStatus"],
            reason=each.get("StackStatusReason", ""),
            outputs={one["OutputKey"]: one["OutputValue"] for one in each.get("Outputs", [])},
            tags={one["Key"]: one["Value"] for one in each.get("Tags", [])},
            description=each.get("Description") or "",
        )

    def find_own(self, name: str, cluster: str) -> Stack | None:
        """The stack of this name, which must be the cluster's; raises ProviderRefused when it is not."""
        found = self.find(name)
        if found is not None:
            owned.require_stack(found.name, found.tags, found.description, cluster)
        return found

    def newest_event(self, name: str) -> str:
        """Id of the newest event, '' for a stack that is new: later events are the progress of the next operation."""
        for event in self._events(name):
            return event.id
        return ""

    def _events(self, name: str) -> Iterator[Event]:
        more: dict[str, str] = {}
        while True:
            with clients.mapped(f"reading the events of stack '{name}'"):
                try:
                    page = self._api.describe_stack_events(StackName=name, **more)
                except Exception as error:
                    if clients.code_of(error) == "ValidationError" and "does not exist" in str(error):
                        return
                    raise
            for each in page["StackEvents"]:
                yield Event(
                    id=each["EventId"],
                    stack=each["StackName"],
                    resource=each["LogicalResourceId"],
                    kind=each.get("ResourceType", ""),
                    status=each.get("ResourceStatus", ""),
                    reason=each.get("ResourceStatusReason", ""),
                )
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

    def begin(self, name: str, body: Mapping[str, str], parameters: Mapping[str, str], tags: Mapping[str, str]) -> bool:
        """Begin to create or update a stack; False when there is nothing to do.

        ``body`` is {'TemplateBody': text} or {'TemplateURL': url}. Raises ProviderRefused for a stack that neither
        stands nor can be updated, or is not of the cluster that ``tags`` names.
        """
        known = self.find_own(name, tags.get(names.CLUSTER, ""))
        given = {
            "StackName": name,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
            "Capabilities": _CAPABILITIES,
            **body,
        }
        with clients.mapped(f"changing stack '{name}'"):
            if known is None:
                self._api.create_stack(**given)
                return True
            self.refuse_unless_updatable(known)
            try:
                # By its id: a stack of this name that was made since is another one.
                self._api.update_stack(**{**given, "StackName": known.id})
            except Exception as error:
                if "No updates are to be performed" in str(error):
                    return False
                raise
        return True

    def refuse_unless_updatable(self, stack: Stack) -> None:
        """Raise ProviderRefused, saying what to do, for a stack that cannot be updated."""
        if stack.busy or stack.status in _DONE or stack.status in {"UPDATE_ROLLBACK_COMPLETE"}:
            return
        why = self.cause(stack.name)
        advice = {
            "ROLLBACK_COMPLETE": "its creation failed; `sfnodes down` removes what is left, then `sfnodes up` again",
            "ROLLBACK_FAILED": "`sfnodes down` removes what is left, then `sfnodes up` again",
            "CREATE_FAILED": "`sfnodes down` removes what is left, then `sfnodes up` again",
            "DELETE_FAILED": "repeat `sfnodes down`",
            "UPDATE_ROLLBACK_FAILED": f"`aws cloudformation continue-update-rollback --stack-name {stack.name}`",
        }.get(stack.status, "see its events in the console")
        raise errors.ProviderRefused(f"stack '{stack.name}' is in {stack.status}{f' ({why})' if why else ''}: {advice}")

    def cause(self, name: str) -> str:
        """The first resource that failed in the newest operation, with its reason; '' when none did."""
        first = ""
        for event in self._events(name):
            failed = event.status.endswith("_FAILED") and "cancelled" not in event.reason
            if failed and event.resource != event.stack:
                first = f"{event.resource}: {event.reason}"
            # Events are read backwards; the request of the user began the newest operation.
            if event.resource == event.stack and "User Initiated" in event.reason:
                break
        return first

    def watch(self, name: str, since: str) -> Iterator[Event]:
        """Yield the events after ``since`` until the stack rests; raises NodesError when it failed."""
        known = self.find(name)
        target = known.id if known is not None else name
        seen = since
        while True:
            stack = self.find(target)
            fresh: list[Event] = []
            for event in self._events(target):
                if event.id == seen:
                    break
                fresh.append(event)
            for event in reversed(fresh):
                seen = event.id
                yield event
            if stack is None or not stack.busy:
                break
            self._wait(self._pause)
        if stack is not None and stack.status not in _DONE:
            raise errors.NodesError(
                f"stack '{name}' ended in {stack.status}: {self.cause(target) or stack.reason or 'see its events'}"
            )

    def delete(self, name: str) -> None:
        """Begin to delete a stack by name, or by id exactly the one that was read; one that is gone is not an error."""
        with clients.mapped(f"deleting stack '{name}'"):
            self._api.delete_stack(StackName=name)

    def template(self, name: str) -> str:
        """Text of the template that a stack was made from; '' when there is no stack."""
        if self.find(name) is None:
            return ""
        with clients.mapped(f"reading the template of stack '{name}'"):
            body = self._api.get_template(StackName=name, TemplateStage="Original")["TemplateBody"]
        return body if isinstance(body, str) else msgspec.json.encode(body).decode()

    def change_set(
        self, name: str, body: Mapping[str, str], parameters: Mapping[str, str], tags: Mapping[str, str]
    ) -> tuple[Change, ...]:
        """Return what an update would touch, as CloudFormation tells by a change set, which is deleted again."""
        label = "simpleflow-plan"
        with clients.mapped(f"planning stack '{name}'"):
            made = self._api.create_change_set(
                StackName=name,
                ChangeSetName=label,
                ChangeSetType="UPDATE",
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
                Tags=[{"Key": key, "Value": value} for key, value in sorted(tags.items())],
                Capabilities=_CAPABILITIES,
                **body,
            )
            try:
                return self._changes(made["Id"])
            finally:
                self._api.delete_change_set(ChangeSetName=made["Id"], StackName=name)

    def _changes(self, change_set: str) -> tuple[Change, ...]:
        while True:
            shown = self._api.describe_change_set(ChangeSetName=change_set)
            if shown["Status"] not in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
                break
            self._wait(self._pause)
        found = [each["ResourceChange"] for each in shown.get("Changes", []) if "ResourceChange" in each]
        return tuple(
            Change(
                action=each["Action"],
                resource=each["LogicalResourceId"],
                kind=each["ResourceType"],
                replacement=each.get("Replacement", ""),
            )
            for each in found
        )
