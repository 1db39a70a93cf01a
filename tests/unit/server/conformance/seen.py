"""What went over the wire in this run: actions, faults, enum values and members of structures."""

from __future__ import annotations

import threading
from typing import Any


class Seen:
    """Notes, by hooks of botocore, what a client sent and what it got. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: actions that succeeded at least once
        self.actions: set[str] = set()
        #: (action, fault code)
        self.faults: set[tuple[str, str]] = set()
        #: decision types that were sent in a response that the service accepted
        self.decisions: set[str] = set()
        #: (enum's name, value) in answers
        self.values: set[tuple[str, str]] = set()
        #: (structure's name, member) in answers
        self.members: set[tuple[str, str]] = set()
        #: (event type, value of its cause or timeoutType)
        self.outcomes: set[tuple[str, str]] = set()

    def watch(self, client: Any) -> None:
        """Note everything that this client does from now on."""
        client.meta.events.register("before-parameter-build.swf", self._before)
        client.meta.events.register("after-call.swf", self._after)

    def _before(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["conformance"] = params

    def _after(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        with self._lock:
            error = parsed.get("Error")
            if error is not None:
                self.faults.add((model.name, error["Code"]))
                return
            self.actions.add(model.name)
            for decision in context.get("conformance", {}).get("decisions", ()):
                self.decisions.add(decision["decisionType"])
            if model.output_shape is not None:
                self._walk(model.output_shape, parsed)

    def _walk(self, shape: Any, value: Any) -> None:
        if shape.type_name == "structure":
            for name, member in shape.members.items():
                if name in value:
                    self.members.add((shape.name, name))
                    self._walk(member, value[name])
            if shape.name == "HistoryEvent":
                self._outcome(value)
        elif shape.type_name == "list":
            for each in value:
                self._walk(shape.member, each)
        elif shape.type_name == "string" and shape.enum:
            self.values.add((shape.name, value))

    def _outcome(self, event: dict[str, Any]) -> None:
        attributes = next((value for name, value in event.items() if name.endswith("EventAttributes")), {})
        for name in ("cause", "timeoutType"):
            if name in attributes:
                self.outcomes.add((event["eventType"], attributes[name]))
