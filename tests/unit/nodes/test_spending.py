"""What the money went for: each moment of a machine belongs to the tasks that run in it, and all of it adds up."""

from __future__ import annotations

import random

import pytest

from simpleflow.nodes.manager import spending
from simpleflow.nodes.manager.report import NodeStatus


def machine(name: str = "n-1", *, age: float = 100.0, billed: float = 100.0, **changes: object) -> NodeStatus:
    given: dict[str, object] = {
        "node": name, "profile": "small", "state": "gone", "launched": 1000.0, "age": age, "first_poll": 1010.0,
        "busy": (), "drained": None, "ended": 1000.0 + age, "running": (), "reason": "", "health": "ok",
        "billed": billed, "cost": round(billed * 10), "terms": "", **changes,
    }  # fmt: skip
    return NodeStatus(**given)  # type: ignore[arg-type]


def ran(
    first: float, last: float | None, workflow: str = "films", activity: str = "cut", node: str = "n-1"
) -> spending.Ran:
    return spending.Ran(node=node, workflow=workflow, activity=activity, started=first, ended=last)


def test_a_bill_is_shared_out_by_time() -> None:
    spent = spending.attribute([machine(billed=120)], [ran(1020, 1060), ran(1040, 1060, "news", "send")], 2000.0)
    assert [(each.workflow, each.activity, each.tasks, each.seconds, each.cost) for each in spent.work] == [
        ("films", "cut", 1, 40.0, 300.0),
        ("news", "send", 1, 20.0, 100.0),
    ]
    assert (spent.boot, spent.idle, spent.unused, spent.unknown) == (100.0, 500.0, 200.0, 0.0)
    assert (spent.total, spent.useful) == (1200.0, pytest.approx(1 / 3))
    assert spending.by_workflow(spent) == {"films": 300.0, "news": 100.0}


def test_work_without_a_history_is_told_apart_from_waiting() -> None:
    spent = spending.attribute([machine(busy=((1010.0, 1030.0), (1050.0, None)))], [ran(1010, 1020)], 1100.0)
    assert (spent.unknown, spent.idle) == (600.0, 200.0)


def test_a_machine_that_never_polled_only_booted_and_one_that_runs_is_counted_to_now() -> None:
    never = machine(first_poll=None)
    runs = machine("n-2", ended=None)
    spent = spending.attribute([never, runs], [ran(1050, None, node="n-2"), ran(1, 2, node="elsewhere")], 1100.0)
    assert spent.boot == 1000.0 + 100.0
    assert spent.work[0].cost == 500.0


@pytest.mark.parametrize("seed", range(20))
def test_everything_adds_up(seed: int) -> None:
    rng = random.Random(seed)
    nodes = [machine(f"n-{n}", age=rng.uniform(1, 200), billed=rng.choice([60, 200, 3600])) for n in range(4)]
    tasks = []
    for _ in range(30):
        first = rng.uniform(900, 1300)
        end = rng.choice([None, first + rng.uniform(0, 200)])
        tasks.append(ran(first, end, rng.choice("ab"), rng.choice("xyz"), f"n-{rng.randrange(5)}"))
    spent = spending.attribute(nodes, tasks, 1250.0)
    parts = sum(each.cost for each in spent.work) + spent.unknown + spent.boot + spent.idle + spent.unused
    assert parts == pytest.approx(spent.total)
    assert spent.total == sum(each.cost for each in nodes)
