"""Cancelled machines under the manager's real passes: every interleaving with a boot, every kill, the books."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec
import pytest

from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.nodes import boot, cancel, control, drain, model
from simpleflow.nodes.manager import report
from simpleflow.nodes.providers import base

from .world import Manager, SimNode, World

#: the agent stores its document, reads control.json, judges it, polls; the service hands the task out
BOOT = 5
#: intents, a look at the document, the termination written, carried out, or a mark; troubles
STEPS = 5


def booting(kind: type[Manager] = Manager) -> tuple[World, SimNode]:
    """A machine that has been launched for a task, boots, and is not wanted any more."""
    world = World()
    world.add("a")
    world.managers["m1"].run_pass()
    (node,) = world.nodes.values()
    world.unwanted.add(node.id)
    file = control.ControlFile(world.store, "demo", "m1", world.clock)
    world.managers["m1"] = kind(world, file, world.clock)
    return world, node


def node_step(world: World, node: SimNode) -> None:
    """One effect of the machine, if it still lives."""
    if not node.alive:
        return
    if node.boot in {boot.BootState.STARTING, boot.BootState.ANNOUNCED}:
        node.begin(world)
    elif not node.poll_open and not node.running:
        node.turn(world)
    else:
        world.hand_out()


def acting(world: World) -> Iterator[str]:
    """The steps of a pass after its decision: what it has observed is not looked at again."""
    steps = world.managers["m1"].steps()
    for step in steps:
        if step == "decide":
            return steps
    raise AssertionError("the pass decides nothing")


def finish(world: World) -> None:
    """Nothing is lost: its task is worked, by this machine or another one, and nothing is left."""
    world.unwanted.clear()
    for _ in range(120):
        world.tick()
        document = world.document()
        if world.done == ["a"] and not world.living() and not document.rows and not document.intents:
            break
    assert world.done == ["a"]
    assert not world.cut, "it was ended with an open poll or a task"
    assert not world.lost
    assert not world.living()
    assert not world.document().failures, "a machine that was marked has not failed to boot"


def interleavings(kind: type[Manager] = Manager) -> Iterator[tuple[World, SimNode, tuple[int, ...]]]:
    """Every order of a pass's steps and a boot's, played; the moments are those of the boot's steps."""
    for moments in itertools.combinations_with_replacement(range(STEPS + 1), BOOT):
        world, node = booting(kind)
        steps = acting(world)
        for place in range(STEPS + 1):
            for _ in range(moments.count(place)):
                node_step(world, node)
            next(steps, None)
        assert next(steps, None) is None, "no step is left"
        yield world, node, moments


def test_whatever_a_pass_and_a_boot_do_first_no_task_is_lost() -> None:
    ended, worked = 0, 0
    for world, node, moments in interleavings():
        ended += any(each == node.id for each, _ in world.terminated)
        worked += bool(node.running)
        for each in range(BOOT):
            node_step(world, node)  # what it has not done yet
            assert not world.cut, (moments, each)
        finish(world)
    assert ended > 20, "those that the manager saw without a document are ended at once"
    assert worked > 20, "those that polled first have the task, and drain"


class LooksFirst(Manager):
    """A simpler manager: it believes what its pass has read before it wrote the mark."""

    def _cancel(self) -> Iterator[str]:
        absent = {
            name: number for name, number in cancel.waiting(self.file.known).items() if name not in self.observer.nodes
        }
        self.file.replace(cancel.end(self.file.known, absent, self.file.holder, self.now() + 60.0))
        yield "cancelled"


def test_a_manager_that_looks_before_it_marks_loses_the_task() -> None:
    assert any(world.cut for world, _, _ in interleavings(LooksFirst))


def test_a_manager_killed_after_any_step_leaves_a_cancelled_machine_to_the_next() -> None:
    """At every step of the pass, with the boot at every step of its own; the next manager waits for no lease."""
    for killed, begun, later in itertools.product(range(1, 9), range(BOOT + 1), range(3)):
        world, node = booting()
        for _ in range(begun):
            node_step(world, node)
        steps = acting(world)
        for _ in itertools.islice(steps, killed):
            pass
        steps.close()  # type: ignore[attr-defined]  # a generator
        for _ in range(later):
            node_step(world, node)
        world.manager("m1")
        if killed % 2:
            world.managers["m1"].run_pass()
        finish(world)


def test_a_paused_manager_ends_no_machine_whose_mark_was_taken_back() -> None:
    """One manager finds no document and is stopped; another takes the mark back, and the machine begins to work."""
    world, node = booting()
    paused = acting(world)
    while next(paused) != f"looked at {node.id}":
        pass
    world.unwanted.clear()
    row = control.row_of(world.document(), node.id)
    assert row is not None
    assert row.cancelled
    assert row.drain is not None
    other = control.ControlFile(world.store, "demo", "m2", world.clock)
    other.replace(control.undrain(control.take(other.read(), "m2", 0.0), node.id, row.drain))
    for _ in range(BOOT):
        node_step(world, node)
    assert node.running
    with pytest.raises(core_errors.SimpleflowError, match="was not replaced"):
        list(paused)
    assert not world.terminated
    finish(world)


