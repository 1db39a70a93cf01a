"""The code of a decider machine and of a client, run up to its next call of the world (leave_model).

``GroupKeeper`` with ``leave``, and ``HoldMachine``, are run again from the answers that they were given so far. What
they ask next is one step of the world. Machines are numbers here, and ``me`` is the one whose code runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from simpleflow.core import documents, errors, interceptors
from simpleflow.nodes import ensure
from simpleflow.nodes.providers.ec2 import group, keeper

EXECUTION = interceptors.Execution(domain="d", workflow_id="w", run_id="r", workflow_name="t", workflow_version="1")
RECEIVED = interceptors.DecisionReceived(execution=EXECUTION, started_event_id=3, received=0.0)
History = tuple[Any, ...]


Question = str | tuple[str, Any]


class Pass(NamedTuple):
    """One pass of a manager, as the world begins it."""

    #: it holds the lease
    holds: bool
    #: machines that control.json names as too many
    leaving: tuple[int, ...]
    busy: bool = False
    wanted: int = 1


class _Paused(BaseException):
    """The code asks something that was not answered yet."""

    def __init__(self, question: Question) -> None:
        self.question = question


class _Tape:
    def __init__(self, answers: History) -> None:
        self._answers = answers
        self.place = 0

    def ask(self, question: Question) -> Any:
        if self.place == len(self._answers):
            raise _Paused(question)
        answer = self._answers[self.place]
        self.place += 1
        if answer == "failed":
            raise errors.SimpleflowError("no answer")
        return answer


class _File:
    """A note on the machine's disk."""

    def __init__(self, tape: _Tape, name: str) -> None:
        self._tape = tape
        self.name = name

    def exists(self) -> bool:
        return bool(self._tape.ask("noted?"))

    def unlink(self, missing_ok: bool) -> None:
        self._tape.ask("unnote")


class _Group:
    """The decider group."""

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape

    def read(self) -> group.Size:
        desired, members = self._tape.ask("size")
        return group.Size(
            desired=desired,
            least=0,
            most=2,
            members=tuple(group.Member(instance=str(each), state="InService", protected=True) for each in members),
        )

    def set(self, wanted: int) -> None:
        self._tape.ask(("set", wanted))

    def ensure_one(self) -> None:
        self._tape.ask("ensure_one")

    def alone(self) -> bool:
        return bool(self._tape.ask("alone"))

    def sleep(self) -> None:
        self._tape.ask("sleep")

    def desired(self) -> int:
        desired: int = self._tape.ask("desired")
        return desired


class _Machine:
    """Folder, look and control.json of one machine, and what its manager is told at each pass."""

    holder = "me"
    least = 0

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape
        self.now = Pass(holds=False, leaving=())
        for name in ("begin_poll", "empty_poll", "idle"):
            setattr(self, name, self._asking(name))

    def _asking(self, name: str) -> Callable[[], Any]:
        return lambda: self._tape.ask(name)

    def __truediv__(self, name: str) -> _File:
        return _File(self._tape, name)

    def _document(self, mine: bool) -> documents.Control:
        lease = documents.Lease(holder=self.holder if mine else "other", epoch=1, renewed=0.0)
        return documents.Control(cluster="c", lease=lease, leaving=tuple(str(each) for each in self.now.leaving))

    @property
    def known(self) -> documents.Control:
        return self._document(self.now.holds)

    def read(self) -> documents.Control:
        return self._document(self._tape.ask("read"))

    def replace(self, document: documents.Control) -> None:
        if document.lease is None:
            self._tape.ask("release")
        else:
            self._tape.ask(("name", tuple(int(each) for each in document.leaving)))

    def start_from(self, present: int) -> None:
        """The world says how many are wanted."""

    def wanted(self, pending: int, open_runs: bool) -> int:
        return self.now.wanted


class _Files:
    """``data.files`` of the machine: the notes that are written."""

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape

    def replace(self, path: _File, content: bytes) -> None:
        self._tape.ask(f"note {path.name}")

    @contextlib.contextmanager
    def log(self, path: object) -> Iterator[_Files]:
        yield self

    def write(self, content: bytes) -> None:
        self._tape.ask("note task")


class Code:
    """The next call of each part, by the answers so far."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._managers: dict[tuple[int, History], tuple[Question, History]] = {}
        self._deciders: dict[History, str] = {}

    def manager(self, me: int, answers: History) -> tuple[Question, History]:
        """What the manager asks next, and the answers that still matter: of a leave given up none do."""
        found = self._managers.get((me, answers))
        if found is None:
            found = self._managers[me, answers] = self._run_manager(me, answers)
        return found

    def _run_manager(self, me: int, answers: History) -> tuple[Question, History]:
        tape = _Tape(answers)
        machine: Any = _Machine(tape)
        grouped: Any = _Group(tape)
        self._patch.setattr(keeper, "files", _Files(tape))
        done: list[bool] = []
        made = keeper.GroupKeeper(
            grouped, machine, machine, machine, machine=str(me), count=machine, left=lambda: done.append(True)
        )
        begun = 0
        try:
            while not done:
                if made._steps is None:
                    begun = tape.place
                machine.now = tape.ask("pass")
                if machine.now.holds:
                    made.keep(int(machine.now.busy), machine.now.busy)
                else:
                    made.follow()
        except _Paused as paused:
            return paused.question, answers[begun:]
        return "drain" if not machine.now.holds else "power off", answers[begun:]

    def decider(self, answers: History) -> str:
        """What the decider that took a task asks next."""
        found = self._deciders.get(answers)
        if found is None:
            tape = _Tape(answers)
            machine: Any = _Machine(tape)
            grouped: Any = _Group(tape)
            self._patch.setattr(keeper, "files", _Files(tape))
            try:
                keeper.HoldMachine(grouped, machine).received(RECEIVED)
                found = "evaluate"
            except _Paused as paused:
                found = str(paused.question)
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
