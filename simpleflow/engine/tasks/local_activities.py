"""Local activities: run by the caller beside the decider, recorded as a marker."""

from __future__ import annotations

from typing import Any

import msgspec

from simpleflow.core import errors, limits, text
from simpleflow.engine import contract, declared
from simpleflow.engine.history import identity, marker_records, records
from simpleflow.engine.program import futures, run, slot_texts, strands

from . import arguments, failures, markers


class LocalCall:
    """One local activity."""

    __slots__ = (
        "asked",
        "branch",
        "delay",
        "evaluation",
        "failed",
        "future",
        "key",
        "module",
        "name",
        "ordinal",
        "record",
        "retry",
        "seq",
        "text",
        "timeout",
    )

    def __init__(self, evaluation: run.Run, activity: declared.Activity, args: Any, kwargs: Any) -> None:
        found: list[futures.Future[Any]] = []
        args, kwargs = arguments.find(args, found), arguments.find(kwargs, found)
        encoded = arguments.envelope(args, kwargs, evaluation.payloads)
        if found:
            waiting = tuple(future for future in found if future._kind == futures.OPEN)
            if waiting:
                strands.block(evaluation, waiting, len(waiting))
            encoded = arguments.Template(encoded, len(found), evaluation.payloads).fill([f._slot() for f in found])
        self.evaluation = evaluation
        name = self.name = activity.name
        self.module = getattr(activity.callable, "__module__", None) or ""
        self.timeout = _declared_limit(activity)
        self.text = encoded
        self.branch = evaluation.branch.path
        digest = identity.digest(encoded)
        self.ordinal = evaluation.ordinals.next(evaluation.branch, "local", name, digest)
        #: names it for the caller, and in its marker
        self.key = f"{name}:{digest}:{identity.digest(self.branch)[:8]}:{self.ordinal}"
        #: names the attempt that is asked for; how many failed, and seconds before this one
        self.asked, self.failed, self.delay = self.key, 0, 0.0
        self.retry = activity.retry
        self.future: futures.Future[Any] = futures.made(
            evaluation, self, bool(activity.raises_on_failure), evaluation.payloads.result_hint(activity.callable)
        )
        self.record: records.Record | None = evaluation.book.markers.claim(
            (marker_records.LOCAL_ACTIVITY, marker_records.own_key(self.key, self.branch, self.ordinal))
        )
        self.seq = evaluation.next_seq()
        if self.record is None:
            if evaluation.scopes is not None and not evaluation.scopes.admits(evaluation.current, self.seq):
                self.withdraw()
            else:
                evaluation.calls.local[self.asked] = self
            return
        self.record.attach(self)

    def identity(self) -> str:
        return f"local:{self.key}"

    def deliver(self, event: Any) -> None:
        if self.future._kind == futures.OPEN:
            assert self.record is not None
            # As of the decision that recorded it, whatever happened while that was made.
            self.evaluation.position = self.record.closed_id
            own = marker_records.own_details(event.attributes.details)
            self._finish(own)

    def _finish(self, own: marker_records.Own) -> None:
        if own.reason is not None:
            error = errors.TaskFailed(self.name, own.reason, own.details)
            error.task_name = self.name
            self.future._fail(error)
        else:
            self.future._complete_with_text(slot_texts.result_of(bytes(own.value).decode()))

    def settle(self, result: contract.LocalResult) -> None:
        if result.reason is not None and self._tries_again(result.reason, result.details):
            return
        own = self._own(result)
        try:
            markers.OwnMarker(self.evaluation, marker_records.LOCAL_ACTIVITY, own)
        except errors.ValueTooLong as error:  # no code of the program runs here: it reads the error in the future
            failed = contract.LocalResult(reason=text.cut(text.of_error(error), limits.REASON))
            own = self._own(failed)
            markers.OwnMarker(self.evaluation, marker_records.LOCAL_ACTIVITY, own)
        self._finish(own)

    def _tries_again(self, reason: str, details: str | None) -> bool:
        """Ask for another attempt where its budget allows; only how the last one ended is recorded."""
        self.failed += 1
        error = errors.TaskFailed(self.name, reason, details)
        delay = failures.next_delay(self.retry, self.failed, error, self.evaluation.given.seed, self.key)
        if delay is None:
            return False
        self.asked, self.delay = f"{self.key}#{self.failed + 1}", delay
        self.evaluation.calls.local[self.asked] = self
        return True

    def _own(self, result: contract.LocalResult) -> marker_records.Own:
        return marker_records.Own(
            branch=self.branch,
            ordinal=self.ordinal,
            id=self.key,
            value=msgspec.Raw(slot_texts.of_result(result.result, self.evaluation.payloads).encode()),
            reason=result.reason,
            details=result.details,
        )

    def state(self, future: futures.Future[Any]) -> str:
        return futures.PENDING

    def withdraw(self) -> None:
        """Never run it: a cancel request was taken up."""
        self.evaluation.calls.local.pop(self.asked, None)
        self.future._cancel(futures.WITHDRAWN)

    def cancel(self, future: futures.Future[Any]) -> bool:
        self.evaluation.calls.local.pop(self.asked, None)
        future._cancel()
        return True


def put_off(evaluation: run.Run) -> bool:
    """Whether what did not run yet is left to the next decision: the time of this one is used up."""
    return evaluation.task.hurried and not evaluation.calls.local.keys() & evaluation.calls.local_results.keys()


def _declared_limit(activity: declared.Activity) -> float | None:
    """Return the seconds that the author gave it; what a setting says is meant for tasks of their own."""
    left = getattr(activity, "default_timeouts", {})
    given = (
        _seconds(getattr(activity, name))
        for name in ("task_start_to_close_timeout", "task_schedule_to_close_timeout")
        if name not in left
    )
    return min((each for each in given if each is not None), default=None)


def _seconds(timeout: Any) -> float | None:
    return None if timeout in (None, "", "NONE", 0) else float(timeout)


def settle(evaluation: run.Run) -> contract.Needs | None:
    """Settle those whose results are there, in order of submission; ask for the others when none is."""
    # They are delivered after all that came before this decision's start: as of this decision.
    evaluation.position = max(evaluation.position, evaluation.task.started_event_id - 1)
    done = next((key for key in evaluation.calls.local if key in evaluation.calls.local_results), None)
    if done is None:
        wanted = tuple(
            contract.LocalActivity(
                key=key,
                name=call.name,
                input=call.text,
                module=call.module,
                timeout=call.timeout,
                recorded=call.key,
                delay=call.delay,
            )
            for key, call in evaluation.calls.local.items()
        )
        return contract.Needs(local=wanted, seconds=_seconds(evaluation.given.started.task_start_to_close_timeout))
    evaluation.calls.local.pop(done).settle(evaluation.calls.local_results[done])
    return None
