"""One activity task, and the three answers to it."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from simpleflow.core import attempt, interceptors, limits

#: reason of a task whose machine or worker went away: rescheduled outside the retry budget
INTERRUPTED = "simpleflow.node.interrupted"


class Context(dict[str, Any]):
    """Description of a task for an activity and its middleware: a dictionary, as with 0.36."""

    @property
    def last_heartbeat(self) -> Any:
        """The details that an earlier attempt of this task reported last; None when there are none."""
        return self.get("last_heartbeat")


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One activity task as a worker got it."""

    activity_id: str
    #: name and version of the activity type
    name: str
    version: str
    workflow_id: str
    run_id: str
    domain: str
    task_list: str
    started_event_id: int = 0
    input: str | None = None
    #: module to import before the name is looked up; '': the name says where
    module: str = ""
    #: what answers the task; '': nothing can answer it later
    token: str = ""

    @classmethod
    def of(cls, answer: Any, *, domain: str, task_list: str) -> Task:
        """Build it from the answer to PollForActivityTask."""
        return cls(
            activity_id=answer.activity_id,
            name=answer.activity_type.name,
            version=answer.activity_type.version,
            workflow_id=answer.workflow_execution.workflow_id,
            run_id=answer.workflow_execution.run_id,
            domain=domain,
            task_list=task_list,
            started_event_id=answer.started_event_id,
            input=answer.input,
            token=answer.task_token,
        )

    @property
    def id(self) -> str:
        """RUN_ID/ACTIVITY_ID, as documents and status lines name it."""
        return f"{self.run_id}/{self.activity_id}"

    def received(self) -> interceptors.TaskReceived:
        """Return what interceptors are told of it."""
        return interceptors.TaskReceived(
            domain=self.domain,
            workflow_id=self.workflow_id,
            run_id=self.run_id,
            activity_id=self.activity_id,
            name=self.name,
            version=self.version,
            task_list=self.task_list,
            started_event_id=self.started_event_id,
        )

    def answered(self, answer: Answer | None, seconds: float) -> interceptors.TaskAnswered:
        """Return what interceptors are told of its end; None: nobody waits for its answer any more."""
        return interceptors.TaskAnswered(
            task=self.received(),
            outcome=_OUTCOMES[type(answer)],
            reason=answer.reason if isinstance(answer, Failed) else "",
            seconds=seconds,
        )

    @property
    def where(self) -> dict[str, str]:
        """Return what names it in the log."""
        return {
            "workflow_id": self.workflow_id,
            "run_id": self.run_id,
            "activity_id": self.activity_id,
            "event_id": str(self.started_event_id),
        }

    def context(self, decoded: Any) -> Context:
        """Return the context that activities and middleware see."""
        context = Context(
            name=self.name,
            version=self.version,
            workflow_id=self.workflow_id,
            run_id=self.run_id,
            activity_id=self.activity_id,
            input=decoded,
            domain_name=self.domain,
            activity_task_list=self.task_list,
        )
        extra = decoded.get("__extra") if isinstance(decoded, dict) else None
        if isinstance(extra, dict) and "last_heartbeat" in extra:
            context["last_heartbeat"] = attempt.decoded(extra["last_heartbeat"])
        return context


class Completed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The activity returned; ``result`` is JSON text or the pointer to a jumbo value."""

    result: str | None = None


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The activity raised, or died."""

    reason: str
    #: JSON with error, error_type, message and traceback
    details: str


class Canceled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The activity ended because its cancellation was requested."""

    details: str | None = None


class Later(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The activity left its task open: a program with the token answers it. The worker sends nothing."""


Answer: TypeAlias = Completed | Failed | Canceled | Later
#: answers as interceptors name them
_OUTCOMES: dict[type, str] = {
    Completed: "completed",
    Failed: "failed",
    Canceled: "canceled",
    Later: "left_open",
    type(None): "dropped",
}


def to_request(answer: Completed | Failed | Canceled, token: str) -> tuple[str, dict[str, Any]]:
    """Return the action that sends an answer, and its request in wire names."""
    request: dict[str, Any] = {"taskToken": token}
    match answer:
        case Completed(result=result):
            if result is not None:
                request["result"] = result
            return "RespondActivityTaskCompleted", request
        case Failed(reason=reason, details=details):
            request["reason"] = reason[: limits.REASON]
            request["details"] = details
            return "RespondActivityTaskFailed", request
        case Canceled(details=details):
            if details is not None:
                request["details"] = details
            return "RespondActivityTaskCanceled", request
