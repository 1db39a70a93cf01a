"""The manager on the emulated account, dropped after any step of launch and drain: one launch for one demand.

The real reconciler and provider, simulated nodes (tests/unit/nodes/world.py) and virtual time: the moments of
docs/design/control.md (last moment to send, signature's life, lag of lists) pass in no time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.nodes import config, tags
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers import base, ec2
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.providers.ec2 import formation
from simpleflow.nodes.stack import up as stack
from simpleflow.testing import cloud as emulated
from tests.unit.ec2.conftest import CLUSTER, CODE, DirectClients
from tests.unit.nodes import fakes, world


class WatchedProvider(ec2.Ec2Provider):
    """Remembers terminations of machines whose agent lives and works."""

    def __init__(self, here: Ec2World) -> None:
        super().__init__(here.cluster, DirectClients(here.cloud), here.clock)
        self._here = here

    def terminate(self, instance_id: str) -> bool:
        node = self._here.nodes.get(instance_id)
        if node is not None and node.alive:
            self._here.terminated.append((instance_id, tuple(node.running)))
            node.die(self._here)
        return super().terminate(instance_id)

    def drain_generation(self, instance_id: str) -> int:
        return tags.drain_generation(self._here.cloud.instances.get(instance_id).tags)

    def power_off(self, instance_id: str) -> None:
        self._here.cloud.instances.power_off(instance_id)


class Ec2World(world.World):
    """The world of tests/unit/nodes on an account that is up."""

    def __init__(self, cloud: emulated.Cloud) -> None:
        self.cloud = cloud
        self.clock = cloud.clock  # type: ignore[assignment]  # a virtual one, by the fixture
        self.cluster = config.loads(CLUSTER + "policy: boundary\n")
        self.store = fakes.MemoryStore()
        self.coordinator = fakes.Coordinator()
        self.nodes = {}
        self.queue, self.done, self.lost, self.terminated = [], [], [], []
        self.boots_work = True
        self.unwanted = set()
        self.managers = {}
        self.provider = WatchedProvider(self)  # type: ignore[assignment]  # the real one instead of the fake
        self.manager("m1")

    def tick(self, seconds: float = 1.0, *, task_time: float = 3.0) -> None:
        self.cloud.advance(seconds)
        for each in self.cloud.instances.all():
            if each.id not in self.nodes and each.state(self.clock.now()) == "running":
                attempt = each.tags.get(tags.ATTEMPT, "")
                self._launched(
                    base.Instance(
                        id=each.id, state="running", profile="small", attempt=attempt, launched=each.launched,
                        instance_type=each.type, zone=each.zone, market="on-demand", tags=each.tags,
                    )
                )  # fmt: skip
        super().tick(0.0, task_time=task_time)

    def settled(self) -> bool:
        """All work is done, every machine gone, the ledger empty."""
        if documents.CONTROL_KEY not in self.store.objects:
            return False
        document = self.document()
        alive = [each for each in self.cloud.instances.all() if each.alive]
        return not (self.queue or alive or self.living() or document.rows or document.intents)

    def settle(self, limit: float = 200.0) -> None:
        begun = self.clock.now()
        while not self.settled():
            assert self.clock.now() - begun < limit, f"not settled after {limit} s: {self.document()}"
            # While nothing lives, only moments of the protocol are waited for.
            self.tick(1.0 if self.living() else 4.0)


@pytest.fixture(scope="module")
def up(builder: bundle.Builder) -> Iterator[emulated.Cloud]:
    timing = emulated.Timing(boot=2.0, list_lag=0.5, shutdown=0.5)
    # An hour ahead: requests are signed with the real date, which must not be later than a launch's last moment.
    with emulated.Cloud(clock=clocks.VirtualClock(time.time() + 3600), timing=timing) as cloud:
        made = DirectClients(cloud)
        shared = accounts.Account(made, formation.Formation(made, pause=0.0))
        for _ in stack.up(config.loads(CLUSTER), shared, builder, lambda: CODE):
            pass
        yield cloud


def play(cloud: emulated.Cloud, cut: int | None, *, forget: bool) -> list[str]:
    """Three tasks for two machines, from launch to drain; the manager is dropped once, after ``cut`` steps.

    Returns the names of its steps until then.
    """
    cloud.forget()
    here = Ec2World(cloud)
    here.add("a", "b", "c")
    taken: list[str] = []
    while not here.settled():
        if "m1" in here.managers:
            steps = here.managers["m1"].steps()
            for step in steps:
                taken.append(step)
                if len(taken) == cut:
                    steps.close()  # type: ignore[attr-defined]  # a generator, dropped as a killed process drops it
                    del here.managers["m1"]
                    here.manager("m2")
                    if forget:
                        cloud.tokens.forget()
                    break
        kept = here.managers.pop("m1", None)
        here.tick(1.0 if here.living() or kept else 4.0)
        if kept is not None:
            here.managers["m1"] = kept
        if "m1" not in here.managers:
            here.settle()
    after = f"after step {cut} ({taken[-1]})"
    assert sorted(here.done) == ["a", "b", "c"], after
    assert not here.lost, after
    assert not here.terminated, after
    # One launch for one demand: two machines of one attempt each way, whoever noticed them.
    workers = [each for each in cloud.instances.all() if not each.group]
    assert len(workers) == 2, f"{after}: {[each.tags for each in workers]}"
    assert {entry.instance for entry in here.ledger()} == {each.id for each in workers}, after
    return taken


def kinds(steps: list[str]) -> list[int]:
    """Where to cut: at the first and at the last step of each kind."""
    plain = [re.sub(r" .*", "", each) for each in steps]
    return [n for n, name in enumerate(plain, 1) if name not in plain[: n - 1] or name not in plain[n:]]


@pytest.mark.parametrize(
    "forget",
    [pytest.param(False, id="tokens remembered", marks=pytest.mark.slow), pytest.param(True, id="tokens forgotten")],
)
def test_the_manager_may_be_dropped_after_any_kind_of_step(up: emulated.Cloud, forget: bool) -> None:
    steps = play(up, None, forget=forget)
    assert {"lease", "renew", "intents", "account"} <= set(steps)
    assert {"launched", "recorded", "marked"} <= {each.split()[0] for each in steps}
    for cut in kinds(steps):
        play(up, cut, forget=forget)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("forget", [False, True], ids=["tokens remembered", "tokens forgotten"])
def test_the_manager_may_be_dropped_after_every_step(up: emulated.Cloud, forget: bool) -> None:
    for cut in range(1, len(play(up, None, forget=forget)) + 1):
        play(up, cut, forget=forget)


def test_a_launch_whose_answer_is_lost_with_its_manager_is_found_by_its_tag(up: emulated.Cloud) -> None:
    up.forget()
    here = Ec2World(up)
    here.add("a")
    up.faults.add(emulated.Fault("ec2:CreateFleet", "lost"))
    for step in here.managers["m1"].steps():
        if step.startswith("unclear"):
            break
    here.managers = {}
    here.manager("m2")
    up.tokens.forget()
    here.settle()
    assert here.done == ["a"]
    assert len(up.record.named("ec2:CreateFleet")) == 1
    assert len(up.instances.all()) == 1


@pytest.mark.parametrize("state", ["pending", "running"])
def test_a_booting_machine_is_cancelled_and_billed_only_if_it_ran(up: emulated.Cloud, state: str) -> None:
    up.forget()
    here = Ec2World(up)
    here.add("a")
    while not any(each.state(here.clock.now()) == state for each in up.instances.all()):
        up.advance(0.5)
        here.managers["m1"].run_pass()
    [booting] = up.instances.all()
    here.unwanted.add(booting.id)
    while booting.alive:
        here.managers["m1"].run_pass()
        up.advance(0.2)  # lists lag
    here.settle()
    assert (here.done, here.lost) == (["a"], [])
    assert booting.id not in here.nodes, "it never worked"
    [entry] = [each for each in here.ledger() if each.instance == booting.id]
    assert (entry.never_ran, entry.cost > 0) == (state == "pending", state == "running")
    assert entry.reason.startswith("cancelled while it booted: ")
    assert not here.document().failures
