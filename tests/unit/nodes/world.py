"""A small world in virtual time: the real reconciler and the drain's real table, on a fake provider, with tasks.

Nodes are simulated after agent and worker: open polls, marks seen late, documents written late, crashes, notices.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.nodes import boot, config, control, drain
from simpleflow.nodes.manager import reconcile
from simpleflow.nodes.policy import decide
from simpleflow.nodes.providers import base, fake

from . import fakes


class Provider(fake.FakeProvider):
    """Remembers terminations of machines whose agent lives and works."""

    def __init__(self, world: World) -> None:
        super().__init__("demo", world.provider_clock)
        self.world = world

    def terminate(self, instance_id: str) -> bool:
        node = self.world.nodes.get(instance_id)
        if node is not None and node.alive:
            self.world.terminated.append((instance_id, tuple(node.running)))
            if node.running or node.poll_open:
                self.world.cut.append(instance_id)
            node.die(self.world)
        return super().terminate(instance_id)

    def forget(self, instance_id: str) -> None:
        """Someone deleted it by hand: no list shows it any more."""
        del self._instances[instance_id]


class Manager(reconcile.Reconciler):
    """The real one, whose plans also cancel what the world calls unwanted and still boots."""

    def __init__(self, world: World, file: control.ControlFile, clock: clocks.Clock) -> None:
        super().__init__(world.cluster, file, world.provider, world.store, world.coordinator, clock)
        self.world = world

    def _act(self, listing: base.Listing) -> Iterator[str]:
        booting = {
            row.instance: row
            for row in self.file.known.rows
            if row.instance in self.world.unwanted
            and row.drain is None
            and ((node := self.observer.nodes.get(row.instance)) is None or node.first_polled is None)
        }
        cancels = [
            decide.Item(instance=name, profile=row.profile, reason="a test does not want it")
            for name, row in booting.items()
        ]
        planned = {each.instance for each in self.plan.cancels}
        more = tuple(each for each in cancels if each.instance not in planned)
        self.plan = msgspec.structs.replace(self.plan, cancels=(*self.plan.cancels, *more))
        yield from super()._act(listing)


class SimNode:
    """One machine: agent and one worker of two slots."""

    def __init__(self, instance: base.Instance, now: float) -> None:
        self.id = instance.id
        self.attempt = instance.attempt
        self.profile = instance.profile
        self.alive = True
        self.state = drain.DrainState.WORKING
        self.boot = boot.BootState.STARTING
        self.generation = 0
        #: control.json as it was read after the document was stored
        self.known: documents.Control | None = None
        self.booted = now
        self.first_polled: float | None = None
        self.idle_since: float | None = None
        self.poll_open = False
        self.running: dict[str, float] = {}
        self.deadline: float | None = None
        self.works = True
        #: its worker ends at each start: it polls nothing, and says why
        self.fault = ""
        #: seconds that its own clock is ahead
        self.ahead = 0.0

    def turn(self, world: World) -> None:
        """One turn of agent and worker: look at marks, open a poll where allowed, drain, report."""
        if not self.alive or not self.works:
            return
        now = self.now(world)
        while self.boot not in {boot.BootState.ADMITTED, boot.BootState.REFUSED}:
            self.begin(world)
        if self.deadline is not None:
            self.event(world, drain.DrainEvent.NOTICE)
        if generation := world.provider.drain_generation(self.id):
            self.generation = generation
            self.event(world, drain.DrainEvent.MARK)
        if self.fault:
            # What the dead worker had times out at the service, and is scheduled again.
            world.queue += sorted(self.running)
            self.running.clear()
            self.poll_open = False
        elif self.state is drain.DrainState.WORKING and len(self.running) < 2:
            self.poll_open = True
            self.first_polled = self.first_polled or now
        self.idle_since = None if self.running else (self.idle_since or now)
        if self.deadline is not None and now >= self.deadline:
            self.event(world, drain.DrainEvent.DEADLINE)
        acknowledged = self.state is not drain.DrainState.WORKING and not self.poll_open and not self.running
        if drain.settled((drain.WorkerView(alive=True, acknowledged=acknowledged),)):
            self.event(world, drain.DrainEvent.SETTLED)
        self.report(world)
        if self.state is drain.DrainState.DRAINED:
            self.event(world, drain.DrainEvent.STORED)

    def begin(self, world: World) -> None:
        """One of the agent's steps before the first poll, each of which may be the last for long."""
        if self.boot is boot.BootState.STARTING:
            self.report(world, "booting")
            self.boot = boot.step(self.boot, boot.BootEvent.STORED)
        elif self.known is None:
            self.known = world.document()
        else:
            event = boot.seen(self.known, self.id, self.attempt)
            self.boot = boot.step(self.boot, event)
            if event is boot.BootEvent.MARKED:
                row = control.row_of(self.known, self.id)
                self.generation = row.generation if row is not None else 0
                self.event(world, drain.DrainEvent.MARK)
            elif event is boot.BootEvent.UNOWNED:
                self.event(world, drain.DrainEvent.ORPHANED)

    def now(self, world: World) -> float:
        return world.clock.now() + self.ahead

    def event(self, world: World, event: drain.DrainEvent) -> None:
        following = drain.step(self.state, event)
        self.state = following.state
        for action in following.actions:
            if action is drain.DrainAction.INTERRUPT:
                self.interrupt(world)
            if action is drain.DrainAction.POWER_OFF:
                if self.running or self.poll_open:
                    world.lost.append((self.id, tuple(self.running)))
                self.die(world)
                world.provider.power_off(self.id)

    def interrupt(self, world: World) -> None:
        """Fail what cannot finish with reason simpleflow.node.interrupted: the decider schedules it again."""
        world.queue += sorted(self.running)
        self.running.clear()
        self.poll_open = False

    def die(self, world: World) -> None:
        """The process is gone; the service times its tasks out and they are scheduled again."""
        self.alive = False
        world.queue += sorted(self.running)
        self.running.clear()
        self.poll_open = False

    def report(self, world: World, state: str = "") -> None:
        known = {"stopping": "draining", "hurrying": "draining", "drained": "acknowledged"}
        state = state or known.get(self.state, "working")
        document = documents.NodeDocument(
            node=self.id,
            profile=self.profile,
            attempt=self.attempt,
            state=state,
            booted=self.booted,
            written=self.now(world),
            health=self.fault or "ok",
            generation=self.generation,
            first_polled=self.first_polled,
            idle_since=self.idle_since,
            task_lists=(
                documents.ListStatus(
                    task_list="light",
                    slots=2,
                    polling=self.poll_open,
                    running=tuple(
                        documents.RunningTask(id=each, started=started)
                        for each, started in sorted(self.running.items())
                    ),
                ),
            ),
        )
        world.store.put(f"nodes/{self.id}.json", msgspec.json.encode(document))


