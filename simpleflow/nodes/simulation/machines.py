"""The machines of a simulation: they boot, poll, work, drain by the real drain table, and write their documents."""

from __future__ import annotations

import random
from collections import deque

import msgspec

from simpleflow.core import documents
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import boot, config, control, drain
from simpleflow.nodes.providers import base as providers
from simpleflow.nodes.providers import fake

from . import deciders, timeline

#: a boot takes the configured time multiplied by a random factor between these, evenly distributed
BOOT = (0.8, 1.2)
#: seconds from an acknowledgement to the machine's end
OFF = 1.0
#: seconds, the last ones of a boot, from the agent's start to the first poll
STARTING = 1.0
#: the first part of a profile's boot time, in which a machine is pending: it does not run yet, and is not billed
PENDING = 0.15


class Machine:
    """One machine: its agent, and a worker for each list."""

    __slots__ = ("attempt", "boot", "busy_since", "dirty", "finished", "first_polled", "id", "idle_since", "launched",
                 "notice", "profile", "running", "settle", "slots", "state", "written")  # fmt: skip

    def __init__(self, instance: providers.Instance, slots: tuple[tuple[str, int], ...]) -> None:
        self.id, self.attempt, self.profile = instance.id, instance.attempt, instance.profile
        self.launched = instance.launched
        self.slots = slots
        self.state = drain.DrainState.WORKING
        self.boot = boot.BootState.STARTING
        self.first_polled: float | None = None
        self.idle_since: float | None = None
        #: (run, task) -> when it began
        self.running: dict[tuple[int, int], float] = {}
        self.finished: dict[tuple[str, str], list[float]] = {}
        self.notice = False
        #: after this moment no poll of the machine is open
        self.settle = float("inf")
        self.dirty = True
        self.written = -float("inf")


class Counts:
    """Totals of a simulation."""

    def __init__(self) -> None:
        self.launches = 0
        #: machines that the manager ended before they had a document
        self.cancelled = 0
        #: tasks that lost their machine by a notice, and tasks that lost it by the manager
        self.interrupted = self.lost = 0
        #: tasks that were handed out, and seconds that they had waited before that
        self.handed, self.waited = 0, 0.0
        #: seconds that tasks ran, seconds that machines lived, and seconds that slots existed
        self.worked = self.lived = self.capacity = 0.0


class _Provider(fake.FakeProvider):
    """Tells the simulated machines of marks and terminations."""

    def __init__(self, machines: Machines, cluster: config.ClusterConfig, time: timeline.Timeline) -> None:
        super().__init__(cluster.cluster, time.clock)
        self._machines = machines
        self._boots = {name: cluster.boot_of(name) for name in cluster.profiles}

    def pending_of(self, profile: str) -> float:
        return PENDING * self._boots[profile]

    def mark(self, instance_id: str, generation: int) -> None:
        super().mark(instance_id, generation)
        self._machines.marked(instance_id)

    def terminate(self, instance_id: str) -> bool:
        self._machines.taken(instance_id)
        return super().terminate(instance_id)


