"""Looking ahead: what is known is played forward, and only what is worth its money is launched."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleflow.core import documents
from simpleflow.nodes import billing, config, errors, model
from simpleflow.nodes.policy import decide, forecast, guards, lookahead
from simpleflow.nodes.policy import snapshot as snapshots

NOW = 1_767_225_600.0
TEXT = """
cluster: demo
preset: aws
profiles:
  big: {billing: {period: 1, minimum: 60, price: 1.0}, boot: 90}
  small: {billing: {period: 1, minimum: 60, price: 0.1}, boot: 90, min: 1}
task_lists: {heavy: {profile: big, slots: 4, max: 50}, light: {profile: small, slots: 4, max: 10}}
deciders: {min: 1}
"""
SECONDS = config.loads(TEXT)
HOURLY = config.loads(TEXT.replace("period: 1, minimum: 60, price: 1.0", "period: 3600, minimum: 3600, price: 1.0"))


def count(activity: str, number: int, *after: tuple[str, int], task_list: str = "heavy") -> documents.TaskCount:
    return documents.TaskCount(
        task_list=task_list,
        activity=activity,
        state="foreseen" if after else "scheduled",
        count=number,
        after=tuple(documents.After(task_list=task_list, activity=name, count=each) for name, each in after),
    )


def node(
    name: str,
    tasks: dict[str, list[float]] | None = None,
    *,
    idle: float = 0.0,
    age: float = 1000.0,
    state: model.NodeState = model.NodeState.WORKING,
    profile: str = "big",
) -> model.Node:
    """A machine whose tasks, by type, have been running for so many seconds."""
    running = tuple(
        documents.RunningTask(id=f"r1/{kind}-{place}", started=NOW - seconds, activity=kind)
        for kind, ages in (tasks or {}).items()
        for place, seconds in enumerate(ages)
    )
    document = documents.NodeDocument(
        node=name,
        profile=profile,
        attempt="a",
        state="working",
        booted=NOW - age,
        written=NOW,
        first_polled=NOW - age + 60,
        idle_since=None if running else NOW - idle,
        task_lists=(documents.ListStatus(task_list="heavy", slots=4, polling=True, running=running),),
    )
    price = billing.MICRO
    return model.Node(
        row=documents.Row(
            instance=name, profile=profile, attempt="a", price=price, since=NOW - age, until=NOW + 10_000
        ),
        state=state,
        running=True,
        document=document if state is model.NodeState.WORKING else None,
        age=age,
    )


FLOOR = node("floor", profile="small")


def plan(
    *tasks: documents.TaskCount,
    nodes: tuple[model.Node, ...] = (),
    cluster: config.ClusterConfig = SECONDS,
    known: dict[str, float] | None = None,
    elapsed: float = 0.0,
    **more: object,
) -> decide.Plan:
    return decide.decide(snapshot(*tasks, nodes=nodes, cluster=cluster, known=known, elapsed=elapsed, **more))


def snapshot(
    *tasks: documents.TaskCount,
    nodes: tuple[model.Node, ...] = (),
    cluster: config.ClusterConfig = SECONDS,
    known: dict[str, float] | None = None,
    elapsed: float = 0.0,
    **more: object,
) -> snapshots.Snapshot:
    demand = tuple(
        snapshots.Demand(
            task_list=name,
            scheduled=sum(each.count for each in tasks if each.task_list == name and each.state == "scheduled"),
            foreseen=sum(each.count for each in tasks if each.task_list == name and each.state == "foreseen"),
        )
        for name in ("heavy", "light")
    )
    return snapshots.Snapshot(
        now=NOW,
        cluster=cluster,
        nodes=(FLOOR, *nodes),
        demand=demand,
        runs=(snapshots.Run(run_id="r1", elapsed=elapsed, tasks=tasks),) if tasks else (),
        runtimes={name: documents.Runtime(count=9, mean=seconds, seen=NOW) for name, seconds in (known or {}).items()},
        prices={"big": billing.MICRO, "small": billing.MICRO // 10},
        **more,  # type: ignore[arg-type]
    )


def launched(made: decide.Plan) -> int:
    return sum(each.units for each in made.launches)


def with_speed(speed: float | str, cluster: config.ClusterConfig = SECONDS) -> config.ClusterConfig:
    return msgspec.structs.replace(cluster, speed=speed)


def test_short_tasks_share_a_machine_and_long_ones_do_not() -> None:
    assert launched(plan(count("a", 40), known={"a": 2.0})) <= 2
    assert launched(plan(count("a", 40), known={"a": 3600.0})) == 10
    assert launched(plan(count("a", 1), known={"a": 1.0})) == 1


def test_a_faster_setting_launches_more_never_fewer() -> None:
    speeds: list[float | str] = [0.2, "economy", "balanced", 3, "fast", 50]
    for cluster in (SECONDS, HOURLY):
        found = [
            launched(plan(count("a", 60), known={"a": 60.0}, cluster=with_speed(each, cluster))) for each in speeds
        ]
        assert found == sorted(found)
        assert found[0] < found[-1]


def test_by_the_hour_fewer_machines_work_for_longer() -> None:
    tasks = count("a", 60)
    assert launched(plan(tasks, known={"a": 60.0}, cluster=HOURLY)) < launched(plan(tasks, known={"a": 60.0}))


def test_machines_come_one_boot_time_before_what_waits_for_running_tasks() -> None:
    """80 tasks wait for one that runs for 600 s: launched when it has about one boot time left, not before."""
    tasks = (count("first", 1), count("then", 80, ("first", 1)))
    known = {"first": 600.0, "then": 600.0}
    early = plan(*tasks, nodes=(node("n", {"first": [60.0]}),), known=known)
    assert launched(early) == 0
    late = plan(*tasks, nodes=(node("n", {"first": [515.0]}),), known=known)
    assert launched(late) > 10
    assert "80 waiting for these alone" in late.launches[0].reason


def test_what_waits_for_something_else_too_calls_for_nothing_yet() -> None:
    waiting = documents.TaskCount(
        task_list="heavy",
        activity="then",
        state="foreseen",
        count=80,
        after=(
            documents.After(task_list="heavy", activity="first", count=1),
            documents.After(task_list="", activity="", count=1),
        ),
    )
    known = {"first": 600.0, "then": 600.0}
    assert launched(plan(count("first", 1), waiting, nodes=(node("n", {"first": [515.0]}),), known=known)) == 0


def test_tasks_of_a_chain_come_one_after_the_other() -> None:
    made = plan(count("a", 1), count("a", 30, ("a", 1)), nodes=(node("n", {"a": [590.0]}),), known={"a": 600.0})
    assert launched(made) == 0


def test_an_idle_machine_stays_for_what_comes_soon_and_goes_without() -> None:
    busy, idle = node("busy", {"first": [590.0]}), node("idle", idle=60.0)
    known = {"first": 600.0, "then": 600.0}
    kept = plan(count("first", 1), count("then", 8, ("first", 1)), nodes=(busy, idle), known=known)
    assert kept.drains == ()
    gone = plan(count("first", 1), nodes=(busy, idle), known=known)
    assert [each.instance for each in gone.drains] == ["idle"]
    assert "tasks: 1 running, 0 queued" in gone.drains[0].reason
    just_now = plan(count("first", 1), nodes=(busy, node("idle", idle=5.0)), known=known)
    assert just_now.drains == ()


def test_a_machine_that_boots_for_nothing_is_cancelled_unless_it_is_paid() -> None:
    booting = node("boots", state=model.NodeState.BOOTING, age=20.0)
    pending = msgspec.structs.replace(booting, running=False)
    made = plan(nodes=(booting,))
    assert [each.instance for each in made.cancels] == ["boots"]
    assert "nothing will need it" in made.cancels[0].reason
    assert (made.drains, [each.instance for each in made.keeps]) == ((), ["floor"])
    assert plan(nodes=(booting,), cluster=HOURLY).cancels == (), "the hour is paid"
    assert [each.instance for each in plan(nodes=(pending,), cluster=HOURLY).cancels] == ["boots"]
    assert plan(nodes=(booting,), covered=False).cancels == ()
    others = msgspec.structs.replace(SECONDS, policy="boundary")
    assert plan(nodes=(booting,), cluster=others).cancels == (), "only look-ahead knows what comes"


def test_a_machine_that_is_pending_is_not_money_spent() -> None:
    """It is billed when it runs; until then to cancel it is free."""
    running = node("boots", state=model.NodeState.BOOTING, age=5.0)
    pending = msgspec.structs.replace(running, running=False)
    for cluster, minimum in ((SECONDS, 60), (HOURLY, 3600)):
        spent = {
            name: lookahead.Lookahead(snapshot(nodes=nodes, cluster=cluster), nodes).spent
            for name, nodes in {"none": (), "pending": (pending,), "running": (running,)}.items()
        }
        assert spent["pending"] == spent["none"]
        assert spent["running"] - spent["none"] == pytest.approx(billing.MICRO * minimum / billing.HOUR)


def test_a_machine_that_boots_for_what_comes_is_not_cancelled() -> None:
    busy, booting = node("busy", {"a": [590.0] * 4}), node("boots", state=model.NodeState.BOOTING, age=20.0)
    known = {"a": 600.0, "b": 600.0}
    assert plan(count("a", 4), count("b", 8, ("a", 4)), nodes=(busy, booting), known=known).cancels == ()
    tasks = count("a", 4), count("b", 4, ("a", 4))
    assert plan(*tasks, nodes=(busy, booting), known=known).cancels == (), (
        "it is billed, and something may come of these"
    )
    gone = plan(*tasks, nodes=(busy, msgspec.structs.replace(booting, running=False)), known=known)
    assert [each.instance for each in gone.cancels] == ["boots"]


def test_the_last_of_those_that_boot_is_cancelled_and_min_is_kept() -> None:
    boots = [node(f"n{age}", state=model.NodeState.BOOTING, age=float(age)) for age in (10, 40, 70)]
    nodes = tuple(msgspec.structs.replace(each, running=each.instance == "n70") for each in boots)
    made = plan(count("a", 4), nodes=nodes, known={"a": 600.0})
    assert sorted(each.instance for each in made.cancels) == ["n10", "n40"]
    first = node("f", profile="small", state=model.NodeState.BOOTING, age=5.0)
    assert decide.decide(msgspec.structs.replace(snapshot(), nodes=(first,))).cancels == ()


def test_a_mark_that_a_booting_machine_has_not_seen_is_taken_back() -> None:
    booting = node("boots", state=model.NodeState.BOOTING, age=20.0)
    marked = msgspec.structs.replace(
        booting, state=model.NodeState.MARKED, row=msgspec.structs.replace(booting.row, drain=1)
    )
    back = plan(count("a", 4), nodes=(marked,), known={"a": 600.0})
    assert ([each.instance for each in back.unmarks], back.launches) == (["boots"], ())


def test_a_busy_machine_is_never_drained_for_the_plan_and_min_is_kept() -> None:
    assert plan(nodes=(node("n", {"a": [5.0]}),)).drains == ()
    assert [each.reason for each in plan().keeps] == [
        "needed: min of profile 'small' is 1; tasks: 0 running, 0 queued, 0 waiting for these alone"
    ]
    assert launched(decide.decide(msgspec.structs.replace(snapshot(), nodes=()))) == 1


def test_without_a_price_on_machines_that_one_has_every_task_gets_a_slot() -> None:
    text = "cluster: demo\nprofiles: {p: {}}\ntask_lists: {heavy: {profile: p, slots: 2, max: 5}}\n"
    made = plan(count("a", 9), cluster=config.loads(text))
    assert launched(msgspec.structs.replace(made)) == 5


def test_a_short_run_counts_as_much_as_a_long_one() -> None:
    """One objective of the last end would let the short one wait for ever."""
    long = snapshots.Run(run_id="r1", elapsed=3000.0, tasks=(count("slow", 4),))
    short = snapshots.Run(run_id="short", elapsed=0.0, tasks=(count("quick", 4),))
    busy = node("n", {"slow": [100.0] * 4})
    base = snapshot(nodes=(busy,), known={"slow": 20_000.0, "quick": 100.0})
    both = msgspec.structs.replace(base, runs=(long, short), demand=(snapshots.Demand(task_list="heavy", scheduled=8),))
    assert launched(decide.decide(both)) == 1


def test_on_a_guess_alone_few_machines_are_launched_and_more_once_something_is_known() -> None:
    fast = with_speed(50, HOURLY)
    queue = count("new", 500)
    assert launched(plan(queue, cluster=fast)) == lookahead.FIRST
    assert launched(plan(count("brief", 1), count("new", 500, ("brief", 1)), cluster=fast)) <= lookahead.FIRST
    young = [node(f"n{number}", {"new": [forecast.UNSEEN / 2] * 4}) for number in range(lookahead.FIRST)]
    assert launched(plan(queue, nodes=tuple(young), cluster=fast)) == 0
    long = [node(f"n{number}", {"new": [forecast.UNSEEN * 2] * 4}) for number in range(lookahead.FIRST)]
    assert launched(plan(queue, nodes=tuple(long), cluster=fast)) > 10, "it has run for longer than the guess"
    assert launched(plan(queue, cluster=fast, known={"new": 60.0})) > lookahead.FIRST, "an earlier run has taught it"
    assert launched(plan(queue, count("old", 400), cluster=fast, known={"old": 60.0})) > lookahead.FIRST
    own = msgspec.structs.replace(fast, provider="process")
    free = snapshot(queue, cluster=own)
    free = msgspec.structs.replace(free, prices={}, cluster=free.cluster)
    assert launched(decide.decide(free)) > lookahead.FIRST, "machines that cost nothing"


def test_what_is_learnt_fades_slowly_and_at_once_after_a_pause() -> None:
    known = forecast.learn(None, count=100, seconds=1000.0, now=NOW)
    assert known.mean == 10.0
    near = forecast.learn(known, count=1, seconds=110.0, now=NOW + 1)
    assert near.mean == pytest.approx(10.99, abs=0.01)
    later = forecast.learn(known, count=1, seconds=110.0, now=NOW + forecast.FADE + 1)
    assert later.mean == 60.0
    many = forecast.learn(known, count=10_000, seconds=0.0, now=NOW)
    assert many.count == forecast.WINDOW


def test_an_unknown_type_is_taken_to_last_twice_as_long_as_it_has_run() -> None:
    guess = forecast.Estimates({}, [("a", 5.0), ("a", 300.0)])
    assert (guess.whole("a"), guess.whole("b")) == (600.0, forecast.UNSEEN)
    assert (guess.left("a", 5.0), guess.left("b", 100.0)) == (595.0, 20.0)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("speed: quick", "cluster.yaml:2: speed: 'quick' is neither a number nor one of balanced, economy, fast"),
        ("speed: 0", "cluster.yaml:2: speed: 0 must be more than 0"),
        ("speed: true", "cluster.yaml:2: speed: true is neither a number nor one of balanced, economy, fast"),
        ("policy: eager", "cluster.yaml:2: policy: 'eager' is not one of boundary, end-of-run, idle, look-ahead"),
    ],
)
def test_a_wrong_knob_is_named_with_its_line(line: str, said: str) -> None:
    with pytest.raises(errors.ClusterFileError) as caught:
        config.loads(TEXT.replace("preset: aws", line).lstrip())
    assert said in str(caught.value)


def test_the_knob_takes_words_and_numbers() -> None:
    assert [with_speed(each).speed_factor for each in ("economy", "balanced", "fast", 2.5)] == [1, 2, 5, 2.5]
    assert config.loads(TEXT + "speed: 2.5\n").speed == 2.5


@pytest.mark.parametrize(
    ("policy", "idle", "age", "gone"),
    [
        ("idle", 91.0, 1000.0, True),
        ("idle", 89.0, 3590.0, False),
        ("boundary", 1000.0, 1000.0, False),
        ("boundary", 100.0, 3590.0, True),
        ("end-of-run", 1000.0, 3590.0, False),
    ],
)
def test_the_policies_of_others_by_name(policy: str, idle: float, age: float, gone: bool) -> None:
    cluster = msgspec.structs.replace(HOURLY, policy=policy)
    made = plan(count("a", 4), nodes=(node("n", {"a": [1.0] * 4}), node("m", idle=idle, age=age)), cluster=cluster)
    assert [each.instance for each in made.drains] == (["m"] if gone else [])
    assert launched(plan(count("a", 40), known={"a": 1.0}, cluster=cluster)) == 10, "a slot for every task"


def test_at_the_end_of_the_run_everything_goes() -> None:
    cluster = msgspec.structs.replace(HOURLY, policy="end-of-run")
    assert [each.instance for each in plan(nodes=(node("n"),), cluster=cluster).drains] == ["n"]


def test_a_pass_over_5000_machines_and_100000_tasks_is_quick() -> None:
    text = TEXT.replace("max: 50", "max: 9000")
    nodes = tuple(node(f"n{number}", {"a": [50.0] * 4}) for number in range(5000))
    tasks = (count("a", 120_000), count("b", 60_000, ("a", 2)), count("c", 1, ("a", 120_000)))
    given_snapshot = snapshot(*tasks, nodes=nodes, cluster=config.loads(text), known={"a": 100.0})
    begun = time.process_time()
    made = decide.decide(given_snapshot)
    assert time.process_time() - begun < 3.0, "1 s on a machine of its own"
    assert 0 < launched(made) <= 4000


def test_a_thousand_runs_are_weighed_as_one() -> None:
    runs = tuple(
        snapshots.Run(run_id=f"r{number}", elapsed=10.0, tasks=(count("a", 3), count("b", 1, ("a", 3))))
        for number in range(1000)
    )
    demand = (snapshots.Demand(task_list="heavy", scheduled=3000, foreseen=1000),)
    made = decide.decide(msgspec.structs.replace(snapshot(known={"a": 600.0}), runs=runs, demand=demand))
    assert launched(made) == 50


KINDS = st.sampled_from(["a", "b", "c"])
COUNTS = st.builds(
    lambda kind, number, after: count(kind, number, *(((after[0], after[1]),) if after else ())),
    KINDS,
    st.integers(1, 60),
    st.one_of(st.none(), st.tuples(KINDS, st.integers(1, 60))),
)
NODES = st.lists(
    st.tuples(
        st.dictionaries(KINDS, st.lists(st.floats(0, 900), max_size=3), max_size=2),
        st.floats(0, 500),
        st.floats(0, 9000),
        st.sampled_from(list(model.NodeState)),
    ),
    max_size=7,
)


@settings(max_examples=150, deadline=None)
@given(
    tasks=st.lists(COUNTS, max_size=5),
    machines=NODES,
    cap=st.integers(0, 10**7),
    speed=st.floats(0.1, 20),
    hourly=st.booleans(),
    known=st.dictionaries(KINDS, st.floats(0.1, 5000)),
    launching=st.integers(0, 3),
    covered=st.booleans(),
)
def test_whatever_is_known(
    tasks: list[documents.TaskCount],
    machines: list[tuple[dict[str, list[float]], float, float, model.NodeState]],
    cap: int,
    speed: float,
    hourly: bool,
    known: dict[str, float],
    launching: int,
    covered: bool,
) -> None:
    nodes = tuple(
        node(f"n{place}", running, idle=idle, age=age, state=state)
        for place, (running, idle, age, state) in enumerate(machines)
    )
    given_snapshot = snapshot(
        *tasks,
        nodes=nodes,
        cluster=with_speed(speed, HOURLY if hourly else SECONDS),
        known=known,
        launching=(("big", launching),),
        covered=covered,
        purses=(guards.Purse(window="hour", cap=cap, committed=0),),
    )
    made = decide.decide(given_snapshot)
    again = decide.decide(msgspec.structs.replace(given_snapshot, nodes=tuple(reversed(given_snapshot.nodes))))
    assert msgspec.json.encode(made) == msgspec.json.encode(again), "the same snapshot, the same plan"
    assert sum(each.worst for each in made.launches) <= cap, "never beyond the budget"
    drained = {each.instance for each in made.drains}
    assert not drained & {each.instance for each in nodes if each.busy}, "never a busy machine"
    assert covered or not drained, "nothing before every run is covered"
    cancelled = {each.instance for each in made.cancels}
    boots = {each.instance for each in nodes if each.state in model.BEFORE_WORK}
    assert not cancelled - boots, "only what boots"
    assert not cancelled & (drained | {each.instance for each in (*made.keeps, *made.terminates)}), "one word on each"
    assert not cancelled or (covered and all(each.profile != "big" for each in made.launches)), "none is launched, too"
    scheduled = sum(each.count for each in tasks if each.state == "scheduled")
    slots = sum(4 for each in nodes if each.state in model.COUNTED | model.LEAVING and each.instance != "floor")
    left = sum(4 * (each.state is model.NodeState.WORKING or each.instance in boots - cancelled) for each in nodes)
    assert left or not scheduled or not cancelled, "somebody works on it"
    assert scheduled <= slots or not drained, "never a needed machine: something waits for a slot"
    assert "floor" not in drained, "never below min"
    counted = [each for each in nodes if each.state in model.COUNTED]
    ended = {each.instance for each in made.terminates}
    living = sum(each.instance not in ended for each in counted)
    assert living + launching + launched(made) <= max(50, living + launching), "never above max"
    assert all(each.reason for each in (*made.drains, *made.keeps, *made.launches, *made.terminates))
    if any(each.state == "scheduled" for each in tasks) and cap == 10**7 and not counted and not launching:
        back = [each for each in made.unmarks if each.profile == "big"]
        running = sum(len(ages) for running, _, _, _ in machines for ages in running.values())
        assert back or made.launches or running, "somebody works on it"
