"""The decision: demand in, reasons out, money capped, nothing busy drained."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleflow.core import documents
from simpleflow.nodes import billing, config, model
from simpleflow.nodes.policy import decide, guards
from simpleflow.nodes.policy import snapshot as snapshots

NOW = 1_767_225_600.0
HOURLY = """
cluster: demo
policy: boundary
profiles: {big: {billing: {period: 3600, minimum: 3600, price: 1.0}, boot: 60}}
task_lists: {heavy: {profile: big, slots: 2, max: 5}, other: {profile: big, slots: 4, max: 2}}
preset: aws
"""
CLUSTER = config.loads(HOURLY)
SECONDS = config.loads(HOURLY.replace("period: 3600, minimum: 3600", "period: 1, minimum: 60"))


def node(
    name: str,
    *,
    age: float = 600.0,
    idle: float | None = None,
    tasks: int = 0,
    state: model.NodeState = model.NodeState.WORKING,
    written: float = NOW,
    profile: str = "big",
    start_to_close: float | None = 300.0,
) -> model.Node:
    running = tuple(
        documents.RunningTask(id=f"r/{name}-{number}", started=NOW - 10, start_to_close=start_to_close)
        for number in range(tasks)
    )
    return model.Node(
        row=documents.Row(
            instance=name, profile=profile, attempt="a", price=10**6, since=NOW - age, until=NOW + 10_000
        ),
        state=state,
        running=True,
        document=documents.NodeDocument(
            node=name,
            profile=profile,
            attempt="a",
            state="working",
            booted=NOW - age,
            written=written,
            first_polled=NOW - age + 30,
            idle_since=None if tasks or idle is None else NOW - idle,
            task_lists=(documents.ListStatus(task_list="heavy", slots=2, polling=True, running=running),),
        ),
        age=age,
        heard=NOW - written,
    )


def snapshot(
    *nodes: model.Node, heavy: int = 0, cluster: config.ClusterConfig = CLUSTER, **more: object
) -> snapshots.Snapshot:
    return snapshots.Snapshot(
        now=NOW,
        cluster=cluster,
        nodes=nodes,
        demand=(snapshots.Demand(task_list="heavy", scheduled=heavy),),
        prices={"big": 10**6},
        **more,
    )


def launched(plan: decide.Plan) -> int:
    return sum(each.units for each in plan.launches)


@pytest.mark.parametrize(("tasks", "machines"), [(0, 0), (1, 1), (2, 1), (3, 2), (10, 5), (99, 5)])
def test_machines_for_tasks_by_slots_up_to_the_maximum(tasks: int, machines: int) -> None:
    assert launched(decide.decide(snapshot(heavy=tasks))) == machines


def test_running_and_queued_tasks_are_one_number() -> None:
    """Demand counts what SWF has, running included: two that run on a node call for no second one."""
    assert launched(decide.decide(snapshot(node("n", tasks=2), heavy=2))) == 0
    assert launched(decide.decide(snapshot(node("n", tasks=2), heavy=3))) == 1


def test_open_launches_and_unlisted_nodes_cover_their_demand() -> None:
    assert launched(decide.decide(snapshot(heavy=4, launching=(("big", 2),)))) == 0
    unlisted = msgspec.structs.replace(node("n", state=model.NodeState.UNLISTED), running=False, document=None)
    assert launched(decide.decide(snapshot(unlisted, heavy=2))) == 0


def test_tasks_of_a_draining_node_call_for_no_other_but_its_slots_do_not_count() -> None:
    leaving = node("n", tasks=1, state=model.NodeState.DRAINING)
    assert launched(decide.decide(snapshot(leaving, heavy=1))) == 0
    assert launched(decide.decide(snapshot(leaving, heavy=2))) == 1


def test_a_paid_hour_is_used_up_and_ended_near_its_end() -> None:
    kept = decide.decide(snapshot(node("n", age=1800, idle=900)))
    assert kept.drains == ()
    assert "idle, paid for another 1800 s" in kept.keeps[0].reason
    gone = decide.decide(snapshot(node("n", age=3520, idle=900)))
    assert [each.instance for each in gone.drains] == ["n"]


def test_days_are_not_dropped_from_an_age() -> None:
    """StarCluster used timedelta.seconds, which has no days in it."""
    gone = decide.decide(snapshot(node("n", age=3 * 86400 + 3520, idle=900)))
    assert [each.instance for each in gone.drains] == ["n"]


def test_all_windows_at_the_boundary_drain_at_once() -> None:
    many = [node(f"n{number}", age=3530, idle=900) for number in range(5)]
    assert len(decide.decide(snapshot(*many)).drains) == 5


def test_by_the_second_an_idle_node_waits_its_boot_time() -> None:
    assert decide.decide(snapshot(node("n", idle=30), cluster=SECONDS)).drains == ()
    assert len(decide.decide(snapshot(node("n", idle=61), cluster=SECONDS)).drains) == 1
    assert decide.decide(snapshot(node("n", idle=61), cluster=SECONDS, boots={"big": 200.0})).drains == ()


def test_never_scale_down_on_stale_news_or_before_every_run_is_covered() -> None:
    stale = node("n", idle=900, written=NOW - 400)
    assert decide.decide(snapshot(stale, cluster=SECONDS)).drains == ()
    assert decide.decide(snapshot(node("n", idle=900), cluster=SECONDS, covered=False)).drains == ()


def test_foreseen_tasks_keep_a_node_for_a_while() -> None:
    waiting = (snapshots.Demand(task_list="heavy", foreseen=3), snapshots.Demand(task_list="x", scheduled=1))
    base = snapshot(node("n", idle=70), cluster=SECONDS)
    kept = decide.decide(msgspec.structs.replace(base, demand=waiting))
    assert "foreseen: 3 tasks" in kept.keeps[0].reason
    late = msgspec.structs.replace(base, nodes=(node("n", idle=900),), demand=waiting)
    assert len(decide.decide(late).drains) == 1


def test_a_queue_that_no_document_covers_gets_one_machine() -> None:
    unseen = msgspec.structs.replace(snapshot(), demand=(snapshots.Demand(task_list="heavy", pending=50),))
    assert launched(decide.decide(unseen)) == 1


def test_a_mark_that_was_not_seen_is_taken_back_when_the_node_is_needed() -> None:
    plan = decide.decide(snapshot(node("n", state=model.NodeState.MARKED), heavy=1))
    assert ([each.instance for each in plan.unmarks], plan.launches) == (["n"], ())


def test_the_budget_stops_launches_and_says_why() -> None:
    purse = guards.Purse(window="hour", cap=billing.micros(2.5), committed=0)
    plan = decide.decide(snapshot(heavy=10, purses=(purse,)))
    assert launched(plan) == 2
    assert "5 wanted" in plan.notes[0]
    assert "budget per hour" in plan.notes[0]


def test_the_breaker_stops_launches_and_says_why() -> None:
    plan = decide.decide(snapshot(heavy=1, paused={"big": "3 machines booted and never worked"}))
    assert launched(plan) == 0
    assert "never worked" in plan.notes[0]


def test_a_machine_that_never_polled_is_a_boot_failure_only_when_it_runs() -> None:
    booting = node("n", age=2000, state=model.NodeState.BOOTING)
    assert decide.decide(snapshot(booting, heavy=1)).boot_failures == ("n",)
    unlisted = msgspec.structs.replace(booting, state=model.NodeState.UNLISTED, running=False)
    assert decide.decide(snapshot(unlisted, heavy=1)).terminates == ()


def test_an_agent_that_reports_gets_the_longest_time_to_poll() -> None:
    slow = node("n", age=400, state=model.NodeState.BOOTING)
    silent = msgspec.structs.replace(slow, document=None)
    assert decide.decide(snapshot(slow, heavy=1)).boot_failures == ()
    assert decide.decide(snapshot(silent, heavy=1)).boot_failures == ("n",)


@pytest.mark.parametrize(
    ("age", "health", "written", "failed"),
    [
        pytest.param(310.0, "ok", 0.0, False, id="slow, but its agent reports no fault"),
        pytest.param(310.0, "worker of 'heavy' ended 3 times", 0.0, True, id="its worker dies"),
        pytest.param(310.0, "ok", 301.0, True, id="its agent is silent"),
        pytest.param(1801.0, "ok", 0.0, True, id="not for ever"),
    ],
)
def test_a_slow_boot_is_told_from_a_failed_one(age: float, health: str, written: float, failed: bool) -> None:
    booting = node("n", age=age, state=model.NodeState.BOOTING, written=NOW - written)
    assert booting.document is not None
    document = msgspec.structs.replace(booting.document, first_polled=None, health=health)
    plan = decide.decide(snapshot(msgspec.structs.replace(booting, document=document), heavy=1))
    assert plan.boot_failures == (("n",) if failed else ())


def test_silence_ends_a_drain_and_a_running_task_in_its_time_does_not() -> None:
    silent = node("n", tasks=1, age=9000, state=model.NodeState.DRAINING, written=NOW - 601)
    assert [each.instance for each in decide.decide(snapshot(silent)).terminates] == ["n"]
    quiet = node("n", tasks=1, age=9000, state=model.NodeState.DRAINING, written=NOW - 599, start_to_close=None)
    assert decide.decide(snapshot(quiet)).terminates == (), "one lost document is not the end of a task"
    talking = node("n", tasks=1, state=model.NodeState.DRAINING, start_to_close=None, age=86400 * 9)
    assert decide.decide(snapshot(talking)).terminates == ()


def test_an_open_launch_is_committed_at_its_worst_cost_and_a_termination_costs_nothing() -> None:
    launch = documents.Intent(
        id="demo-a", kind="launch", creator="m", profile="big", not_after=NOW, units=2, price=10**6, worst=2 * 10**6
    )
    ending = documents.Intent(
        id="terminate-n", kind="terminate", creator="m", profile="big", not_after=NOW, instance="n", worst=10**6
    )
    control = documents.Control(cluster="demo", intents=(launch, ending), rows=(node("n", age=60.0).row,))
    without = guards.committed(CLUSTER, msgspec.structs.replace(control, intents=()), "day", NOW)
    assert guards.committed(CLUSTER, control, "day", NOW) == without + 2 * 10**6


def test_money_over_the_cap_drains_instead_of_extending_but_kills_nothing() -> None:
    due = node("n", tasks=1)
    due = msgspec.structs.replace(due, row=msgspec.structs.replace(due.row, until=NOW + 1, since=NOW - 3590))
    purse = guards.Purse(window="hour", cap=10**6, committed=10**6)
    plan = decide.decide(snapshot(due, heavy=1, purses=(purse,)))
    assert "over the budget" in plan.drains[0].reason
    assert plan.terminates == ()
    assert launched(plan) == 0


def test_going_down_drains_everything_and_launches_nothing() -> None:
    plan = decide.decide(snapshot(node("n", tasks=1), heavy=9, ending=True))
    assert ([each.instance for each in plan.drains], plan.launches) == (["n"], ())


def test_going_down_waits_for_no_machine_that_boots() -> None:
    booting = node("b", state=model.NodeState.BOOTING)
    plan = decide.decide(snapshot(node("n", tasks=1), booting, heavy=9, ending=True))
    assert ([each.instance for each in plan.drains], [each.instance for each in plan.cancels]) == (["n"], ["b"])


STATES = st.sampled_from(list(model.NodeState))
NODES = st.lists(
    st.tuples(st.floats(0, 90_000), st.one_of(st.none(), st.floats(0, 4000)), st.integers(0, 2), STATES), max_size=8
)


@settings(max_examples=150)
@given(nodes=NODES, heavy=st.integers(0, 30), cap=st.integers(0, 10**7), hourly=st.booleans(), ending=st.booleans())
def test_whatever_there_is(
    nodes: list[tuple[float, float | None, int, model.NodeState]], heavy: int, cap: int, hourly: bool, ending: bool
) -> None:
    made = [
        node(f"n{number}", age=age, idle=idle, tasks=tasks, state=state)
        for number, (age, idle, tasks, state) in enumerate(nodes)
    ]
    purse = guards.Purse(window="hour", cap=cap, committed=0)
    cluster = CLUSTER if hourly else SECONDS
    given_snapshot = snapshot(*made, heavy=heavy, cluster=cluster, purses=(purse,), ending=ending)
    plan = decide.decide(given_snapshot)
    # The same snapshot gives the same plan, byte for byte, in whatever order the nodes come.
    again = decide.decide(msgspec.structs.replace(given_snapshot, nodes=tuple(reversed(given_snapshot.nodes))))
    assert msgspec.json.encode(plan) == msgspec.json.encode(again)
    busy = {each.instance for each in made if each.busy}
    drained = {each.instance for each in plan.drains}
    if not ending:
        assert not drained & busy, "a busy node is never drained for being too much"
    assert all(each.reason for each in (*plan.drains, *plan.keeps, *plan.launches, *plan.terminates))
    assert sum(each.worst for each in plan.launches) <= cap
    ended = {each.instance for each in plan.terminates}
    counted = sum(each.state in model.COUNTED and each.instance not in ended for each in made)
    assert counted + launched(plan) <= max(5, counted)
    # Never a needed machine: those that stay, come and are awaited have a slot for every task, up to the maximum.
    leaving = sum(each.running_on("heavy") for each in made if each.state in model.LEAVING)
    wanted = min(-(-max(heavy - leaving, 0) // 2), 5)
    if drained and not ending:
        assert counted - len(drained) >= wanted
    kept = {each.instance for each in (*plan.keeps, *plan.unmarks)}
    named = kept | drained | {each.instance for each in (*plan.terminates, *plan.cancels)}
    gone = {each.instance for each in made if each.state in {model.NodeState.GONE, model.NodeState.ENDING}}
    assert named | gone == {each.instance for each in made}, "every machine has its reason"


@settings(max_examples=80)
@given(
    ages=st.lists(st.tuples(st.floats(60, 90_000), st.floats(-50, 50), st.integers(0, 2)), max_size=6),
    heavy=st.integers(0, 30),
    cap=st.integers(0, 5 * 10**6),
    hourly=st.booleans(),
)
def test_launches_and_longer_commitments_never_exceed_the_budget(
    ages: list[tuple[float, float, int]], heavy: int, cap: int, hourly: bool
) -> None:
    cluster = CLUSTER if hourly else SECONDS
    made = []
    for place, (age, left, tasks) in enumerate(ages):
        each = node(f"n{place}", age=age, idle=5.0, tasks=tasks)
        made.append(msgspec.structs.replace(each, row=msgspec.structs.replace(each.row, until=NOW + left)))
    purse = guards.Purse(window="hour", cap=cap, committed=0)
    plan = decide.decide(snapshot(*made, heavy=heavy, cluster=cluster, purses=(purse,)))
    total, rows = sum(each.worst for each in plan.launches), {each.instance: each.row for each in made}
    for each in plan.extensions:
        row, terms = rows[each.instance], guards.terms_of(cluster, "big")
        total += billing.cost(terms, row.price, each.until - row.since)
        total -= billing.cost(terms, row.price, max(row.until - row.since, 0.0))
    assert total <= cap
    assert not plan.terminates, "the budget kills nothing"
    refused = {each.instance for each in plan.drains if "over the budget" in each.reason}
    due = {each.instance for each in made if each.row.until <= NOW + 3 * cluster.settings.loop}
    assert refused | {each.instance for each in plan.extensions} == due


def test_tasks_on_a_list_that_no_profile_serves_are_named() -> None:
    lost = msgspec.structs.replace(snapshot(), demand=(snapshots.Demand(task_list="quickstart", scheduled=3),))
    plan = decide.decide(lost)
    assert plan.launches == ()
    assert plan.notes[0].startswith("3 tasks wait on task list 'quickstart', which no profile serves: add quickstart:")
    assert config.loads(HOURLY.replace("other:", "quickstart: {profile: big, max: 1}, other:"))
    one = msgspec.structs.replace(lost, demand=(snapshots.Demand(task_list="quickstart", scheduled=1),))
    assert decide.decide(one).notes[0].startswith("1 task waits on task list 'quickstart'")


def test_few_tasks_for_a_big_machine_still_bring_one() -> None:
    """StarCluster divided integers: a machine of 64 slots came only with the 64th task."""
    many = config.loads(HOURLY.replace("slots: 2", "slots: 64"))
    assert [launched(decide.decide(snapshot(heavy=tasks, cluster=many))) for tasks in (1, 63, 64, 65)] == [1, 1, 1, 2]