class Machines:
    """All machines, and the queues of the service that they poll."""

    def __init__(
        self,
        cluster: config.ClusterConfig,
        time: timeline.Timeline,
        runs: deciders.Deciders,
        store: blobs.BlobStore,
        *,
        interrupted: float,
        seed: int,
    ) -> None:
        self._cluster = cluster
        self._time = time
        self._times = cluster.settings
        self._deciders = runs
        self._store = store
        self._interrupted_per_hour = interrupted
        self._rng = random.Random(seed)  # noqa: S311  # a simulation, repeated by its seed
        self.living: dict[str, Machine] = {}
        self.queues: dict[str, deque[tuple[int, int]]] = {name: deque() for name in cluster.task_lists}
        #: open polls, the oldest first; polls of machines that drain or have ended are skipped
        self._polls: dict[str, deque[str]] = {name: deque() for name in cluster.task_lists}
        self.counts = Counts()
        self.provider = _Provider(self, cluster, time)
        self.provider.on_launch = self._launched

    def _launched(self, instance: providers.Instance) -> None:
        machine = Machine(instance, self._cluster.lists_of(instance.profile))
        self.living[machine.id] = machine
        self.counts.launches += 1
        polls = self._time.now + self._cluster.boot_of(machine.profile) * self._rng.uniform(*BOOT)
        self._time.at(max(polls - STARTING, self._time.now), self._begin, machine.id)
        self._time.at(polls, self._poll, machine.id)
        if self._interrupted_per_hour > 0 and self._cluster.profiles[machine.profile].market == "spot":
            self._time.at(
                self._time.now + self._rng.expovariate(self._interrupted_per_hour / 3600.0), self._noticed, machine.id
            )

    def _begin(self, name: str) -> None:
        """The agent begins: it stores its document, then looks for its mark, which may have been set meanwhile."""
        machine = self.living.get(name)
        if machine is None:
            return
        self._write(machine, [])
        machine.boot = boot.step(machine.boot, boot.BootEvent.STORED)
        got = self._store.get(documents.CONTROL_KEY)
        assert got is not None
        event = boot.seen(control.decoded(got[0], self._store.url), name, machine.attempt)
        machine.boot = boot.step(machine.boot, event)
        if machine.boot is boot.BootState.REFUSED:
            self._stop(machine, drain.DrainEvent.MARK)

    def _poll(self, name: str) -> None:
        """The machine has booted, and its workers begin to poll."""
        machine = self.living.get(name)
        if machine is None or machine.state is not drain.DrainState.WORKING:
            return
        assert machine.boot is boot.BootState.ADMITTED
        machine.first_polled = machine.idle_since = self._time.now
        machine.dirty = True
        for task_list, slots in machine.slots:
            self._polls[task_list].extend([name] * slots)
            self._hand_out(task_list)

    def queue(self, place: int, task: int) -> None:
        """Queue a task until a poll is open."""
        name = self._deciders.runs[place].tasks[task].task_list
        self.queues[name].append((place, task))
        self._hand_out(name)

    def _hand_out(self, task_list: str) -> None:
        queue, polls = self.queues[task_list], self._polls[task_list]
        while queue and polls:
            machine = self.living.get(polls.popleft())
            if machine is None or machine.state is not drain.DrainState.WORKING:
                continue
            place, task = queue.popleft()
            now = self._time.now
            machine.running[place, task] = now
            machine.idle_since = None
            machine.dirty = True
            self.counts.waited += now - self._deciders.known[place][task]
            self.counts.handed += 1
            self._time.at(
                now + self._deciders.runs[place].tasks[task].seconds, self._finish, machine.id, place, task, now
            )

    def _finish(self, name: str, place: int, task: int, began: float) -> None:
        machine = self.living.get(name)
        if machine is None or machine.running.get((place, task)) != began:
            return  # the task has lost its machine meanwhile
        del machine.running[place, task]
        now, each = self._time.now, self._deciders.runs[place].tasks[task]
        counted = machine.finished.setdefault((each.task_list, each.activity), [0, 0.0, 0.0])
        counted[0] += 1
        counted[1] += now - began
        counted[2] = max(counted[2], now - began)
        self.counts.worked += now - began
        machine.dirty = True
        if not machine.running:
            machine.idle_since = now
        self._deciders.closed(place, task)
        if machine.state is drain.DrainState.WORKING:
            self._polls[each.task_list].append(name)
            self._hand_out(each.task_list)
        else:
            self._settle(name)

    def marked(self, name: str) -> None:
        """The mark is set; the agent sees it when it next reads metadata."""
        self._time.at(self._time.now + self._times.metadata, self._seen, name)

    def _seen(self, name: str) -> None:
        machine = self.living.get(name)
        if machine is None or not self.provider.drain_generation(name):
            return
        self._stop(machine, drain.DrainEvent.MARK)

    def _noticed(self, name: str) -> None:
        """The provider gives notice that it will end the machine."""
        machine = self.living.get(name)
        if machine is None:
            return
        machine.notice = True
        self._stop(machine, drain.DrainEvent.NOTICE)
        self._time.at(self._time.now + self._times.notice, self._deadline, name)

    def _stop(self, machine: Machine, event: drain.DrainEvent) -> None:
        following = drain.step(machine.state, event)
        if following.state is machine.state:
            return
        machine.state = following.state
        machine.dirty = True
        # An open poll of Amazon SWF ends within this time; the embedded service revokes it at once.
        wait = self._times.poll if self._cluster.provider == "ec2" and not machine.notice else 0.0
        machine.settle = self._time.now + wait
        self._time.at(machine.settle, self._settle, machine.id)

    def _settle(self, name: str) -> None:
        machine = self.living.get(name)
        if machine is None or machine.running or self._time.now < machine.settle:
            return
        following = drain.step(machine.state, drain.DrainEvent.SETTLED)
        if following.state is drain.DrainState.DRAINED and machine.state is not following.state:
            machine.state = following.state
            machine.dirty = True
            self._time.at(self._time.now + OFF, self._off, name)

    def _off(self, name: str) -> None:
        machine = self.living.get(name)
        if machine is not None:
            self.counts.lost += len(machine.running)
            self._end(machine)
            fake.FakeProvider.terminate(self.provider, name)

    def _deadline(self, name: str) -> None:
        """The provider ends the machine: its tasks fail as interrupted, and are scheduled again at once."""
        if (machine := self.living.get(name)) is not None:
            self.counts.interrupted += len(machine.running)
            self._end(machine)
            fake.FakeProvider.terminate(self.provider, name)

    def taken(self, name: str) -> None:
        """The manager ends the machine: its tasks time out, and run again."""
        if (machine := self.living.get(name)) is not None:
            self.counts.lost += len(machine.running)
            self.counts.cancelled += machine.boot is boot.BootState.STARTING
            self._end(machine)

    def _end(self, machine: Machine) -> None:
        del self.living[machine.id]
        self.counts.lived += self._time.now - machine.launched
        slots = sum(number for _, number in machine.slots)
        self.counts.capacity += slots * (self._time.now - machine.launched)
        if machine.boot is not boot.BootState.STARTING:
            machine.state = drain.DrainState.ENDED
            self._write(machine, sorted(machine.running))
        for place, task in sorted(machine.running):
            self.queue(place, task)

    def report(self) -> None:
        """Each agent writes its document after a change, and at intervals without a change."""
        now = self._time.now
        for machine in self.living.values():
            if machine.boot is boot.BootState.STARTING:
                continue
            age = now - machine.written
            if age >= (self._times.document_min if machine.dirty else self._times.document_max):
                self._write(machine, sorted(machine.running))

    def _write(self, machine: Machine, running: list[tuple[int, int]]) -> None:
        known = {"drained": "acknowledged", "ended": "ended"}
        known["working"] = "booting" if machine.first_polled is None else "working"
        state = known.get(machine.state, "draining")
        by_list: dict[str, list[documents.RunningTask]] = {}
        for place, task in running:
            each, run = self._deciders.runs[place].tasks[task], self._deciders.runs[place].run_id
            shown = documents.RunningTask(
                id=f"{run}/{task}", started=machine.running[place, task], activity=each.activity
            )
            by_list.setdefault(each.task_list, []).append(shown)
        document = documents.NodeDocument(
            node=machine.id,
            profile=machine.profile,
            attempt=machine.attempt,
            state=state,  # type: ignore[arg-type]  # one of the four
            booted=machine.launched,
            written=self._time.now,
            first_polled=machine.first_polled,
            idle_since=machine.idle_since,
            task_lists=tuple(
                documents.ListStatus(
                    task_list=name,
                    slots=slots,
                    polling=machine.state is drain.DrainState.WORKING and machine.first_polled is not None,
                    running=tuple(by_list.get(name, ())),
                    finished=tuple(
                        documents.Finished(activity=activity, count=int(count), seconds=seconds, longest=longest)
                        for (task_list, activity), (count, seconds, longest) in machine.finished.items()
                        if task_list == name
                    ),
                )
                for name, slots in machine.slots
            ),
        )
        self._store.put(f"{documents.NODES_PREFIX}{machine.id}.json", msgspec.json.encode(document))
        machine.dirty, machine.written = False, self._time.now
