"""Replay saved histories against today's code: no network, no credentials, no coordinator.

    outcome = replay(Nightly, events)
    assert outcome.divergence is None

    def test_old_histories_still_replay() -> None:
        replay_all("tests/histories")

A history is walked once with one engine that is fed only what is new at each decision, as a decider does it, and its
last decision is made once more from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from simpleflow import engine as engines
from simpleflow.core import decisions, errors, event_views, events
from simpleflow.core import payloads as core_payloads
from simpleflow.runtime import stores

from . import points

__all__ = ["Diverged", "NotReplayable", "Outcome", "Point", "Saved", "read", "replay", "replay_all", "verify"]

Point = points.Point


class Diverged(errors.SimpleflowError):
    """Code and history went different ways; the message holds the diff of each history."""


class NotReplayable(errors.SimpleflowError):
    """A history cannot be replayed here; the message says what is missing."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay found."""

    #: one per decision that the history shows as completed, and one for the decision that is still to be answered
    points: tuple[Point, ...]
    #: the two-column diff, history against code; None when they agree
    divergence: str | None


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """A history from a file. The file may name its execution: ``uuid4()`` and ``random()`` are seeded by its run id."""

    events: tuple[events.Event, ...]
    workflow_id: str = "replayed"
    run_id: str = "replayed"


class _Execution(msgspec.Struct, rename="camel"):
    workflow_id: str
    run_id: str


class _File(msgspec.Struct, rename="camel"):
    events: list[dict[str, Any]]
    workflow_execution: _Execution | None = None


def read(path: str | Path) -> Saved:
    """Read ``{"events": [...]}`` as GetWorkflowExecutionHistory answers, with or without ``workflowExecution``.

    Timestamps are ISO 8601 (``workflow.dump``, ``workflow.history -o raw``, the AWS CLI) or epoch seconds.
    Raises UsageError, naming the file, when it holds something else.
    """
    try:
        found = msgspec.json.decode(Path(path).read_bytes(), type=_File)
        for event in found.events:
            event["eventTimestamp"] = event_views.moment(event["eventTimestamp"]).timestamp()
        decoded = events.decode(msgspec.json.encode(found.events))
    except (msgspec.DecodeError, KeyError, ValueError, TypeError) as error:
        raise errors.UsageError(
            f'{path} is not a history ({error}): it must hold {{"events": [...]}}, as GetWorkflowExecutionHistory '
            "answers and workflow.dump writes"
        ) from error
    if found.workflow_execution is None:
        return Saved(events=tuple(decoded))
    return Saved(
        events=tuple(decoded),
        workflow_id=found.workflow_execution.workflow_id,
        run_id=found.workflow_execution.run_id,
    )


def write(path: str | Path, workflow_id: str, run_id: str, history: Iterable[events.Base]) -> None:
    """Write a history as ``read`` reads it, with the ids of its execution."""
    Path(path).write_text(text(workflow_id, run_id, history), encoding="utf-8")


def text(workflow_id: str, run_id: str, history: Iterable[events.Base]) -> str:
    """Return a history as the text of a file, indented: such files are compared by people."""
    found = [
        {**events.to_builtins(event), "eventTimestamp": event_views.moment(event.timestamp).isoformat()}
        for event in history
    ]
    whole = {"workflowExecution": {"workflowId": workflow_id, "runId": run_id}, "events": found}
    return msgspec.json.format(msgspec.json.encode(whole), indent=1).decode() + "\n"


def replay(
    workflow: type | Sequence[type] | None,
    history: Iterable[events.Event],
    *,
    workflow_id: str = "replayed",
    run_id: str = "replayed",
    load: Callable[[str], str] | None = None,
    payloads: core_payloads.Payloads | None = None,
    strict: bool = False,
) -> Outcome:
    """Make every decision of a history again; nothing is sent, and no closing hook runs.

    Args:
        workflow: the class, or several (children are of other classes); None: the one that the input names.
        history: its events, from the first.
        workflow_id, run_id: of the execution; ``uuid4()`` and ``random()`` depend on the run id.
        load: returns the text that a pointer of a jumbo value stands for; without, those in files are read.
        payloads: how objects become text; as workers and deciders do it when left out.
        strict: as of the engine, for classes that do not say.
    """
    again = _Replayer(workflow, tuple(history), workflow_id, run_id, load, payloads or stores.payloads(), strict)
    made = tuple(again.resumed())
    divergence = next((point.divergence for point in made if point.divergence), None)
    if divergence is None and made:
        divergence = again.from_scratch(made[-1].started_event_id).divergence
    return Outcome(points=made, divergence=divergence)


def verify(workflow: type | Sequence[type] | None, history: Iterable[events.Event], **options: Any) -> None:
    """Hold a history against the code, each decision resumed and from the start; options as of ``replay``.

    Raises Diverged when the code goes another way, when a resumed and a re-run evaluation decide differently, or when
    they decide something else than the history shows.
    """
    found = tuple(history)
    options = {"workflow_id": "replayed", "run_id": "replayed", "load": None, "payloads": stores.payloads()} | options
    again = _Replayer(workflow, found, strict=options.pop("strict", False), **options)
    recorded = points.recorded(found)
    for resumed in again.resumed():
        scratch = again.from_scratch(resumed.started_event_id)
        where = f"decision started by event {resumed.started_event_id}"
        for point in (resumed, scratch):
            if point.divergence:
                raise Diverged(f"{where}: {point.divergence}")
        # What a side effect returns is drawn anew at the decision that records it: there only types and ids can agree.
        compare = points.keys if resumed.drew_anew else tuple
        if compare(resumed.decisions) != compare(scratch.decisions):
            raise Diverged(
                f"{where}: resumed and re-run evaluations decide differently\n"
                + points.columns("resumed", resumed.decisions, "re-run", scratch.decisions)
            )
        if resumed.started_event_id in recorded:
            made, known = points.keys(resumed.decisions), recorded[resumed.started_event_id]
            if made != known:
                raise Diverged(
                    f"{where}: the code decides something else than the history shows\n"
                    + points.columns("history", known, "code", made)
                )


