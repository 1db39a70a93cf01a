"""The simulation: the manager's own passes over runs of the past, in virtual time."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner, Result

from simpleflow.cli import sfnodes
from simpleflow.core import errors, events
from simpleflow.nodes import config, model
from simpleflow.nodes.policy import decide
from simpleflow.nodes.policy import snapshot as snapshots
from simpleflow.nodes.simulation import histories, pictures, report, scenarios, traces, work, world

CLUSTER = """\
cluster: demo
preset: aws
profiles:
  small: {billing: {period: 1, minimum: 60, price: 3.6}, boot: 90}
task_lists:
  light: {profile: small, slots: 2, max: 5}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(sfnodes.cli, list(arguments))


def fan(name: str = "r", begin: float = 0.0, width: int = 8, seconds: float = 300.0) -> work.Run:
    """Tasks side by side, and one after all of them."""
    wide = tuple(work.Task(activity="part", task_list="light", seconds=seconds) for _ in range(width))
    last = work.Task(activity="whole", task_list="light", seconds=60.0, after=tuple(range(width)))
    return work.Run(run_id=name, workflow="fan", begin=begin, tasks=(*wide, last))


def played(text: str = CLUSTER, runs: tuple[work.Run, ...] = (), **options: Any) -> world.Outcome:
    return world.World(config.loads(text), runs or (fan(),), world.Options(**options)).run()


def test_the_same_runs_give_the_same_outcome_and_every_task_runs_once() -> None:
    outcome = played()
    assert outcome == played()
    assert outcome.worked == pytest.approx(8 * 300 + 60)
    assert (outcome.lost, outcome.interrupted, outcome.notes) == (0, 0, ())
    assert 360 + 72 < outcome.flows["r"] == outcome.makespan < 360 + 108 + 300 + 60
    assert outcome.moments[-1].working == outcome.moments[-1].booting == 0, "until the last machine is gone"
    assert outcome.cost == pytest.approx(outcome.lived * 1000, rel=0.2), "3.6 an hour is a thousandth a second"


