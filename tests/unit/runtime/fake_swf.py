"""A transport for worker tests: hands out prepared tasks, records what is answered, fails when told to."""

from __future__ import annotations

import json
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from simpleflow.swf import errors
from simpleflow.swf.transport import base


def task(name: str, *args: Any, token: str = "token-1", **kwargs: Any) -> SimpleNamespace:
    """What PollForActivityTask would answer for this activity of ``runtime_activities``."""
    return SimpleNamespace(
        task_token=token,
        activity_id=f"activity-{name}-{token}",
        started_event_id=6,
        workflow_execution=SimpleNamespace(workflow_id="wf", run_id="run"),
        activity_type=SimpleNamespace(name=name if "." in name else f"runtime_activities.{name}", version="1"),
        input=json.dumps({"args": args, "kwargs": kwargs}),
    )


class JoinedPolls(ABC):
    """Answers that may carry a poll, made of the calls of a fake."""

    def __init__(self) -> None:
        #: whether answers may carry a poll, and those that did
        self.joins = False
        self.joined: list[base.Poll] = []

    @abstractmethod
    def call(
        self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: base.Ahead | None = None
    ) -> Any: ...

    def answer_and_poll(self, action: str, request: Mapping[str, Any], poll: base.Poll) -> Callable[[], Any] | None:
        """Take the answer, and open the poll where ``joins`` says so."""
        self.call(action, request)
        if not self.joins:
            return None
        self.joined.append(poll)
        return lambda: self.call(poll.action, poll.request, poll_id=poll.poll_id, ahead=poll.ahead)


class FakeSwf(JoinedPolls):
    """Thread safe. ``failing`` counts down the calls of an action that raise TransportError first, ``broken`` those
    whose answer nobody understands."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: queue.Queue[Any] = queue.Queue()
        self.answers: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self.beats: list[dict[str, Any]] = []
        self.polls = 0
        self.failing: dict[str, int] = {}
        self.broken: dict[str, int] = {}
        self.revoked = 0
        #: whether answers bring the next task, and what they asked for
        self.follows = False
        self.followed: list[base.Following] = []
        #: whether several answers may come together, and the tokens of those that did
        self.takes_several = False
        self.together: list[list[str]] = []
        #: tokens whose answers are refused, but for failures
        self.refused: set[str] = set()
        self.cancel_requested = False
        self.unknown = False
        #: called when a poll brought a task, before it is answered
        self.at_task: Callable[[], None] = lambda: None
        #: whether polls tell of their task ahead; called with it then, before it is returned
        self.tells = False
        self.at_told: Callable[[Any], None] = lambda task: None
        self._wake = threading.Event()

    def call(
        self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: base.Ahead | None = None
    ) -> Any:
        if self.failing.get(action, 0) > 0:
            self.failing[action] -= 1
            raise errors.TransportError(f"no answer to {action}")
        if self.broken.get(action, 0) > 0:
            self.broken[action] -= 1
            raise ValueError(f"the answer to {action} is no JSON")
        if action == "PollForActivityTask":
            self.polls += 1
            self._wake.clear()
            for _ in range(100):
                try:
                    found = self.tasks.get(timeout=0.02)
                    self.at_task()
                    if self.tells and ahead is not None:
                        ahead(found)
                        self.at_told(found)
                    return found
                except queue.Empty:
                    if self._wake.is_set():
                        break
            return SimpleNamespace(task_token="")
        if action == "RecordActivityTaskHeartbeat":
            self.beats.append(dict(request))
            if self.unknown:
                raise errors.UnknownResourceFault("unknown token")
            return SimpleNamespace(cancel_requested=self.cancel_requested)
        if request["taskToken"] in self.refused and action != "RespondActivityTaskFailed":
            raise errors.ValidationException("the result is too long")
        self.answers.put((action, dict(request)))
        return None

    def exchange(self, action: str, request: Mapping[str, Any], following: base.Following) -> Any | None:
        """Take the answer, and bring the next task where ``follows`` says so."""
        if self.failing.get(action, 0) == 0:
            self.followed.append(following)
        self.call(action, request)
        if not self.follows:
            return None
        try:
            return self.tasks.get_nowait()
        except queue.Empty:
            return None

    def exchange_several(
        self, answers: Sequence[tuple[str, Mapping[str, Any]]], following: base.Following | None
    ) -> base.Exchanged | None:
        """Take the answers where ``takes_several`` says so, and bring as many tasks as are wanted."""
        if not self.takes_several:
            return None
        if self.failing.get("RespondActivityTasks", 0) > 0:
            self.failing["RespondActivityTasks"] -= 1
            raise errors.TransportError("no answer")
        self.together.append([request["taskToken"] for _, request in answers])
        refusals: list[errors.SwfError | None] = []
        for action, request in answers:
            try:
                self.call(action, request)
                refusals.append(None)
            except errors.SwfError as error:
                refusals.append(error)
        brought: list[Any] = []
        if following is not None:
            self.followed.append(following)
            while len(brought) < following.most and not self.tasks.empty():
                brought.append(self.tasks.get_nowait())
        return base.Exchanged(tuple(refusals), tuple(brought))

    def revoke(self, poll_id: str) -> bool:
        self.revoked += 1
        self._wake.set()
        return True

    def close(self) -> None:
        self._wake.set()