def test_a_machine_that_begins_while_the_manager_rests_before_the_call_sees_its_mark() -> None:
    world, node = booting()
    paused = acting(world)
    while next(paused) != "cancelled":
        pass
    for _ in range(BOOT):
        node_step(world, node)
    assert (node.poll_open, node.running) == (False, {})
    assert node.boot is boot.BootState.REFUSED
    list(paused)
    finish(world)


def marked(**changes: object) -> documents.Control:
    row = documents.Row(
        instance="i-1", profile="small", attempt="a", price=0, since=0.0, until=100.0, order=1, **changes
    )
    return cancel.mark(documents.Control(cluster="demo", rows=(row,)), {"i-1": "not wanted"}, 5.0)


def test_the_mark_is_a_drains_with_a_number_that_is_never_used_again() -> None:
    document = marked()
    (row,) = document.rows
    assert (row.drain, row.cancelled, row.reason) == (1, True, "cancelled while it booted: not wanted")
    assert cancel.waiting(document) == {"i-1": 1}
    assert control.undrain(document, "i-1", 2) == document, "another one's mark"
    free = control.undrain(document, "i-1", 1)
    assert (free.rows[0].drain, free.rows[0].cancelled) == (None, False)
    again = cancel.mark(free, {"i-1": "not wanted"}, 6.0)
    assert cancel.waiting(again) == {"i-1": 2}
    assert cancel.end(again, {"i-1": 1}, "m", 9.0) == again, "looked at under an older mark"
    ending = cancel.end(again, {"i-1": 2}, "m", 9.0)
    assert ending.intents[0].reason == "cancelled while it booted: not wanted"
    assert cancel.waiting(ending) == {}
    assert control.undrain(ending, "i-1", 2) == ending, "the mark of a machine that is being ended stays"


def test_a_drain_is_not_made_a_cancellation_and_an_adopted_machine_only_drains() -> None:
    assert cancel.waiting(marked(drain=3)) == {}
    adopted = msgspec.structs.replace(marked().rows[0], order=0, drain=None, cancelled=False)
    document = cancel.mark(documents.Control(cluster="demo", rows=(adopted,)), {"i-1": "not wanted"}, 5.0)
    assert document.rows[0].drain == 2
    assert cancel.waiting(document) == {}


@pytest.mark.parametrize(
    ("state", "expected"),
    [(None, model.NodeState.CANCELLED), ("booting", model.NodeState.MARKED), ("draining", model.NodeState.DRAINING)],
)
def test_a_cancelled_machine_with_a_document_drains_like_any_other(
    state: str | None, expected: model.NodeState
) -> None:
    document = state and documents.NodeDocument(
        node="i-1",
        profile="small",
        attempt="a",
        state=state,  # type: ignore[arg-type]  # one of its values
        booted=0.0,
        written=1.0,
    )
    for listed in (None, "pending", "running"):
        seen = model.observe(marked().rows[0], listed=listed, document=document or None, ending=False)
        assert seen is expected
        assert model.advance(model.NodeState.BOOTING, seen) is expected
        assert model.advance(seen, model.NodeState.GONE) is model.NodeState.GONE
    assert expected in model.LEAVING


def test_a_store_that_does_not_answer_ends_nothing_and_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world, node = booting()
    get = world.store.get

    def away(key: str) -> tuple[bytes, str] | None:
        if key.startswith("nodes/"):
            raise core_errors.SimpleflowError("503")
        return get(key)

    monkeypatch.setattr(world.store, "get", away)
    world.managers["m1"].run_pass()
    assert not world.terminated
    assert any("has begun cannot be read: 503" in each for each in world.document().troubles)
    monkeypatch.undo()
    world.managers["m1"].run_pass()
    assert world.terminated == [(node.id, ())]
    finish(world)


def test_what_was_ended_before_it_ran_costs_nothing_and_what_ran_its_minimum() -> None:
    costs: dict[float, int] = {}
    for pending in (0.0, 60.0):
        world, node = booting()
        world.provider.pending = pending
        world.clock.advance(1.0)
        world.managers["m1"].run_pass()
        shown = report.look(world.cluster, world.store, lambda name: "running", now=world.clock.now())
        assert [each.state for each in shown.nodes] == ["cancelled"]
        assert shown.nodes[0].reason == "cancelled while it booted: a test does not want it"
        world.unwanted.clear()
        world.managers["m1"].run_pass()
        (entry,) = world.ledger()
        assert entry.instance == node.id
        assert entry.reason == "cancelled while it booted: a test does not want it"
        assert entry.never_ran == bool(pending)
        shown = report.look(world.cluster, world.store, lambda name: "terminated", now=world.clock.now())
        costs[pending] = next(each.cost for each in shown.nodes if each.node == node.id)
        assert entry.cost == costs[pending]
        assert {each.window: each.amount for each in world.document().spent}["hour"] == entry.cost
    assert costs == {0.0: 200, 60.0: 0}  # two seconds, the least that is billed, at 0.36 an hour