def test_no_number_of_the_file_is_passed_over() -> None:
    one = played(CLUSTER.replace("max: 5", "max: 1"))
    assert one.peak == 1
    assert one.makespan > 4 * 300
    kept = played(CLUSTER.replace("boot: 90", "boot: 90, min: 2") + "deciders: {min: 1}\n")
    assert kept.moments[-1].working == 2
    capped = played(CLUSTER + "budget: {per_hour: 0.4}\n")
    assert capped.cost <= 400_000 * (1 + capped.moments[-1].at // 3600)
    assert capped.makespan > played().makespan


def test_a_budget_that_ends_the_work_is_told_instead_of_waited_for() -> None:
    never = played(CLUSTER + "budget: {per_month: 0.4}\n", (fan(seconds=5_000.0),))
    assert never.notes[0] == "1 of 1 runs did not end"
    assert "budget per month" in never.notes[1]
    assert never.worked == 2 * 5_000.0, "the cap yields to tasks that run"


def test_spot_notices_interrupt_tasks_that_then_run_again() -> None:
    spot = CLUSTER.replace("boot: 90", "boot: 90, market: spot")
    outcome = played(spot, (fan(seconds=3000.0),), interrupted=1.0)
    assert outcome.interrupted > 0
    assert outcome.flows
    assert played(CLUSTER, (fan(seconds=3000.0),), interrupted=1.0).interrupted == 0, "none on demand"


def test_what_if_and_the_policies_of_others_are_compared() -> None:
    cluster = config.loads(CLUSTER)
    what_if = scenarios.WhatIf(max=2, hourly=True, spot=0.5)
    found = scenarios.scenarios(cluster, what_if, ("fast", "idle"))
    assert [each.name for each in found] == ["as it is", "fast", "idle"]
    assert what_if.words == "max 2, hourly, spot at 50% of the price"
    changed = found[1].cluster
    assert (changed.task_lists["light"].max, changed.profiles["small"].billing.price) == (2, 1.8)
    assert (changed.profiles["small"].billing.period, changed.profiles["small"].market) == (3600, "spot")
    assert (found[2].cluster.policy, found[0].cluster.task_lists) == ("idle", cluster.task_lists)
    results = scenarios.play(found, (fan(),), world.Options(interrupted=0.0))
    assert [each.outcome.peak for each in results][1:] == [2, 2]
    assert results[1].outcome.cost % 1_800_000 == 0, "whole hours"
    page = report.page(results, cluster, report.Source(what="<a test>", what_if=what_if.words, runs=(fan(),)))
    assert page.count("<svg") == 1 + 3, "cost against time, and each scenario over time"
    assert "&lt;a test&gt;: 1 run, 9 tasks" in page
    assert not re.search(r"(src|href)=", page)
    with pytest.raises(errors.UsageError, match="known: economy, balanced"):
        scenarios.scenarios(cluster, what_if, ("nobody",))
    with pytest.raises(errors.SimpleflowError, match="min 9 is over its maximum of 5"):
        scenarios.scenarios(cluster, scenarios.WhatIf(min=9), ("fast",))


def moment(at: float, booting: int, working: int, queued: int = 0) -> world.Moment:
    return world.Moment(at, booting, working, 0, working, queued)


def test_a_point_that_stands_for_several_moments_shows_no_more_machines_than_there_were() -> None:
    turns = [moment(float(n), 4, 0, n) if n % 2 else moment(float(n), 0, 4) for n in range(5_000)]
    thin = pictures.thinned(turns)
    assert len(thin) <= 500
    assert {pictures.total(each) for each in thin} == {4}
    assert thin[0].at == 0.0
    assert max(each.queued for each in thin) == 4_999
    short = [moment(float(n), 0, 9 if n == 4_321 else 1) for n in range(5_000)]
    assert max(pictures.total(each) for each in pictures.thinned(short)) == 9, "a peak of one pass is shown"


@pytest.mark.parametrize(
    ("most", "values"),
    [(1, [0, 1]), (3, [0, 1, 2, 3]), (5, [0, 1, 2, 3, 4, 5]), (6, [0, 2, 4, 6]), (230, [0, 50, 100, 150, 200])],
)
def test_a_scale_of_machines_names_whole_ones(most: float, values: list[float]) -> None:
    picture = pictures.over_time([moment(0.0, 0, int(most)), moment(1.0, 0, int(most))], 1.0, most, 77.0, 1.0)
    named = [float(each) for each in re.findall(r'text-anchor="end">([0-9.]+)<', picture)]
    assert named[: named.index(77.0)] == values, "the last one is the end of the queue's scale"


def test_pictures_share_a_scale_unless_it_squeezes_some() -> None:
    assert pictures.shared([100.0, 9.0, 40.0, 8.0, 0.0]) == [100.0, 9.0, 100.0, 9.0, 0.0]
    assert pictures.shared([]) == []


def test_the_page_of_runs_that_did_not_end_praises_nobody_for_it() -> None:
    capped = config.loads(CLUSTER + "budget: {per_month: 0.4}\n")
    found = scenarios.scenarios(capped, scenarios.WhatIf(), ("fast",))
    found = (msgspec.structs.replace(found[1], cluster=config.loads(CLUSTER), name="<fast>"), found[0])
    results = scenarios.play(found, (fan(seconds=5_000.0),), world.Options(interrupted=0.0))
    assert results[1].outcome.cost < results[0].outcome.cost
    page = report.page(results, capped, report.Source(what="t", what_if="", runs=(fan(),)))
    assert "Cheapest and fastest: &lt;fast&gt;" in page
    assert "<fast>" not in page


def test_a_comparison_without_cost_or_time_is_drawn() -> None:
    free = config.loads(CLUSTER.replace("price: 3.6", "price: 0"))
    results = scenarios.play(
        scenarios.scenarios(free, scenarios.WhatIf(price=0.0), ("idle",)), (fan(),), world.Options(interrupted=0.0)
    )
    page = report.page(results, free, report.Source(what="t", what_if="", runs=(fan(),)))
    assert "nan" not in page
    assert ElementTree.fromstring(re.search(r"<svg.*?</svg>", page, re.DOTALL)[0]) is not None


# --- where runs come from --------------------------------------------------------------------------------------------


def trace(path: Path, tasks: dict[str, tuple[str, ...]]) -> Path:
    content = {
        "name": "made",
        "workflow": {
            "specification": {"tasks": [{"id": k, "name": f"{k[0]}_1", "parents": list(p)} for k, p in tasks.items()]},
            "execution": {"tasks": [{"id": k, "runtimeInSeconds": 10 + n} for n, k in enumerate(tasks)]},
        },
    }
    path.write_bytes(
        gzip.compress(json.dumps(content).encode()) if path.suffix == ".gz" else json.dumps(content).encode()
    )
    return path


def test_a_trace_of_wfformat_is_read_plain_or_gzipped(tmp_path: Path) -> None:
    for name in ("t.json", "t.json.gz"):
        found = traces.read(trace(tmp_path / name, {"b1": ("a1", "a2"), "a1": (), "a2": (), "c1": ("b1",)}), "light")
        assert [(t.activity, t.seconds, t.after) for t in found.tasks] == [
            ("a", 11.0, ()),
            ("a", 12.0, ()),
            ("b", 10.0, (0, 1)),
            ("c", 13.0, (2,)),
        ]
        assert (found.critical_path(), found.work()) == (35.0, 46.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"cluster: x", "is not JSON"),
        (b"\x1f\x8bxx", "is not JSON"),
        (b'{"events": []}', "is not a trace of WfFormat"),
        (b'{"workflow": {"specification": {"tasks": [{"id": "a", "parents": ["a"]}]}}}', "wait for each other"),
    ],
)
def test_what_is_not_a_trace_is_one_message(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "t.json").write_bytes(content)
    with pytest.raises((errors.UsageError, OSError), match=said):
        traces.read(tmp_path / "t.json")