def replay_all(directory: str | Path, workflows: Sequence[type] = (), **options: Any) -> dict[Path, Outcome]:
    """Replay every ``*.json`` of a folder (those beginning with ``_`` left out) and of the folders below it.

    A history belongs to the class of ``workflows`` whose name its workflow type has, else to the class that its input
    names. Raises Diverged with every diff, after all files were replayed, and UsageError when there is no file.
    """
    found = sorted(path for path in Path(directory).rglob("*.json") if not path.name.startswith("_"))
    if not found:
        raise errors.UsageError(f"{directory} holds no history (*.json); workflow.dump writes one")
    by_name = {str(getattr(workflow, "name", workflow.__name__)): workflow for workflow in workflows}
    outcomes: dict[Path, Outcome] = {}
    for path in found:
        saved = read(path)
        workflow = by_name.get(points.workflow_type(saved.events).name)
        outcomes[path] = replay(workflow, saved.events, workflow_id=saved.workflow_id, run_id=saved.run_id, **options)
    diffs = [f"{path}: {outcome.divergence}" for path, outcome in outcomes.items() if outcome.divergence]
    if diffs:
        raise Diverged("\n".join(diffs))
    return outcomes


def _from_files(pointer: str) -> str:
    """Return a value that lies in a folder of this machine: no replay calls a network by itself."""
    if not pointer.startswith("simpleflow+file://"):
        raise NotReplayable(
            f"the program reads the value of {pointer!r}, which lies in a blob store: call simpleflow.testing.replay "
            "with load=, which gets it"
        )
    return stores.open_store(None).load(pointer)


class _Replayer:
    """One history and the class that it is held against."""

    def __init__(
        self,
        workflow: type | Sequence[type] | None,
        history: tuple[events.Event, ...],
        workflow_id: str,
        run_id: str,
        load: Callable[[str], str] | None,
        payloads: core_payloads.Payloads,
        strict: bool,
    ) -> None:
        self._workflows = () if workflow is None else (workflow,) if isinstance(workflow, type) else tuple(workflow)
        self._history = history
        self._workflow_id, self._run_id = workflow_id, run_id
        self._load = load
        self._payloads = payloads
        self._strict = strict
        self._type = points.workflow_type(history)
        #: a class that was named is meant, whatever its type was called when the history was made
        self._name = (
            str(getattr(workflow, "name", workflow.__name__)) if isinstance(workflow, type) else self._type.name
        )
        self._started = points.started(history)
        #: its decider had a store for values over SWF's limits
        self._offloads = points.has_pointers(history)

    def _engine(self) -> engines.Engine:
        return engines.Engine(
            workflows=self._workflows, payloads=self._payloads, offloads=self._offloads, strict=self._strict
        )

    def _task(self, previous: int, started: int, first: int) -> engines.DecisionTask:
        return engines.DecisionTask(
            domain="replay",
            workflow_id=self._workflow_id,
            run_id=self._run_id,
            workflow_name=self._name,
            workflow_version=self._type.version,
            previous_started_event_id=previous,
            started_event_id=started,
            events=self._history[first:started],
            complete=first == 0,
        )

    def resumed(self) -> Iterator[Point]:
        """Make each decision with one engine that hears only what is new."""
        engine = self._engine()
        previous = 0
        for started in self._started:
            decided = self._decide(engine, self._task(previous, started, previous))
            yield points.point(started, decided)
            if points.drew_anew(decided.decisions):
                engine.forget(self._run_id)  # the history has another value from here on
            elif not any(isinstance(decision, decisions.CLOSING) for decision in decided.decisions):
                # A close is not acknowledged: its hooks belong to the decider that made it.
                engine.acknowledged(self._run_id, started)
            previous = started

    def from_scratch(self, started: int) -> Point:
        """Make one decision with a new engine and the whole history up to it."""
        previous = max((other for other in self._started if other < started), default=0)
        return points.point(started, self._decide(self._engine(), self._task(previous, started, 0)))

    def _decide(self, engine: engines.Engine, task: engines.DecisionTask) -> engines.Decided:
        decided = engine.decide(task)
        while isinstance(decided, engines.Needs):
            if decided.history:
                task = msgspec.structs.replace(task, events=self._history[: task.started_event_id], complete=True)
            if decided.blobs:
                task = msgspec.structs.replace(task, blobs={**task.blobs, **self._blobs(decided.blobs)})
            if decided.local:
                task = msgspec.structs.replace(task, local={**task.local, **self._local(task, decided.local)})
            decided = engine.decide(task)
        return decided

    def _blobs(self, pointers: Iterable[str]) -> dict[str, str]:
        return {pointer: (self._load or _from_files)(pointer) for pointer in pointers}

    def _local(
        self, task: engines.DecisionTask, asked: Sequence[engines.LocalActivity]
    ) -> dict[str, engines.LocalResult]:
        known = points.local_results(self._history, task.started_event_id)
        missing = [activity.key for activity in asked if activity.recorded not in known]
        if missing:
            raise NotReplayable(
                f"the history holds no result of the local activity {missing[0]!r}, which would run now"
            )
        return {activity.key: known[activity.recorded] for activity in asked}
