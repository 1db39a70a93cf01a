"""A million drains, played fast with the steps of the product: no task is lost to a voluntary scale-down.

One node and what is around it, as plain values: polls that are open at the mark, tasks handed to them late, marks seen
late and repeated, documents written late, managers that look at what is old; machines that still boot at the mark, and
are ended if they have no document. The node's own side goes by ``boot.step``, ``drain.step`` and ``drain.settled``, the
manager's by ``cancel``, ``model.observe`` and ``decide``.
"""

from __future__ import annotations

import random

import pytest

from simpleflow.core import documents
from simpleflow.nodes import boot, cancel, config, drain, model
from simpleflow.nodes.policy import decide
from simpleflow.nodes.policy import snapshot as snapshots

S, E, A = drain.DrainState, drain.DrainEvent, drain.DrainAction
CLUSTER = config.loads(
    "cluster: demo\nprofiles: {p: {billing: {period: 1, minimum: 2, price: 1}, boot: 2}}\n"
    "task_lists: {work: {profile: p, slots: 2, max: 9}}\npreset: aws\n"
)
SLOTS = 2
B, BE = boot.BootState, boot.BootEvent
#: the ledger before and after the mark
FREE = documents.Control(
    cluster="demo",
    rows=(documents.Row(instance="n", profile="p", attempt="a", price=1, since=0.0, until=1e9, order=1),),
)
CANCELLED = cancel.mark(FREE, {"n": "not wanted"}, 1000.0)


class Drain:
    """One drain of one node, from the decision to the power-off."""

    def __init__(self, chosen: random.Random) -> None:
        self._random = chosen.random
        self.state = S.WORKING
        self.now = 1000.0
        self.marked = False
        #: polls that the service holds open, tasks that run, tasks that wait at the service
        self.polls = int(self._random() * (SLOTS + 1))
        self.running = int(self._random() * (SLOTS + 1 - self.polls))
        self.waiting = int(self._random() * 4)
        self.done = 0
        self.total = self.running + self.waiting
        self.powered_off = False
        self.lost = 0
        #: the document as the manager may see it: (state, running, written)
        self.seen = ("working", self.running, self.now)

    def play(self) -> None:
        """Until the machine is off."""
        pick = self._random
        for _ in range(400):
            chance = pick()
            self.now += chance
            if chance < 0.2:
                self._turn()
            elif chance < 0.4:
                if self.waiting and self.polls:
                    # The service hands a task to a poll that is open, whatever was marked meanwhile.
                    self.waiting -= 1
                    self.polls -= 1
                    self.running += 1
            elif chance < 0.6:
                if self.running:
                    self.running -= 1
                    self.done += 1
            elif chance < 0.7:
                if self.polls:
                    self.polls -= 1
            elif chance < 0.8:
                self.marked = True
            elif chance < 0.9:
                self._worker()
            if self.powered_off:
                return
        raise AssertionError("the drain does not end")

    def _worker(self) -> None:
        """It opens polls for its free slots, until it was told to open no more."""
        if self.state is S.WORKING and self.polls + self.running < SLOTS:
            self.polls += 1

    def _turn(self) -> None:
        """One turn of the agent."""
        if self.marked:
            self._event(E.MARK)
        acknowledged = self.state is not S.WORKING and not self.polls and not self.running
        if drain.settled((drain.WorkerView(alive=True, acknowledged=acknowledged),)):
            self._event(E.SETTLED)
        if self._random() < 0.7:
            state = {S.STOPPING: "draining", S.DRAINED: "acknowledged"}.get(self.state, "working")
            self.seen = (state, self.running, self.now)
            if self.state is S.DRAINED:
                self._event(E.STORED)

    def _event(self, event: drain.DrainEvent) -> None:
        following = drain.step(self.state, event)
        self.state = following.state
        if A.INTERRUPT in following.actions:
            self.lost += self.running
        if A.POWER_OFF in following.actions:
            self.powered_off = True
            self.lost += self.running + self.polls