def history(*rows: tuple[str, float, dict[str, Any]]) -> list[events.Base]:
    plain = [
        {
            "eventId": number,
            "eventType": kind,
            "eventTimestamp": moment,
            f"{kind[0].lower()}{kind[1:]}EventAttributes": said,
        }
        for number, (kind, moment, said) in enumerate(rows, 1)
    ]
    return list(events.decode(msgspec.json.encode(plain)))


def scheduled(moment: float, decision: int, name: str) -> tuple[str, float, dict[str, Any]]:
    kind = {"name": name, "version": "1"}
    said = {"activityType": kind, "activityId": f"{name}-{moment}", "taskList": {"name": "light"},
            "decisionTaskCompletedEventId": decision}  # fmt: skip
    return "ActivityTaskScheduled", moment, said


def test_a_history_says_how_long_tasks_ran_and_what_they_can_have_waited_for() -> None:
    found = history(
        ("WorkflowExecutionStarted", 100.0, {"childPolicy": "TERMINATE", "taskList": {"name": "d"},
                                             "workflowType": {"name": "w", "version": "1"}}),
        ("DecisionTaskStarted", 100.0, {"scheduledEventId": 0}),
        scheduled(100.0, 2, "a"),  # 3
        scheduled(100.0, 2, "a"),  # 4
        ("ActivityTaskStarted", 101.0, {"scheduledEventId": 3}),
        ("ActivityTaskStarted", 101.0, {"scheduledEventId": 4}),
        ("ActivityTaskCompleted", 111.0, {"scheduledEventId": 3, "startedEventId": 5}),
        ("DecisionTaskStarted", 111.0, {"scheduledEventId": 0}),
        scheduled(111.0, 8, "b"),  # 9: after the first a alone
        ("ActivityTaskStarted", 112.0, {"scheduledEventId": 9}),
        ("ActivityTaskCompleted", 113.0, {"scheduledEventId": 9, "startedEventId": 10}),
        ("ActivityTaskCompleted", 121.0, {"scheduledEventId": 4, "startedEventId": 6}),
        ("DecisionTaskStarted", 121.0, {"scheduledEventId": 0}),
        scheduled(121.0, 13, "c"),  # 14: nothing else was open, so after all
        scheduled(121.0, 13, "never"),
        ("ActivityTaskStarted", 122.0, {"scheduledEventId": 14}),
        ("ActivityTaskCompleted", 125.0, {"scheduledEventId": 14, "startedEventId": 16}),
        ("DecisionTaskStarted", 185.0, {"scheduledEventId": 0}),
        scheduled(185.0, 18, "d"),  # 19: a timer fired a minute later
        ("ActivityTaskStarted", 186.0, {"scheduledEventId": 19}),
        ("ActivityTaskFailed", 188.0, {"scheduledEventId": 19, "startedEventId": 20}),
    )  # fmt: skip
    made = histories.read("r", "w", found)
    assert made is not None
    assert [(t.activity, t.seconds, t.after, t.delay) for t in made.tasks] == [
        ("a", 10.0, (), 0.0),
        ("a", 20.0, (), 0.0),
        ("b", 1.0, (0,), 0.0),
        ("c", 3.0, (1, 2), 0.0),
        ("d", 2.0, (3,), 60.0),
    ]
    assert histories.read("r", "w", found[:3]) is None


