"""Many of them: five managers at once, 10,000 machines behind lists that lag, kills at every two steps."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator

import pytest

from simpleflow.core import errors as core_errors
from simpleflow.nodes import config, control, errors
from simpleflow.nodes.manager import reconcile
from simpleflow.nodes.providers import base

from . import fakes
from .world import World


class CutOff(fakes.MemoryStore):
    """The same store as one manager reaches it, or does not."""

    def __init__(self, shared: fakes.MemoryStore) -> None:
        super().__init__()
        self.objects = shared.objects
        self.shared = shared
        self.away = False

    def get(self, key: str) -> tuple[bytes, str] | None:
        if self.away:
            raise core_errors.SimpleflowError("the network is away")
        return self.shared.get(key)

    def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        if self.away:
            raise core_errors.SimpleflowError("the network is away")
        return self.shared.put(key, content, if_match=if_match, if_absent=if_absent)


class Manager:
    """One of several manager processes, stepped by hand: SIGSTOP is not to be stepped."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.lives = 0
        self.stopped_until = 0.0
        self.store = CutOff(world.store)
        self.begin()

    def begin(self) -> None:
        """The process is started (again): it remembers nothing, and has another name."""
        self.lives += 1
        file = control.ControlFile(self.store, "demo", f"{self.name}-{self.lives}", self.world.clock)
        self.made = reconcile.Reconciler(
            self.world.cluster, file, self.world.provider, self.store, self.world.coordinator, self.world.clock
        )
        self.steps: Iterator[str] | None = None

    def step(self, count: int) -> None:
        """So many steps of its passes."""
        for _ in range(count):
            if self.steps is None:
                self.steps = self.made.steps()
            try:
                if next(self.steps, None) is None:
                    self.steps = None
            except core_errors.SimpleflowError:
                self.steps = None


@pytest.mark.parametrize("seed", range(6))
def test_five_managers_at_once_launch_nothing_twice(seed: int) -> None:
    """Each is stopped in the middle of a pass and goes on, is killed, is cut off; lists lag."""
    chosen = random.Random(seed)
    world = World()
    del world.managers["m1"]
    world.provider.list_lag = chosen.choice([0.0, 1.0])
    managers = [Manager(world, f"m{number}") for number in range(5)]
    world.add("a", "b", "c")
    for second in range(600):
        calm = second > 80
        for manager in chosen.sample(managers, len(managers)):
            if not calm and chosen.random() < 0.05:
                manager.stopped_until = world.clock.now() + chosen.uniform(1.0, 20.0)
            if not calm and chosen.random() < 0.03:
                manager.begin()
            manager.store.away = not calm and chosen.random() < 0.1
            if world.clock.now() >= manager.stopped_until:
                manager.step(chosen.randint(1, 25))
        world.tick()
        # Three tasks, two at once on a machine: two machines, whoever manages.
        assert len(world.living()) <= 2, f"second {second}: {world.provider.attempts}"
        if calm and not world.queue and not world.living() and not world.document().rows:
            break
    assert sorted(world.done) == ["a", "b", "c"]
    assert not world.lost
    assert not world.terminated
    assert not world.living()
    assert not world.document().rows
    assert not world.document().intents


def test_a_stopped_holder_is_replaced_within_the_lease_and_its_next_replacement_fails() -> None:
    world = World()
    del world.managers["m1"]
    holder, *others = (Manager(world, f"m{number}") for number in range(5))
    holder.step(30)
    assert holder.made.leading
    world.add("a")
    holder.steps = holder.made.steps()
    for step in holder.steps:
        if step == "decide":
            break
    assert holder.made.plan.launches
    begun = world.clock.now()
    while not any(each.made.leading for each in others):
        world.clock.advance(0.5)
        for each in others:
            each.step(30)
        assert world.clock.now() - begun <= world.cluster.settings.lease + 1.0
    with pytest.raises(errors.ControlLost):
        next(holder.steps)
    for _ in range(10):
        world.tick()
        for each in others:
            each.step(30)
    assert len(world.provider.attempts) == 1


MANY = 10_000


