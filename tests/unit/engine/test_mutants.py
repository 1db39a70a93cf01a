"""The random programs catch broken rules of docs/design/replay.md: else the property test would prove little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from simpleflow.engine import evaluation
from simpleflow.engine.history import fold
from simpleflow.engine.tasks import tasks, timers

from . import random_programs
from .test_property import make

#: as many as a mutant may survive
EXAMPLES = 1_500


def batch_settlement(patch: pytest.MonkeyPatch) -> None:
    """Everything that arrived is delivered before anything that waits for it runs."""
    original = evaluation.Evaluation.advance

    def advance(self: Any) -> Any:
        while self.book.arrived and self.main is not None:
            target, event = self.book.arrived.popleft()
            self.position = event.id
            target.deliver(event)
        return original(self)

    patch.setattr(evaluation.Evaluation, "advance", advance)


def unmarked_reads(patch: pytest.MonkeyPatch) -> None:
    """Nobody notices that something changed which a whole-history read saw."""
    original = fold.Book.fold

    def folded(self: Any, *args: Any) -> None:
        original(self, *args)
        self.stale = False

    patch.setattr(fold.Book, "fold", folded)


def whole_history_cancel(patch: pytest.MonkeyPatch) -> None:
    """``cancel()`` says whether the task is over by now, not as of the position."""
    for cls in (tasks.TaskCall, timers.TimerCall):
        original = cls.cancel

        def cancel(self: Any, future: Any, original: Any = original) -> Any:
            record = self.record
            if record is not None and record.outcome is not None:
                return False
            return original(self, future)

        patch.setattr(cls, "cancel", cancel)


def now_of_the_current_decision(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evaluation.Evaluation, "timestamp_as_of", lambda self: self.book.decisions.timestamps[-1])


MUTANTS = [batch_settlement, unmarked_reads, whole_history_cancel, now_of_the_current_decision]


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_mutants_are_caught(mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)
    count = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(random_programs.programs, random_programs.worlds)
    def holds(spec: Any, numbers: list[int]) -> None:
        nonlocal count
        count += 1
        random_programs.World(random_programs.Program, spec, numbers, make).play()

    with pytest.raises(random_programs.Difference):
        holds()
    print(f"caught by example {count}")
