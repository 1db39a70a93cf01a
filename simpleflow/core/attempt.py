"""The activity task that runs here: its code reports progress, asks whether it is cancelled, and can leave its answer
to another program."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import msgspec

from . import errors, limits, text


class CompletedLater(BaseException):
    """Raised by ``activity.complete_later()``: the activity's code ends here, its task stays open.

    Not an Exception, so that ``except Exception`` does not swallow it.
    """


class Attempt:
    """One attempt of one activity task, as the code that runs for it sees it."""

    __slots__ = ("beat", "cancelled", "last_heartbeat", "token")

    def __init__(
        self,
        beat: Callable[[str | None], None],
        cancelled: Callable[[], bool],
        *,
        token: str = "",
        last_heartbeat: Any = None,
    ) -> None:
        """``beat`` gets the text of a heartbeat; ``token`` answers the task; ``last_heartbeat`` is the last
        report of the attempt before this one."""
        self.beat = beat
        self.cancelled = cancelled
        self.token = token
        self.last_heartbeat = last_heartbeat


class _Local(threading.local):
    attempt: Attempt | None = None


_local = _Local()
#: attempts of a process that runs one at a time: threads that the activity starts belong to the attempt too
_alone: list[Attempt] = []


@contextlib.contextmanager
def running(attempt: Attempt, *, alone: bool = False) -> Iterator[None]:
    """Make this attempt the current one inside the block: for this thread, or with ``alone`` for every thread."""
    before, _local.attempt = _local.attempt, attempt
    if alone:
        _alone.append(attempt)
    try:
        yield
    finally:
        _local.attempt = before
        if alone:
            _alone.remove(attempt)


def current() -> Attempt | None:
    """Return the attempt that runs here, None outside of an activity task."""
    return _local.attempt or (_alone[-1] if _alone else None)


def heartbeat(details: Any = None) -> None:
    """Report progress of the activity that runs here. Outside of an activity task it does nothing.

    ``details``: any JSON value, at most 2,048 characters as JSON; a retry of the task has it as ``last_heartbeat()``.
    The worker sends the latest one, at most once in a third of the task's heartbeat timeout.

    Raises TypeError for a value that is not JSON, ValueError for one that is too long.
    """
    found = current()
    if found is not None:
        found.beat(None if details is None else encoded(details))


def last_heartbeat() -> Any:
    """Return the details that an earlier attempt of this task reported last; None when there are none."""
    found = current()
    return None if found is None else found.last_heartbeat


def cancel_requested() -> bool:
    """Return whether the cancellation of the activity task that runs here is requested."""
    found = current()
    return found is not None and found.cancelled()


def task_token() -> str:
    """Return the token that answers the activity task that runs here, for ``complete_later()``.

    Every program with the token can complete or fail the task. Raises Misuse outside of an activity task and in a
    local activity.
    """
    found = current()
    if found is None or not found.token:
        raise errors.Misuse(
            "no activity task runs here that could be answered later: call it in an activity that was submitted as "
            "a task (not with submit_local, not outside of a worker)"
        )
    return found.token


def complete_later() -> NoReturn:
    """End the activity's code and leave its task open; another program completes or fails it by ``task_token()``.

    The task's timeouts stay in force. Raises CompletedLater, and Misuse in the same cases as ``task_token()``.
    """
    task_token()
    raise CompletedLater


def encoded(details: Any) -> str:
    """Return the text of a heartbeat's details: text stays as it is unless it could be read as JSON."""
    if isinstance(details, str):
        return text.safe(_text(details), limits.HEARTBEAT_DETAILS)
    found = msgspec.json.encode(details).decode()
    if len(found) > limits.HEARTBEAT_DETAILS:
        raise ValueError(
            f"the details of a heartbeat have {len(found)} characters as JSON, over SWF's limit of "
            f"{limits.HEARTBEAT_DETAILS}: report less, such as the number of the last item"
        )
    return found


def _text(details: str) -> str:
    try:
        msgspec.json.decode(details)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return details
    return msgspec.json.encode(details).decode()


def decoded(details: Any) -> Any:
    """Return the value from which ``encoded`` made this text."""
    if not isinstance(details, str):
        return None
    try:
        return msgspec.json.decode(details)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return details


def reported(failure: str | None) -> str | None:
    """Return the heartbeat that the details of a failed task hold, as text."""
    if not failure or '"last_heartbeat"' not in failure:
        return None
    try:
        parsed = msgspec.json.decode(failure)
    except msgspec.DecodeError:
        return None
    found = parsed.get("last_heartbeat") if isinstance(parsed, Mapping) else None
    return found if isinstance(found, str) else None


def with_report(failure: str, details: str | None) -> str:
    """Return the details of a failed task with the last heartbeat of its attempt, if both fit."""
    if details is None:
        return failure
    try:
        parsed = msgspec.json.decode(failure)
    except msgspec.DecodeError:
        return failure
    if not isinstance(parsed, dict):
        return failure
    longer = msgspec.json.encode({**parsed, "last_heartbeat": details}).decode()
    return longer if len(longer) <= limits.DATA else failure