class Pages(World):
    """A world whose provider lists page by page, late, and now and then not to the end."""

    def __init__(self) -> None:
        text = (
            "cluster: demo\nprofiles: {small: {boot: 2}}\ntask_lists: {light: {profile: small, slots: 2, max: 10000}}"
        )
        super().__init__(fakes.cluster(text))


def test_ten_thousand_machines_behind_lists_that_lag_and_break_off_are_never_reaped() -> None:
    """terraform-aws-github-runner reaped living machines when its list was cut at 30 rows."""
    world = Pages()
    world.boots_work = False  # nobody takes a turn: the documents are written once, below
    manager = world.managers["m1"]
    manager.run_pass()
    document = manager.file.read()
    for begun in range(0, MANY, 1000):
        attempt = f"a{begun}"
        intent = fakes.documents.Intent(
            id=attempt, kind="launch", creator="m1", profile="small", not_after=1e12, units=1000
        )
        spec = base.LaunchSpec(cluster="demo", profile="small", attempt=attempt, units=1000, not_after=1e12)
        document = control.open_intent(document, intent)
        launched = world.provider.launch(spec).instances
        if begun % 2000 == 0:
            # The creator's answer is written; of the others the manager learns by lists.
            document = control.answered(document, attempt, launched, world.cluster.settings)
    manager.file.replace(document)
    world.add(*(f"t{number}" for number in range(2 * MANY)))
    for node in world.nodes.values():
        node.first_polled, node.poll_open = world.clock.now(), True
        node.running = {f"{node.id}-{slot}": world.clock.now() for slot in range(2)}
        node.report(world)
    whole = world.provider.list

    def broken_off() -> base.Listing:
        raise errors.ProviderThrottled("the list broke off after page 17")

    used = time.process_time()
    for number, lag in enumerate([9.0, 4.0, 4.0, 0.0]):
        world.provider.list_lag = lag
        world.provider.list = broken_off if number == 2 else whole  # type: ignore[method-assign]
        world.clock.advance(world.cluster.settings.loop)
        manager.run_pass()
        plan = manager.plan
        assert not plan.drains
        assert not plan.terminates
        assert not plan.launches
    assert time.process_time() - used < 30.0, "about 3 s on a machine of its own"
    rows = world.document().rows
    assert len(rows) == MANY
    assert not [row for row in rows if row.drain is not None or row.reason.startswith("orphan")]
    assert not world.terminated


def test_a_manager_killed_twice_at_any_two_steps_leaves_nothing_behind() -> None:
    """`kill -9` at every recorded step, and again so many steps later, by a successor that waits for the lease."""
    lengths = []
    for first, second in itertools.chain(
        ((step, 7) for step in range(1, 70, 4)), ((11, step) for step in range(1, 40, 5))
    ):
        world = World()
        del world.managers["m1"]
        made = Manager(world, "m")
        world.add("a", "b", "c")
        for kill in (first, second):
            for _ in range(kill):
                made.step(1)
                world.clock.advance(0.05)
            made.begin()
        for passed in range(120):
            made.step(60)
            world.tick()
            if passed > 5 and not world.living() and not world.queue and not world.document().rows:
                break
        lengths.append(passed)
        assert (sorted(world.done), world.lost, world.terminated) == (["a", "b", "c"], [], []), (first, second)
        assert len(world.nodes) == 2, (first, second)
        assert not world.document().intents
    assert max(lengths) < 60


def test_what_a_dead_manager_claimed_expires() -> None:
    """terraform-aws-github-runner #5453: lease, intent and mark are all free again without their owner."""
    world = World()
    del world.managers["m1"]
    dead = Manager(world, "dead")
    world.add("a")
    for _ in range(60):
        dead.step(1)
        if "control.json" in world.store.objects and world.document().intents:
            break
    assert world.document().intents
    assert not world.nodes, "it died between the intent and the call"
    heir = Manager(world, "heir")
    times: config.Times = world.cluster.settings
    for _ in range(int(times.lease + times.intent + times.signature + times.list_lag) + 20):
        heir.step(60)
        world.tick()
    assert heir.made.leading
    assert world.done == ["a"]
    assert not world.document().intents
