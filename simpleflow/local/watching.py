"""A transport that learns from the requests that pass through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from simpleflow.swf.transport import base

#: decisions that close an execution
CLOSING = frozenset(
    {
        "CompleteWorkflowExecution",
        "FailWorkflowExecution",
        "CancelWorkflowExecution",
        "ContinueAsNewWorkflowExecution",
    }
)


class Watching:
    """A transport that learns which task lists there are from the requests that pass through it."""

    def __init__(self, transport: base.Transport, decision_lists: set[str], activity_lists: set[str]) -> None:
        self._transport = transport
        self._decision_lists = decision_lists
        self._activity_lists = activity_lists
        #: something was asked that may close an execution
        self.closing = False

    def call(
        self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: base.Ahead | None = None
    ) -> Any:
        answer = self._transport.call(action, request, poll_id=poll_id, ahead=ahead)
        if action == "StartWorkflowExecution":
            self._learn(self._decision_lists, request)
        elif action == "TerminateWorkflowExecution":
            self.closing = True
        for decision in request.get("decisions", ()):
            self.closing |= decision["decisionType"] in CLOSING
            for name, value in decision.items():
                if name == "scheduleActivityTaskDecisionAttributes":
                    self._learn(self._activity_lists, value)
                elif name.endswith("DecisionAttributes"):
                    self._learn(self._decision_lists, value)
        return answer

    @staticmethod
    def _learn(lists: set[str], fields: Mapping[str, Any]) -> None:
        if "taskList" in fields:
            lists.add(fields["taskList"]["name"])

    def exchange(self, action: str, request: Mapping[str, Any], following: base.Following) -> Any | None:
        return self._transport.exchange(action, request, following)

    def exchange_several(
        self, answers: Sequence[tuple[str, Mapping[str, Any]]], following: base.Following | None
    ) -> base.Exchanged | None:
        return self._transport.exchange_several(answers, following)

    def answer_and_poll(self, action: str, request: Mapping[str, Any], poll: base.Poll) -> Callable[[], Any] | None:
        return self._transport.answer_and_poll(action, request, poll)

    def revoke(self, poll_id: str) -> bool:
        return self._transport.revoke(poll_id)

    def close(self) -> None:
        self._transport.close()