def test_the_log_and_the_decisions_say_that_a_booting_machine_was_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    world, node = booting()
    with caplog.at_level("INFO"):
        world.managers["m1"].run_pass()
    assert f"booting machine {node.id} cancelled: a test does not want it" in caplog.text
    decisions = msgspec.json.decode(world.store.objects["decisions.json"][0], type=documents.DecisionsDocument)
    (said,) = [each for each in decisions.decisions if each.kind == "cancel"]
    assert (said.instances, said.reason) == ((node.id,), "a test does not want it")


def test_a_launch_whose_machines_are_not_known_cannot_be_cancelled() -> None:
    world = World()
    world.provider.faults = ["unclear"]
    world.provider.list_lag = 3.0
    world.add("a")
    world.managers["m1"].run_pass()
    (node,) = world.nodes.values()
    world.unwanted.add(node.id)
    world.managers["m1"].run_pass()
    assert (world.document().rows, world.terminated) == ((), [])
    assert world.document().intents[0].units == 1, "the attempt covers it until lists show it"
    world.clock.advance(3.0)
    world.managers["m1"].run_pass()
    assert world.terminated == [(node.id, ())]


def test_a_document_is_forgotten_only_when_its_launch_is_closed_for_good() -> None:
    """A manager that has read control.json before the launch, and rests, must not delete what others rely on."""
    world = World()
    world.tick()
    keep = world.cluster.settings.keep_documents
    resting = world.managers["m1"]
    steps = resting.steps()
    while next(steps) != "list":
        pass
    other = world.manager("m2")
    other.file.replace(control.take(other.file.read(), "m2", world.clock.now()))
    world.add("a")
    other.run_pass()
    (node,) = world.nodes.values()
    node.begin(world)
    world.clock.advance(keep + 1)
    resting.observer.read_documents()
    world.clock.advance(keep + 1)
    resting.observer.forget_old()
    assert f"nodes/{node.id}.json" in world.store.objects


@pytest.mark.parametrize("attempts", [1, 3])
def test_machines_are_cancelled_again_and_again_while_others_work(attempts: int) -> None:
    """Every second machine is not wanted; what works keeps its tasks, and all tasks are done."""
    world = World()
    names = [f"t{number}" for number in range(12)]
    world.add(*names)
    for second in range(200):
        if second < 60:
            world.unwanted.update(sorted(world.nodes)[1 : 2 * attempts : 2])
        world.tick()
        if not world.queue and not world.living() and not world.document().rows:
            break
    assert sorted(world.done) == sorted(names)
    assert not world.cut
    assert not world.lost


def test_the_states_of_a_drain_hold_for_a_machine_that_never_polled() -> None:
    """Marked before its first poll: there is nothing to finish, and it goes by the drain's own table."""
    world, node = booting()
    node.begin(world)
    list(acting(world))
    node.turn(world)
    assert node.state is drain.DrainState.ENDED
    assert node.first_polled is None
    assert not world.terminated, "it had a document: nobody ended it"
    finish(world)


def test_a_machine_that_obeyed_a_mark_which_was_taken_back_too_late_is_no_failed_boot() -> None:
    world, node = booting()
    node.begin(world)
    list(acting(world))
    row = control.row_of(world.document(), node.id)
    assert row is not None
    assert row.drain == 1
    node.begin(world)
    node.begin(world)
    world.unwanted.clear()
    file = world.managers["m1"].file
    file.replace(control.undrain(file.read(), node.id, 1))
    node.turn(world)
    assert not node.alive
    world.managers["m1"].run_pass()
    assert [entry.instance for entry in world.ledger()] == [node.id]
    assert not world.document().failures
    finish(world)


def test_providers_say_whether_a_machine_had_begun_to_run() -> None:
    world = World()
    world.provider.pending = 5.0
    spec = base.LaunchSpec(cluster="demo", profile="small", attempt="a", units=2, not_after=1e12)
    first, second = (each.id for each in world.provider.launch(spec).instances)
    assert {each.state for each in world.provider.list().instances} == {"pending"}
    assert world.provider.terminate(first)
    assert not world.provider.terminate(first), "said once"
    world.clock.advance(5.0)
    assert not world.provider.terminate(second)
