"""Prints a decision whose input comes from sets and dicts: run under several PYTHONHASHSEEDs."""

from __future__ import annotations

import json
import sys
from typing import Any

from simpleflow import Workflow, activity, engine
from simpleflow.core import decisions
from simpleflow.runtime import stores
from simpleflow.testing.histories import builder as history

THING = activity.with_attributes(name="thing", version="1", task_list="list", meta={"b": 1, "a": {"z", "y"}})(print)


class Child(Workflow):
    name, version, task_list = "child", "1", "decisions"

    def run(self) -> None:
        return


class Program(Workflow):
    name, version, task_list = "w", "1", "decisions"

    def run(self) -> Any:
        words = {f"word-{number}" for number in range(20)}
        opened = [self.submit(THING, words, {word: len(word) for word in words}, key=frozenset(words))]
        opened += [self.submit(THING, number, **dict.fromkeys(words, number)) for number in range(3)]
        opened.append(self.submit(Child, words))
        self.submit(self.record_marker("m", {"set": words}))
        return [future.result for future in opened]


built = history.HistoryBuilder(Program)
decided = engine.Engine(workflows=(Program,), payloads=stores.payloads()).decide(built.begin_decision())
assert isinstance(decided, engine.Decided), decided
assert not any(isinstance(one, decisions.FailWorkflowExecution) for one in decided.decisions), decided
json.dump([decisions.to_wire(decision) for decision in decided.decisions], sys.stdout)
