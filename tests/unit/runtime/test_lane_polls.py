"""The polls of a decider's lanes that go with answers."""

from __future__ import annotations

from typing import Any

import pytest
from test_decider import FakeEngine, FakeSwf, decided, make, polled

from simpleflow.core import interceptors
from simpleflow.process import Stop
from simpleflow.runtime import decider, lanes
from simpleflow.swf import errors

#: polls the shared list only
UNSTUCK = decider.Options(domain="d", task_list="shared", identity="{}")


@pytest.mark.parametrize("lost", [False, True], ids=["answered", "lost"])
def test_answers_carry_the_next_poll_of_their_lane(lost: bool) -> None:
    swf, stop = FakeSwf(), Stop()
    swf.joins = True
    swf.tasks = [polled("t0", run="run0")]

    class Feeding:
        """Has a task for the poll that went with each answer but the last."""

        def polling(self) -> None: ...
        def received(self, task: interceptors.DecisionReceived) -> None:
            if lost and len(swf.joined) == 1:
                swf.struck["RespondDecisionTaskCompleted"] = [errors.TransportError("cut")]

        def stopping(self) -> None: ...
        def answered(self, outcome: interceptors.DecisionAnswered) -> None:
            if len(swf.joined) < 4:
                swf.tasks.append(polled(f"t{len(swf.joined)}", run=f"run{len(swf.joined)}"))
            else:
                stop.request()

    step = make(swf, FakeEngine(decided()), options=UNSTUCK, mounted=[Feeding()])
    lanes.DeciderProcess(swf, step, stop=stop, lanes=1).run()
    assert [each["taskToken"] for each in swf.responses()] == ["t0", "t1", *["t1"] * lost, "t2", "t3"]
    names = [each.poll_id for each in swf.joined]
    assert all(name.endswith("; first") for name in names)
    assert ["; again" in name for name in names] == [False, lost, False, False]
    assert all(each.request == swf.joined[0].request for each in swf.joined)
    assert sum(action == "PollForDecisionTask" for action, _ in swf.calls) == 5  # the first one went by itself


def test_a_lane_that_decides_what_was_left_to_it_opens_no_second_poll() -> None:
    swf, stop = FakeSwf(), Stop()
    swf.joins = True
    swf.tasks = [polled("t0")]
    step = make(swf, FakeEngine(decided()), options=UNSTUCK)
    process = lanes.DeciderProcess(swf, step, stop=stop, lanes=1)
    handle = step.handle

    def leaving(answer: Any, **more: Any) -> bool:
        done = handle(answer, **more)
        if answer.task_token == "t0":  # the next decision of this run came on another lane meanwhile
            assert not process._in_flight.take("run", polled("t1", numbers=(1, 2, 3, 4, 5)))
        else:
            stop.request()
        return done

    step.handle = leaving  # type: ignore[method-assign]  # to look at it between two decisions
    process.run()
    assert [each["taskToken"] for each in swf.responses()] == ["t0", "t1"]
    assert len(swf.joined) == 1
    assert sum(action == "PollForDecisionTask" for action, _ in swf.calls) == 2  # the open poll was waited for
