"""Waiting for signals."""

from __future__ import annotations

from typing import Any

from simpleflow import base
from simpleflow.core import numbers
from simpleflow.engine import api
from simpleflow.engine.tasks import signals, tasks


class WaitForSignal(base.Submittable[Any]):
    """Submitted, it gives the future of the next signal of that name, in turn; ``future.value`` is what was sent.

    ``timeout``: seconds, or a timedelta, of a durable timer that cancels the wait and gives its turn back.
    """

    def __init__(self, signal_name: str, timeout: numbers.Duration | None = None) -> None:
        if timeout is not None:
            numbers.duration(f"timeout of wait_signal({signal_name!r})", timeout)
        self.signal_name = signal_name
        self.timeout = timeout

    @property
    def name(self) -> str:
        """The signal's name."""
        return self.signal_name

    def submit_to(
        self, executor: Any, *, priority: Any = tasks.UNSET, raises: bool | None = None
    ) -> signals.SignalFuture:
        return api.wait_signal(executor, self.signal_name, self.timeout)

    def __repr__(self) -> str:
        return f"WaitForSignal({self.signal_name})"
