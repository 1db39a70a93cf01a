"""Change sets: what an update or a creation would do, and doing exactly that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud.cfn import describe, engine, stacks
from simpleflow.testing.cloud.wire import errors, requests

_EMPTY = "The submitted information didn't contain changes. Submit different information to create a change set."


@dataclasses.dataclass(kw_only=True)
class ChangeSet:
    """One change set of one stack."""

    name: str
    id: str
    stack: stacks.Stack
    given: stacks.Given
    changes: list[stacks.Change]
    created: float
    kind: str
    status: str
    reason: str = ""
    execution: str = "AVAILABLE"


class ChangeSets:
    """The calls on change sets.

    Args:
        clock: the cloud's clock.
        runner: carries stacks out.
        find: finds a stack by name or id.
        given: reads a request's template and parameters.
        begin: makes a stack that has nothing yet.
        update: begins an update.
        work: runs an operation as operations run.
    """

    def __init__(
        self,
        clock: clocks.Clock,
        runner: engine.Engine,
        *,
        find: Callable[[str], stacks.Stack],
        given: Callable[[requests.Request, stacks.Given | None], stacks.Given],
        begin: Callable[[requests.Request, stacks.Given], stacks.Stack],
        update: Callable[[stacks.Stack, stacks.Given], None],
        work: Callable[[Callable[[], None]], None],
    ) -> None:
        self._clock = clock
        self._engine = runner
        self._find = find
        self._given = given
        self._begin = begin
        self._update = update
        self._work = work
        self._sets: list[ChangeSet] = []

    @requests.handles("cloudformation:CreateChangeSet")
    def create(self, request: requests.Request) -> dict[str, Any]:
        """Work out what would change; FAILED with AWS's words when nothing would."""
        params = request.params
        kind = params.get("ChangeSetType", "UPDATE")
        if kind == "CREATE":
            given = self._given(request, None)
            stack = self._begin(request, given)
            stack.tell("REVIEW_IN_PROGRESS", "User Initiated")
        else:
            stack = self._find(params["StackName"])
            given = self._given(request, stack.given)
        changes = self._engine.changes(stack, given)
        empty = not changes and self._engine.nothing_to_do(stack, given)
        made = ChangeSet(
            name=params["ChangeSetName"],
            id=f"{stack.id.replace(':stack/', ':changeSet/')}/{params['ChangeSetName']}",
            stack=stack,
            given=given,
            changes=changes,
            created=self._clock.now(),
            kind=kind,
            status="FAILED" if empty else "CREATE_COMPLETE",
            reason=_EMPTY if empty else "",
            execution="UNAVAILABLE" if empty else "AVAILABLE",
        )
        if any(one.name == made.name and one.stack is stack for one in self._sets):
            raise errors.ApiError("AlreadyExistsException", f"ChangeSet {made.name} already exists")
        self._sets.append(made)
        return {"Id": made.id, "StackId": stack.id}

    def _one(self, request: requests.Request) -> ChangeSet:
        name, stack = request.params["ChangeSetName"], request.params.get("StackName")
        for one in self._sets:
            if one.id == name or (one.name == name and stack in (one.stack.name, one.stack.id)):
                return one
        raise errors.ApiError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)

    @requests.handles("cloudformation:DescribeChangeSet")
    def describe(self, request: requests.Request) -> dict[str, Any]:
        """A change set with its changes."""
        one = self._one(request)
        return {
            "ChangeSetName": one.name,
            "ChangeSetId": one.id,
            "StackId": one.stack.id,
            "StackName": one.stack.name,
            "CreationTime": one.created,
            "Status": one.status,
            "StatusReason": one.reason or None,
            "ExecutionStatus": one.execution,
            "Changes": [describe.change(change) for change in one.changes],
        }

    @requests.handles("cloudformation:ExecuteChangeSet")
    def execute(self, request: requests.Request) -> dict[str, Any]:
        """Carry a change set out."""
        one = self._one(request)
        if one.execution != "AVAILABLE":
            raise errors.ApiError(
                "InvalidChangeSetStatus",
                f"ChangeSet [{one.id}] cannot be executed in its current status of {one.status}",
            )
        one.execution = "EXECUTE_COMPLETE"
        stack = one.stack
        if one.kind == "CREATE":
            stack.tell("CREATE_IN_PROGRESS", "User Initiated")
            self._work(lambda: self._engine.create(stack, on_failure="ROLLBACK"))
        else:
            self._update(stack, one.given)
        return {}

    @requests.handles("cloudformation:DeleteChangeSet")
    def delete(self, request: requests.Request) -> dict[str, Any]:
        """Forget a change set; one that is not there is not an error."""
        try:
            self._sets.remove(self._one(request))
        except errors.ApiError:
            return {}
        return {}

    @requests.handles("cloudformation:ListChangeSets")
    def list(self, request: requests.Request) -> dict[str, Any]:
        """A stack's change sets."""
        stack = self._find(request.params["StackName"])
        return {
            "Summaries": [
                {"ChangeSetName": one.name, "ChangeSetId": one.id, "Status": one.status, "StackName": stack.name}
                for one in self._sets
                if one.stack is stack
            ]
        }