def test_copies_come_at_moments_that_the_seed_tells() -> None:
    many = work.copies((fan(),), 5, 1000.0, seed=3)
    assert many == work.copies((fan(),), 5, 1000.0, seed=3) != work.copies((fan(),), 5, 1000.0, seed=4)
    assert (len({each.run_id for each in many}), many[0].begin, max(each.begin for each in many) <= 1000) == (
        5,
        0.0,
        True,
    )
    moved, foreign = work.on_lists((fan(),), ("heavy",), "heavy")
    assert ({task.task_list for task in moved[0].tasks}, foreign) == ({"heavy"}, ("light",))


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_compares_and_writes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMPLEFLOW_DATA_DIR", str(tmp_path / "data"))
    Path("cluster.yaml").write_text(CLUSTER)
    trace(tmp_path / "t.json", {"a1": (), "a2": (), "b1": ("a1", "a2")})
    given = ("simulate", "--trace", "t.json", "--policy", "idle", "--max", "3")
    shown = run(*given, "--html", "page.html", "--copies", "3", "--over", "0.1")
    assert shown.exit_code == 0, shown.output
    assert "t.json: 3 runs, 9 tasks" in shown.stdout
    assert "\nidle\t" in shown.stdout
    assert "all rows but the first: max 3" in shown.stdout
    assert Path("page.html").read_text().startswith("<!doctype html>")
    found = json.loads(run(*given, "--json").stdout)
    assert [each["name"] for each in found["results"]] == ["as it is", "idle"]
    assert run("simulate", "--history", "t.json").stderr == "t.json is a trace of WfFormat: give it with --trace\n"
    assert "has no task list 'x'" in run(*given, "--task-list", "x").stderr
    assert run(*given, "--html", "nowhere/page.html").exit_code == 64


def test_machines_that_are_cancelled_while_they_boot_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the protocol of the product, on simulated machines: some have begun when the mark is written."""
    real, chosen = decide.decide, random.Random(4)

    def fickle(snapshot: snapshots.Snapshot) -> decide.Plan:
        plan = real(snapshot)
        booting = [each for each in snapshot.nodes if each.state is model.NodeState.BOOTING and chosen.random() < 0.05]
        planned = {each.instance for each in plan.cancels}
        more = [
            decide.Item(instance=each.instance, profile=each.profile, reason="not wanted any more")
            for each in booting
            if each.instance not in planned
        ]
        return msgspec.structs.replace(plan, cancels=(*plan.cancels, *more))

    monkeypatch.setattr(decide, "decide", fickle)
    runs = work.copies((fan(width=12),), 8, 7200.0)
    outcome = played(CLUSTER.replace("max: 5", "max: 12"), runs, step=1.0)
    assert (outcome.lost, outcome.notes) == (0, ())
    assert outcome.worked == pytest.approx(8 * (12 * 300 + 60))
    assert outcome.cancelled > 10
    assert outcome.machines > outcome.cancelled


def test_a_machine_that_is_cancelled_while_it_is_pending_is_not_billed(monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = decide.decide, set[str]()

    def fickle(snapshot: snapshots.Snapshot) -> decide.Plan:
        plan = real(snapshot)
        pending = [
            each
            for each in snapshot.nodes
            if each.state is model.NodeState.BOOTING and not each.running and each.instance not in seen
        ]
        if len(seen) >= 2 or not pending:
            return plan
        seen.add(pending[0].instance)
        gone = decide.Item(instance=pending[0].instance, profile="small", reason="not wanted any more")
        return msgspec.structs.replace(plan, cancels=(gone,))

    monkeypatch.setattr(decide, "decide", fickle)
    hourly = CLUSTER.replace("period: 1, minimum: 60", "period: 3600, minimum: 3600")
    outcome = played(hourly, (fan(width=12),), step=1.0)
    assert (outcome.cancelled, outcome.lost, outcome.notes) == (2, 0, ())
    hours = round(outcome.cost / 3_600_000)
    assert hours == outcome.machines - 2, "each of the others is billed for one hour"