class Cancelled(Drain):
    """One machine that still boots at the mark: its agent and the manager go their ways to each other's news."""

    def __init__(self, chosen: random.Random) -> None:
        super().__init__(chosen)
        self.polls = self.running = 0
        self.total = self.waiting
        self.boot = B.STARTING
        self.stored = False
        self.ledger = FREE
        #: control.json as the agent read it; the mark that the manager found without a document
        self.read: documents.Control | None = None
        self.absent: dict[str, int] | None = None
        self.ended = False

    def play(self) -> None:
        """Until the machine is off."""
        while not self.powered_off and self.boot in {B.STARTING, B.ANNOUNCED} and self.state is S.WORKING:
            (self._begin if self._random() < 0.5 else self._cancel)()
        if not self.powered_off:
            super().play()

    def _begin(self) -> None:
        """One effect of the agent before its first poll."""
        if self.boot is B.STARTING:
            if self.stored:
                self.boot = boot.step(self.boot, BE.STORED)
            self.stored = True
        elif self.read is None:
            self.read = self.ledger
        else:
            event = boot.seen(self.read, "n", "a")
            self.boot = boot.step(self.boot, event)
            if event is BE.MARKED:
                self._event(E.MARK)

    def _worker(self) -> None:
        if self.boot is B.ADMITTED:
            super()._worker()

    def _turn(self) -> None:
        # The mark is there for the agent's later looks as soon as it is written.
        self.marked = self.ledger is not FREE
        super()._turn()
        if self._random() < 0.5:
            self._cancel()

    def _cancel(self) -> None:
        """One effect of the manager."""
        if self.ledger is FREE:
            self.ledger = CANCELLED
        elif self.ledger is CANCELLED and self.absent is None:
            self.absent = {} if self.stored else cancel.waiting(self.ledger)
        elif self.ledger is CANCELLED and self.absent:
            self.ledger = cancel.end(self.ledger, self.absent, "m", 2000.0)
        elif self.ledger.intents:
            self.powered_off = self.ended = True
            self.lost += self.running + self.polls


def ended_by_the_manager(drained: Drain, now: float) -> bool:
    """Whether the product's decision would end this machine by force, as it sees it."""
    state, running, written = drained.seen
    document = documents.NodeDocument(
        node="n",
        profile="p",
        attempt="a",
        state=state,
        booted=0.0,
        written=written,
        first_polled=1.0,
        task_lists=(
            documents.ListStatus(
                task_list="work",
                slots=SLOTS,
                polling=bool(drained.polls),
                running=tuple(
                    documents.RunningTask(id=f"r/{place}", started=written - 50, start_to_close=3600.0)
                    for place in range(running)
                ),
            ),
        ),
    )
    row = documents.Row(
        instance="n", profile="p", attempt="a", price=1, since=0.0, until=1e9, drain=1, draining_since=1000.0
    )
    seen = model.observe(row, listed="running", document=document, ending=False)
    node = model.Node(row=row, state=seen, running=True, document=document, age=now, heard=min(now - written, 500.0))
    plan = decide.decide(snapshots.Snapshot(now=now, cluster=CLUSTER, nodes=(node,), prices={"p": 1}))
    return bool(plan.terminates)


def drains(count: int, *, asked: int) -> int:
    """Play so many; of one in ``asked`` the manager decides as well. Returns how many tasks ran on their nodes."""
    chosen, worked, ended = random.Random(count), 0, 0
    for number in range(count):
        each = Cancelled(chosen) if number % 4 == 3 else Drain(chosen)
        if number % asked == 0:
            for _ in range(8):
                each._turn()
                each._worker()
                assert not ended_by_the_manager(each, each.now + 300.0 * chosen.random())
                if each.powered_off:
                    break
        if not each.powered_off:
            each.play()
        assert not each.lost, number
        assert each.total == each.done + each.waiting, number
        worked += each.done
        ended += isinstance(each, Cancelled) and each.ended
    assert ended > count // 50
    return worked


def test_ten_thousand_drains_lose_no_task() -> None:
    assert drains(10_000, asked=100) > 5_000


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_million_drains_lose_no_task() -> None:
    assert drains(1_000_000, asked=200) > 500_000


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param({(S.STOPPING, E.MARK): drain.Step(S.DRAINED, (A.ACKNOWLEDGE,))}, id="the second mark hurries it"),
        pytest.param({(S.WORKING, E.MARK): drain.Step(S.DRAINED, (A.ACKNOWLEDGE,))}, id="it acknowledges at once"),
    ],
)
def test_a_simpler_drain_loses_tasks(
    mutant: dict[tuple[drain.DrainState, drain.DrainEvent], drain.Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "TABLE", {**drain.TABLE, **mutant})
    with pytest.raises(AssertionError):
        drains(1000, asked=10_000)


def test_a_machine_that_polls_before_it_reads_control_json_loses_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "TABLE", {**boot.TABLE, (B.STARTING, BE.STORED): B.ADMITTED})
    with pytest.raises(AssertionError):
        drains(1000, asked=10_000)


def test_a_worker_that_counts_no_open_poll_loses_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """SWF may hand a task to a poll for up to 60 s after the mark."""
    turn = Drain._turn

    def hasty(self: Drain) -> None:
        polls, self.polls = self.polls, 0
        turn(self)
        if not self.powered_off:
            self.polls = polls
        else:
            self.lost += polls

    monkeypatch.setattr(Drain, "_turn", hasty)
    with pytest.raises(AssertionError):
        drains(1000, asked=10_000)
