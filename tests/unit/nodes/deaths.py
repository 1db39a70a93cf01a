"""Interceptors by which a real client or decider kills itself (SIGKILL) at a step that a test names, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from simpleflow.core import interceptors

#: names the file that holds the step; whoever reaches it first takes the file away
VARIABLE = "TEST_DEATH"
CLIENT = ("client: before the start", "client: after the start")
DECIDER = ("polls", "has a task", "has answered", "drains")


def die_at(step: str) -> None:
    """Kill this process if the test wants it dead at this step; 'with its supervisor' takes the parent along."""
    file = Path(os.environ[VARIABLE])
    try:
        wanted = file.read_text()
        if wanted.removesuffix(", with its supervisor") != step:
            return
        file.unlink()
    except FileNotFoundError:
        return
    if wanted != step:
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


class Dies(interceptors.Interceptor):
    """Every step that a client's start and a decider's work have."""

    def before_start(self, call: interceptors.StartCall) -> None:
        die_at(CLIENT[0])

    def after_start(self, call: interceptors.StartCall, run_id: str) -> None:
        die_at(CLIENT[1])

    def polling(self) -> None:
        die_at("decider: polls")

    def received(self, task: interceptors.DecisionReceived) -> None:
        die_at("decider: has a task")

    def answered(self, outcome: interceptors.DecisionAnswered) -> None:
        die_at("decider: has answered")

    def stopping(self) -> None:
        die_at("decider: drains")
