"""The code of a decider machine and of a client, run up to its next call of the world (leave_model).

``GroupKeeper`` with ``leave``, and ``HoldMachine``, are run again from the answers that they were given so far. What
they ask next is one step of the world.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from simpleflow.core import documents, errors, interceptors
from simpleflow.nodes import ensure
from simpleflow.nodes.providers.ec2 import keeper

EXECUTION = interceptors.Execution(domain="d", workflow_id="w", run_id="r", workflow_name="t", workflow_version="1")
RECEIVED = interceptors.DecisionReceived(execution=EXECUTION, started_event_id=3, received=0.0)
History = tuple[Any, ...]


class _Paused(BaseException):
    """The code asks something that was not answered yet."""


class _Tape:
    def __init__(self, answers: History) -> None:
        self._answers = answers
        self.place = 0

    def ask(self, question: str) -> Any:
        if self.place == len(self._answers):
            raise _Paused(question)
        answer = self._answers[self.place]
        self.place += 1
        if answer == "failed":
            raise errors.SimpleflowError("no answer")
        return answer


class _File:
    """The note of a leave, on the machine's disk."""

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape

    def exists(self) -> bool:
        return bool(self._tape.ask("noted?"))

    def unlink(self, missing_ok: bool) -> None:
        self._tape.ask("unnote")


class _Machine:
    """Everything that the code of one machine calls: folder, group, look, control.json."""

    holder = "me"

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape
        for name in ("begin_poll", "empty_poll", "idle", "alone", "sleep", "desired", "ensure_one"):
            setattr(self, name, self._asking(name))

    def _asking(self, name: str) -> Callable[[], Any]:
        return lambda: self._tape.ask(name)

    def __truediv__(self, name: str) -> _File:
        return _File(self._tape)

    def read(self) -> documents.Control:
        mine = self._tape.ask("read")
        lease = documents.Lease(holder=self.holder if mine else "other", epoch=1, renewed=0.0)
        return documents.Control(cluster="c", lease=lease)

    def replace(self, document: documents.Control) -> None:
        assert document.lease is None
        self._tape.ask("release")


class _Files:
    """``data.files`` of the machine: the notes that are written."""

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape

    def replace(self, path: object, content: bytes) -> None:
        self._tape.ask("note leave")

    @contextlib.contextmanager
    def log(self, path: object) -> Iterator[_Files]:
        yield self

    def write(self, content: bytes) -> None:
        self._tape.ask("note task")


class Code:
    """The next call of each part, by the answers so far."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._managers: dict[History, tuple[str, History]] = {}
        self._deciders: dict[History, str] = {}

    def manager(self, answers: History) -> tuple[str, History]:
        """What the manager asks next, and the answers that still matter: of a leave given up none do."""
        found = self._managers.get(answers)
        if found is None:
            found = self._managers[answers] = self._run_manager(answers)
        return found

    def _run_manager(self, answers: History) -> tuple[str, History]:
        tape = _Tape(answers)
        machine: Any = _Machine(tape)
        self._patch.setattr(keeper, "files", _Files(tape))
        done: list[bool] = []
        made = keeper.GroupKeeper(machine, machine, machine, machine, least=0, left=lambda: done.append(True))
        begun = 0
        try:
            while not done:
                if made._steps is None:
                    begun = tape.place
                busy = tape.ask("pass")
                made.keep(int(busy), busy)
        except _Paused as paused:
            return str(paused), answers[begun:]
        return "power off", answers[begun:]

    def decider(self, answers: History) -> str:
        """What the decider that took a task asks next."""
        found = self._deciders.get(answers)
        if found is None:
            tape = _Tape(answers)
            machine: Any = _Machine(tape)
            self._patch.setattr(keeper, "files", _Files(tape))
            try:
                keeper.HoldMachine(machine, machine).received(RECEIVED)
                found = "evaluate"
            except _Paused as paused:
                found = str(paused)
            self._deciders[answers] = found
        return found

    def client(self) -> tuple[str, ...]:
        """The client's own calls, in their order."""
        calls: list[str] = []

        class Group:
            def ensure_one(self) -> None:
                calls.append("ensure")

        class Timer:
            def __init__(self, seconds: float, call: Callable[[], None]) -> None:
                assert seconds > 0
                self._call = call

            def start(self) -> None:
                self._call()

        self._patch.setattr(ensure.threading, "Timer", Timer)
        made = ensure.EnsureDecider(Group())
        call: Any = None
        made.before_start(call)
        calls.append("start")
        made.after_start(call, "r")
        return tuple(calls)