class World:
    """Everything, in one thread."""

    #: seconds that the clocks of new machines are ahead
    nodes_ahead = 0.0

    def __init__(
        self, cluster: config.ClusterConfig | None = None, *, provider: float = 0.0, nodes: float = 0.0
    ) -> None:
        """``provider`` and ``nodes``: seconds that their clocks are ahead of the world's."""
        self.clock = fakes.virtual()
        self.provider_clock = fakes.Skewed(self.clock, provider)
        self.nodes_ahead = nodes
        self.cluster = cluster or fakes.cluster()
        self.store = fakes.MemoryStore()
        self.coordinator = fakes.Coordinator()
        self.nodes: dict[str, SimNode] = {}
        self.provider = Provider(self)
        self.provider.on_launch = self._launched
        self.queue: list[str] = []
        self.done: list[str] = []
        #: what a node still had when it powered itself off; what it had when it was terminated
        self.lost: list[tuple[str, tuple[str, ...]]] = []
        self.terminated: list[tuple[str, tuple[str, ...]]] = []
        #: machines that the manager ended while they polled or worked
        self.cut: list[str] = []
        #: machines that no manager wants, if they still boot
        self.unwanted: set[str] = set()
        self.boots_work = True
        self.managers: dict[str, reconcile.Reconciler] = {}
        self.manager("m1")

    def _launched(self, instance: base.Instance) -> None:
        node = self.nodes[instance.id] = SimNode(instance, self.clock.now() + self.nodes_ahead)
        node.ahead = self.nodes_ahead
        node.works = self.boots_work

    def manager(self, name: str, clock: clocks.Clock | None = None) -> reconcile.Reconciler:
        """A fresh manager process of this name, with a clock of its own."""
        clock = clock or self.clock
        file = control.ControlFile(self.store, "demo", name, clock)
        made = Manager(self, file, clock)
        self.managers[name] = made
        return made

    def publish(self) -> None:
        """What the decider's document says: everything that is scheduled, queued or running."""
        count = len(self.queue) + sum(len(node.running) for node in self.nodes.values())
        row = documents.RunRow(
            run_id="r",
            workflow_id="w",
            workflow="demo",
            started_event_id=self.store.puts + 1,
            changed=self.clock.now(),
            tasks=(documents.TaskCount(task_list="light", activity="a", state="scheduled", count=count),),
        )
        document = documents.DemandDocument(decider="d", written=self.clock.now(), runs=(row,))
        self.store.put("demand/d.json", msgspec.json.encode(document))
        self.coordinator.runs["r"] = fakes.observe.OpenRun(workflow_id="w", run_id="r", workflow="demo")

    def add(self, *names: str) -> None:
        self.queue += names
        self.publish()

    def hand_out(self) -> None:
        """The service hands the queue to open polls, one task a poll."""
        for node in self.living():
            if self.queue and node.poll_open:
                node.running[self.queue.pop(0)] = node.now(self)
                node.poll_open = False

    def finish(self, node: SimNode, name: str) -> None:
        del node.running[name]
        self.done.append(name)
        self.publish()

    def living(self) -> list[SimNode]:
        return [node for _, node in sorted(self.nodes.items()) if node.alive]

    def tick(self, seconds: float = 1.0, *, task_time: float = 3.0) -> None:
        """A second of an undisturbed world."""
        self.clock.advance(seconds)
        for name in list(self.managers):
            self.managers[name].run_pass()
        for node in self.living():
            if node.state is not drain.DrainState.WORKING:
                node.poll_open = False
            for task, started in list(node.running.items()):
                if node.now(self) - started >= task_time:
                    self.finish(node, task)
            node.turn(self)
        self.hand_out()

    def ledger(self) -> list[documents.LedgerEntry]:
        return [
            msgspec.json.decode(content, type=documents.LedgerEntry)
            for key, (content, _) in sorted(self.store.objects.items())
            if key.startswith("ledger/")
        ]

    def document(self) -> documents.Control:
        return msgspec.json.decode(self.store.objects["control.json"][0], type=documents.Control)
