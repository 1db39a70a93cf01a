"""The engine: decision tasks in, decisions out. A function of its input but for what it remembers to save work."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from simpleflow.core import errors, manifests, payloads, text

from . import answer, cache, contract, evaluation, hooks, inputs
from .history import copied, fold, identity
from .tasks import outbox

#: executions that are kept suspended, and their bytes
CACHED = 1_000
CACHED_BYTES = 256 << 20


class Engine:
    """Decides. Every call on the thread that made it.

    ``workflows`` are known by their name, or by ``module.Class``; others are loaded by the class that the execution's
    input names. ``offloads``: the caller replaces values over SWF's limits by pointers before it sends a response;
    without, they are refused where the program makes them. ``strict`` holds for classes that do not say. ``cached``
    and ``cached_bytes`` bound what is kept of suspended executions; losing them costs time, never correctness.
    ``loader`` imports a class by its dotted name, or raises ImportError for one that may not run here. ``failed`` is
    told of each run that fails, by its run id, and what its program raised.
    """

    def __init__(
        self,
        workflows: Sequence[type] = (),
        payloads: payloads.Payloads | None = None,
        *,
        offloads: bool = False,
        bounds: outbox.Bounds | None = None,
        strict: bool = False,
        cached: int = CACHED,
        cached_bytes: int = CACHED_BYTES,
        loader: Callable[[str], type] | None = None,
        failed: Callable[[str, BaseException], object] | None = None,
    ) -> None:
        self._cache = cache.Cache(cached, cached_bytes)
        if payloads is None:
            raise errors.Misuse("an engine needs payloads: simpleflow.data.converter.Converter() for example")
        self._payloads = payloads
        self._offloads = offloads
        self._strict = strict
        self._bounds = bounds or outbox.Bounds()
        self._load = loader or load
        self._failed = failed
        self._classes: dict[str, type] = {}
        for cls in workflows:
            self._classes[f"{cls.__module__}.{cls.__qualname__}"] = cls
            self._classes.setdefault(getattr(cls, "name", cls.__name__), cls)

    # -- the contract

    def decide(self, task: contract.DecisionTask) -> contract.Decided | contract.Needs:
        """Answer one decision task, or say what must be there to answer it."""
        try:
            return self._decide(task)
        except contract.NeedHistory:
            self._cache.evict(task.run_id)
            return contract.Needs(history=True)
        except contract.NeedBlob as missing:
            return contract.Needs(blobs=missing.args)

    def acknowledged(self, run_id: str, started_event_id: int) -> None:
        """The service took the answer to this decision: what was suspended by it may be resumed.

        Closing hooks run here, and what they raise comes out.
        """
        entry = self._cache.get(run_id)
        if entry is None or entry.answered != started_event_id:
            return
        entry.acknowledged = started_event_id
        if entry.outcome is not None:
            outcome, seen = entry.outcome, entry.seen
            entry.outcome = None
            try:
                if seen is not None:
                    entry.evaluation.hooks.after_close(outcome, seen)
            finally:
                self._cache.evict(run_id)

    def has_closing_hooks(self, run_id: str) -> bool:
        """Whether the last answer closes the execution and the class has hooks for that.

        A response may be taken and the close in it fail all the same (UNHANDLED_DECISION): then the caller calls
        ``forget`` instead of ``acknowledged``.
        """
        entry = self._cache.get(run_id)
        return entry is not None and entry.outcome is not None and entry.seen is not None

    def close(self) -> None:
        """End every suspended evaluation."""
        for run_id in list(self._cache):
            self._cache.evict(run_id)

    def __del__(self) -> None:
        # A suspended greenlet is invisible to the garbage collector: dropped with its engine it would live for ever.
        with contextlib.suppress(Exception):  # at the interpreter's end greenlets are gone before
            self.close()

    def forget(self, run_id: str) -> None:
        """Drop what is suspended of this run: its answer was refused, or it goes elsewhere."""
        self._cache.evict(run_id)

    def query(
        self,
        task: contract.DecisionTask,
        method: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any | contract.Needs:
        """Call a method of the instance where ``run()`` is blocked, or ended. Decides nothing.

        ``task`` holds the whole history. Raises Misuse when the class has no such method, and what it raises.
        """
        if not task.events or task.events[0].id != 1:
            return contract.Needs(history=True)
        try:
            task, taken = self._joined(task)
            replay = self._evaluation(task, read_only=True)
        except contract.NeedBlob as missing:
            return contract.Needs(blobs=missing.args)
        try:
            replay.begin(task, taken)
            replay.blobs.texts.update(task.blobs)
            replay.calls.local_results.update(task.local)
            needs = replay.advance()
            if needs is not None and not needs.local:
                return needs
            function = getattr(replay.instance, method, None)
            if not callable(function):
                raise errors.Misuse(f"{replay.facts.cls.__name__} has no method {method!r} to query")
            return function(*args, **(kwargs or {}))
        except contract.NeedBlob as missing:
            return contract.Needs(blobs=missing.args)
        finally:
            replay.kill()
            replay.release()

    # -- for those who watch

    @property
    def suspended(self) -> int:
        """Executions that are kept."""
        return len(self._cache)

    @property
    def suspended_bytes(self) -> int:
        return self._cache.bytes

    @property
    def would_not_end(self) -> int:
        """Evicted evaluations whose strands did not end when they were killed, and were dropped."""
        return self._cache.would_not_end

    # -- how

    def _decide(self, task: contract.DecisionTask) -> contract.Decided | contract.Needs:
        entry = self._cache.get(task.run_id)
        if entry is not None and entry.working_on != task.started_event_id:
            found = self._resumed(task, entry)
            if isinstance(found, contract.Needs):
                return found
            entry = found
        if entry is None:
            if not task.events or task.events[0].id != 1:
                return contract.Needs(history=True)
            whole, taken = self._joined(task)
            entry = cache.Entry(self._evaluation(whole))
            entry.evaluation.begin(whole, taken)
        running = entry.evaluation
        entry.working_on = task.started_event_id
        if not running.given.copied.events:
            running.task = task
        else:  # what it was begun or resumed with is renumbered already
            running.task = msgspec.structs.replace(
                running.task, blobs=task.blobs, local=task.local, hurried=task.hurried
            )
        if task.blobs:
            running.blobs.texts.update(task.blobs)
        if task.local:
            running.calls.local_results.update(task.local)
        try:
            needs = running.advance()
            if needs is not None:
                self._cache.put(task.run_id, entry)
                return needs
            complete = running.submitted is not None
            decided, entry.outcome = answer.decide(running, self._bounds, complete=complete)
        except BaseException:
            running.kill()
            self._cache.evict(task.run_id)
            raise
        running.submitted = None
        if entry.outcome is not None and entry.outcome.error is not None and self._failed is not None:
            self._failed(task.run_id, entry.outcome.error)
        if entry.outcome is None:
            running.ordinals.compact()
            if running.scopes is not None:
                running.scopes.compact()
            running.book.activities.count()
            running.book.children.count()
        running.blobs.texts.clear()
        running.calls.local_results.clear()
        self._suspend(task, entry, decided)
        return decided

    def _resumed(self, task: contract.DecisionTask, entry: cache.Entry) -> cache.Entry | contract.Needs | None:
        """Return the entry with the new events booked; None when it must be re-run; Needs when events are missing."""
        suspended = entry.evaluation
        previous = task.previous_started_event_id
        copies = suspended.given.copied.events
        new = _renumbered(task, copies) if copies else task
        usable = (
            entry.working_on == 0
            and entry.acknowledged == entry.answered == previous
            and _may_be(entry.began, _timestamp(task, previous))
            and not suspended.reads.single_use
        )
        if usable and suspended.book.missing_before(new.events):
            return contract.Needs(history=True)
        if usable:
            try:
                suspended.resume(new)
            except fold.DecidedElsewhere:
                usable = False
        if not usable or suspended.book.stale:
            self._cache.evict(task.run_id)
            return None
        return entry

    def _suspend(self, task: contract.DecisionTask, entry: cache.Entry, decided: contract.Decided) -> None:
        running = entry.evaluation
        entry.working_on = 0
        entry.answered = task.started_event_id
        entry.began = _timestamp(task, task.started_event_id)
        if entry.outcome is not None:
            wanted = running.hooks.has("after_closed") or running.hooks.has("on_completed")
            entry.seen = running.hooks.history() if wanted else None
            if entry.seen is not None and not entry.seen.events:
                entry.seen = None
        elif running.reads.gave_up or decided.divergence is not None or hooks.reruns(running.facts.cls):
            running.reads.single_use = True
        running.task = _without_events(running.task)
        if running.reads.single_use:
            running.kill()
        self._cache.put(task.run_id, entry)

    def _evaluation(self, task: contract.DecisionTask, *, read_only: bool = False) -> evaluation.Evaluation:
        return evaluation.Evaluation(
            self._class_of(task),
            task,
            self._payloads,
            offloads=self._offloads,
            read_only=read_only,
            watched=self._strict,
        )

    def _joined(self, task: contract.DecisionTask) -> tuple[contract.DecisionTask, copied.Copied]:
        """Return the task with what its run takes over from those before it."""
        pointer = inputs.manifest_of(_input(task), self._payloads)
        if pointer is None:
            return task, copied.NOTHING
        if pointer not in task.blobs:
            raise contract.NeedBlob(pointer)
        manifest = manifests.read(task.blobs[pointer])
        lacking = copied.missing(manifest.pages, task.blobs)
        if lacking:
            raise contract.NeedBlob(*lacking)
        events, taken = copied.whole(task.events, pointer, manifest, task.blobs)
        return msgspec.structs.replace(_renumbered(task, taken.events), events=events), taken

    def _class_of(self, task: contract.DecisionTask) -> type:
        given = _input(task)
        path = inputs.class_path(given)
        for name in (path, task.workflow_name):
            if name is not None and name in self._classes:
                return self._classes[name]
        path = path or task.workflow_name
        try:
            found = self._load(path)
        except (Exception, SystemExit) as error:  # a script may end itself when it is imported
            if path.startswith("__main__."):
                raise errors.UsageError(
                    f"workflow {path!r} is defined in the script that started it, where no decider can import it: put "
                    "it into a module, and start it from there"
                ) from error
            raise errors.UsageError(
                f"no workflow {task.workflow_name!r} is known here and {path!r} cannot be imported "
                f"({text.of_error(error)}): start the decider with package.module.Class, in a folder or with a "
                "PYTHONPATH where it is found, and with what its module imports"
            ) from error
        self._classes[path] = found
        return found


def load(path: str) -> type:
    """Import ``package.module.Class``. Raises ImportError."""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:cut])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
                continue
            raise
        for part in parts[cut:]:
            found = getattr(found, part, None)
        if isinstance(found, type):
            return found
        raise ImportError(f"module {name} has no class {'.'.join(parts[cut:])}")
    raise ImportError(f"{path!r} is not of the form module.Class")


def _input(task: contract.DecisionTask) -> str | None:
    """Return the text of the execution's input. Raises NeedBlob where it lies elsewhere."""
    started: Any = task.events[0].attributes
    given: str | None = started.input
    if given and given.startswith(identity.POINTER):
        if given not in task.blobs:
            raise contract.NeedBlob(given)
        return task.blobs[given]
    return given


def _renumbered(task: contract.DecisionTask, by: int) -> contract.DecisionTask:
    """Return a task whose events are numbered as if ``by`` events stood behind the first one."""
    if not by:
        return task
    return msgspec.structs.replace(
        task,
        previous_started_event_id=task.previous_started_event_id + by if task.previous_started_event_id else 0,
        started_event_id=task.started_event_id + by,
        events=tuple(manifests.shifted(event, by) if event.id > 1 else event for event in task.events),
    )


def _timestamp(task: contract.DecisionTask, event_id: int) -> float | None:
    """Return the timestamp of an event; None where the task does not hold it.

    An event of the same number with another timestamp is of another history: the service lost the end of this one, in a
    power cut or because a backup was restored, and other deciders wrote it anew.
    """
    events = task.events
    place = event_id - events[0].id if events else -1
    return events[place].timestamp if 0 <= place < len(events) and events[place].id == event_id else None


def _may_be(one: float | None, other: float | None) -> bool:
    """Whether two timestamps, of which either may be unknown, can be of one event."""
    return None in (one, other) or one == other


def _without_events(task: contract.DecisionTask) -> contract.DecisionTask:
    # A suspended execution must not hold its history.
    return msgspec.structs.replace(task, events=(), blobs={}, local={})
