"""Two deciders with sticky lists, killed at random under load: results right, no divergence, cost flat again."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from simpleflow import Workflow, engine, futures, utils
from simpleflow.client import starting
from simpleflow.core import clock
from simpleflow.runtime import decider, needs, stores
from simpleflow.server import inprocess

from .driver import act

STEP = act("step")
DOMAIN = "default"


class Sum(Workflow):
    """A chain, a fan-out, a timer and a signal: the result says whether anything was lost or swapped."""

    name, version, task_list, strict = "sum", "1", "shared", False
    decision_tasks_timeout = 10

    def run(self, start: int) -> Any:
        value = start
        for _ in range(4):
            value = self.submit(STEP, value).result
        spread = futures.wait(*[self.submit(STEP, 100 * start + number) for number in range(5)])
        self.submit(self.start_timer("pause", 5)).result
        return [value, spread]


class Watched(engine.Engine):
    """Counts decisions, and those for which the whole history had to be fetched."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.decided = self.whole = 0
        self.diverged: list[str] = []

    def decide(self, task: engine.DecisionTask) -> Any:
        answer = super().decide(task)
        if isinstance(answer, engine.Needs):
            self.whole += answer.history
        else:
            self.decided += 1
            if answer.divergence:
                self.diverged.append(answer.divergence)
        return answer


class Place:
    """A service in memory, two deciders, one worker; each step is a choice of ``chance``."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = clock.VirtualClock()
        self.service = inprocess.open_memory(clock=self.clock, domain=DOMAIN)
        self.transport = inprocess.transport(self.service)
        self.deciders: list[tuple[decider.Decider, Watched]] = []
        self.finished: list[Watched] = []
        for _ in range(2):
            self.hire()

    def hire(self) -> None:
        running = Watched(workflows=(Sum,), payloads=stores.payloads())
        resolver = needs.Resolver(self.transport, domain=DOMAIN, load=lambda pointer: pointer)
        options = decider.Options(
            domain=DOMAIN, task_list="shared", identity="{}", sticky_list=decider.sticky_name("shared")
        )
        made = decider.Decider(self.transport, running, options, resolver=resolver, time=self.clock)
        self.deciders.append((made, running))

    def kill(self, place: int) -> None:
        """It has just taken a task, if there was one; it never answers."""
        made, running = self.deciders.pop(place)
        made.poll("shared") or made.poll(str(made.options.sticky_list))
        self.finished.append(running)
        self.hire()

    def start(self, number: int) -> str:
        request = starting.request(
            Sum, utils.full_object_name(Sum), {"args": [number], "kwargs": {}}, workflow_id=f"w{number}"
        )
        return starting.begin(self.transport, DOMAIN, request)

    def decide(self) -> bool:
        order = list(self.deciders)
        self.chance.shuffle(order)
        for made, _ in order:
            for task_list in (str(made.options.sticky_list), "shared"):
                answer = made.poll(task_list)
                if answer is not None:
                    made.handle(answer)
                    return True
        return False

    def work(self) -> bool:
        request = {"domain": DOMAIN, "taskList": {"name": "list"}}
        answer = self.transport.call("PollForActivityTask", request)
        if not answer.task_token:
            return False
        (number,) = json.loads(answer.input)["args"]
        respond = {"taskToken": answer.task_token, "result": str(number + 1)}
        self.transport.call("RespondActivityTaskCompleted", respond)
        return True

    def step(self) -> bool:
        """Do one thing; False when nothing is open any more."""
        doing = [self.decide, self.work]
        self.chance.shuffle(doing)
        if self.service.fire_due() or doing[0]() or doing[1]():
            return True
        moment = self.service.next_deadline()
        if moment is None:
            return False
        self.clock.advance_to(moment)
        return bool(self.service.fire_due())

    def outcome(self, workflow_id: str, run_id: str) -> Any:
        request = {"domain": DOMAIN, "execution": {"workflowId": workflow_id, "runId": run_id}}
        status = self.transport.call("DescribeWorkflowExecution", request).execution_info.close_status
        page = self.transport.call("GetWorkflowExecutionHistory", {**request, "reverseOrder": True})
        return status, json.loads(page.events[0].attributes.result)

    def open(self) -> int:
        request = {"domain": DOMAIN, "startTimeFilter": {"oldestDate": 0}}
        return int(self.transport.call("CountOpenWorkflowExecutions", request).count)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_deciders_killed_at_random_lose_nothing_and_diverge_never(seed: int) -> None:
    place = Place(seed)
    runs = {number: place.start(number) for number in range(12)}
    for step in range(20_000):
        if not place.open():
            break
        if step < 400 and place.chance.random() < 0.05:
            place.kill(place.chance.randrange(2))
        place.step()
    for number, run_id in runs.items():
        status, result = place.outcome(f"w{number}", run_id)
        assert status == "COMPLETED"
        assert result == [number + 4, [100 * number + one + 1 for one in range(5)]]
    for watched in [*place.finished, *(running for _, running in place.deciders)]:
        assert watched.diverged == []


def test_after_the_recovery_nothing_is_fetched_any_more() -> None:
    place = Place(7)
    for number in range(20):
        place.start(number)
    for _ in range(120):
        place.step()
    place.kill(0)
    place.kill(0)
    open_then = place.open()
    assert open_then > 15
    for _ in range(20_000):
        if not place.open():
            break
        place.step()
    decided = sum(running.decided for _, running in place.deciders)
    whole = sum(running.whole for _, running in place.deciders)
    # Each execution is read once from the shared list after its decider died (which needs no fetching), or fetched
    # once for a task that another decider's answer had sent to its list; from then on it is resumed.
    assert whole <= open_then, (whole, decided)
    assert decided > 3 * open_then
