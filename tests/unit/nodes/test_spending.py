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


def test_open_runs_share_what_deciders_cost_and_the_rest_is_told_apart() -> None:
    decider = machine("i-0d", age=100.0, billed=120.0, first_poll=None)
    runs = [
        spending.Open(workflow="films", started=900.0, closed=1020.0),
        spending.Open(workflow="films", started=1010.0, closed=1040.0),
        spending.Open(workflow="news", started=1010.0, closed=1020.0),
        spending.Open(workflow="news", started=1500.0, closed=None),  # after its end
        spending.Open(workflow="news", started=100.0, closed=1000.0),  # before its begin
    ]
    spent = spending.attribute([], [], 2000.0, [decider], runs)
    shares = {(each.workflow, each.activity): (each.tasks, each.cost) for each in spent.work}
    assert shares == {
        ("films", spending.DECISIONS): (2, pytest.approx(100 + 2 * 100 / 3 + 200)),
        ("news", spending.DECISIONS): (1, pytest.approx(100 / 3)),
    }
    assert (spent.deciders, spent.unused, spent.boot, spent.idle) == (pytest.approx(600), pytest.approx(200), 0, 0)
    assert spent.total == 1200


def test_a_run_that_is_open_still_takes_the_decider_to_now() -> None:
    decider = machine("i-0d", ended=None, first_poll=None)
    runs = [spending.Open(workflow="films", started=1050.0, closed=None)]
    spent = spending.attribute([machine()], [], 1100.0, [decider], runs)
    assert [(each.activity, each.cost) for each in spent.work] == [(spending.DECISIONS, 500.0)]
    assert (spent.deciders, spent.boot, spent.idle) == (500.0, 100.0, 900.0)


@pytest.mark.parametrize("seed", range(20))
def test_everything_adds_up(seed: int) -> None:
    rng = random.Random(seed)
    nodes = [machine(f"n-{n}", age=rng.uniform(1, 200), billed=rng.choice([60, 200, 3600])) for n in range(4)]
    tasks = []
    for _ in range(30):
        first = rng.uniform(900, 1300)
        end = rng.choice([None, first + rng.uniform(0, 200)])
        tasks.append(ran(first, end, rng.choice("ab"), rng.choice("xyz"), f"n-{rng.randrange(5)}"))
    deciders = [machine(f"i-{n}", age=rng.uniform(1, 200), billed=300, first_poll=None) for n in range(2)]
    runs = [spending.Open(workflow=each.workflow, started=each.started, closed=each.ended) for each in tasks[::3]]
    spent = spending.attribute(nodes, tasks, 1250.0, deciders, runs)
    rest = spent.unknown + spent.boot + spent.idle + spent.deciders + spent.unused
    assert sum(each.cost for each in spent.work) + rest == pytest.approx(spent.total)
    assert spent.total == sum(each.cost for each in (*nodes, *deciders))
