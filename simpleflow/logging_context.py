"""Which task this process works on, kept in environment variables so that child processes log it too."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

#: key -> environment variable
ENV_KEYS = {
    "activity_id": "_SWF_CONTEXT_ACTIVITY_ID",
    "domain": "_SWF_CONTEXT_DOMAIN",
    "event_id": "_SWF_CONTEXT_EVENT_ID",
    "run_id": "_SWF_CONTEXT_RUN_ID",
    "task_list": "_SWF_CONTEXT_TASK_LIST",
    "task_type": "_SWF_CONTEXT_TASK_TYPE",
    "workflow_id": "_SWF_CONTEXT_WORKFLOW_ID",
}

#: what stands in the environment: looking there costs as much as writing
_written: dict[str, str] = {variable: os.environ.get(variable, "") for variable in ENV_KEYS.values()}


class _Thread(threading.local):
    here: dict[str, str] | None = None


_thread = _Thread()


@contextlib.contextmanager
def within(**keys: object) -> Iterator[None]:
    """Say what this thread works on meanwhile; keys as of ENV_KEYS. No other thread, and no child, hears of it."""
    before = _thread.here
    _thread.here = {**(before or {}), **{key: str(value) for key, value in keys.items()}}
    try:
        yield
    finally:
        _thread.here = before


def set(key: str, value: object) -> None:
    """Set one key; raises KeyError for a name that is not in ENV_KEYS."""
    _write(ENV_KEYS[key], str(value))


def set_all(**keys: object) -> None:
    """Set several keys; raises KeyError for a name that is not in ENV_KEYS."""
    for key, value in keys.items():
        variable, shown = ENV_KEYS[key], str(value)
        if _written[variable] != shown:
            _written[variable] = os.environ[variable] = shown


def get(key: str) -> str:
    """Return one key's value, ``""`` when it was never set."""
    return os.environ.get(ENV_KEYS[key], "")


def reset() -> None:
    """Forget the task; child processes started from now on inherit nothing of it."""
    for variable in ENV_KEYS.values():
        _write(variable, "")


def mend() -> None:
    """Write again what somebody else changed."""
    for variable, value in _written.items():
        if os.environ.get(variable, "") != value:
            os.environ[variable] = value


def _write(variable: str, value: str) -> None:
    if _written[variable] != value:
        _written[variable] = os.environ[variable] = value


def items() -> dict[str, str]:
    """Return the keys that have a value."""
    found = {key: value for key in ENV_KEYS if (value := get(key))}
    return found if _thread.here is None else found | _thread.here
