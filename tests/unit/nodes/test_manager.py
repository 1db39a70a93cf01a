"""The manager's process around the reconciler: how many deciders, what wakes it, when it is finished; its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from simpleflow.core import clock as clocks
from simpleflow.nodes import config, control
from simpleflow.nodes.manager import manager, reconcile
from simpleflow.nodes.policy import decider_count
from simpleflow.process import kept, tether, tree

from . import fakes

SLEEPER = (sys.executable, "-c", "import time; time.sleep(60)")


def deciders(least: int, most: int, clock: clocks.Clock) -> decider_count.DeciderCount:
    cluster = fakes.cluster()
    numbers = msgspec.structs.replace(cluster.deciders, min=least, max=most)
    return decider_count.DeciderCount(msgspec.structs.replace(cluster, deciders=numbers), clock)


def test_the_first_decider_comes_with_the_first_decision_task_and_goes_when_nothing_is_open() -> None:
    clock = fakes.virtual()
    made = deciders(0, 2, clock)
    assert made.wanted(0, open_runs=False) == 0
    assert made.wanted(1, open_runs=False) == 1
    clock.advance(9)
    assert made.wanted(0, open_runs=False) == 1, "it lingers"
    clock.advance(1000)
    assert made.wanted(0, open_runs=True) == 1, "an open run keeps it, however long it waits"
    clock.advance(1000)
    assert made.wanted(0, open_runs=False) == 0


def test_a_growing_queue_brings_more_up_to_the_maximum_and_min_stays_without_work() -> None:
    clock = fakes.virtual()
    assert deciders(0, 3, clock).wanted(1000, open_runs=True) == 3
    assert deciders(0, 3, clock).wanted(11, open_runs=True) == 2
    assert deciders(1, 3, clock).wanted(0, open_runs=False) == 1


def test_one_that_was_added_goes_when_no_task_has_waited_for_a_while_though_runs_are_open() -> None:
    clock = fakes.virtual()
    count = deciders(0, 3, clock)
    times = fakes.cluster().settings
    assert count.wanted(21, open_runs=True) == 3
    for _ in range(40):
        clock.advance(times.loop)
        assert count.wanted(0, open_runs=True) == 3
    clock.advance(times.loop)
    assert count.wanted(0, open_runs=True) == 1
    assert count.wanted(11, open_runs=True) == 2


class Keeper:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def keep(self, pending: int, open_runs: bool) -> None:
        self.calls.append("keep")

    def follow(self) -> None:
        self.calls.append("follow")

    def end(self, patience: float) -> None:
        self.calls.append("end")


class Rig:
    """A manager whose passes are the real ones on fakes, run in this thread."""

    def __init__(self, folder: Path, store: fakes.MemoryStore, name: str = "m1") -> None:
        from simpleflow.nodes.providers import fake

        clock = clocks.RealClock()
        cluster = fakes.cluster()
        times = {"loop": 30.0}
        cluster = msgspec.structs.replace(cluster, times={**cluster.times, **times})
        file = control.ControlFile(store, "demo", name, clock)
        coordinator = fakes.Coordinator()
        self.reconciler = reconcile.Reconciler(
            cluster, file, fake.FakeProvider("demo", clock), store, coordinator, clock
        )
        self.keeper = Keeper()
        self.ending, self.resume, self.demand = folder / "ending", folder / "resume", folder / "demand"
        self.manager = manager.Manager(
            self.reconciler, coordinator, self.keeper, self.ending, self.resume, [self.demand]
        )
        self.passes = 0
        original = self.reconciler.run_pass

        def counted() -> None:
            self.passes += 1
            original()

        self.reconciler.run_pass = counted  # type: ignore[method-assign]  # only counts


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_what_up_asks_during_a_pass_is_for_the_next_one_and_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, fakes.MemoryStore())
    rig.demand.mkdir()
    run_pass, looks = rig.reconciler.run_pass, list[tuple[bool, bool]]()
    published = [False]

    def one_pass() -> None:
        looks.append((rig.reconciler.resume, published[0]))
        run_pass()
        if len(looks) == 1:
            # `up` publishes, then asks: both after this pass has looked.
            published[0] = True
            rig.resume.touch()
        (rig.demand / str(len(looks))).touch()
        if len(looks) == 3:
            rig.ending.write_text("drain")

    monkeypatch.setattr(rig.reconciler, "run_pass", one_pass)
    assert rig.manager.run() == 0
    assert looks[:3] == [(False, False), (True, True), (False, True)]
    assert not rig.resume.exists()


@pytest.mark.usefixtures("signals")
def test_a_deciders_document_begins_a_pass_before_its_time_and_ending_ends_the_manager(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fakes.MemoryStore())
    rig.demand.mkdir()
    rig.resume.touch()
    seen: list[int] = []

    def change() -> None:
        while not rig.passes:
            time.sleep(0.01)
        (rig.demand / "d.json").touch()
        limit = time.monotonic() + 120
        while rig.passes < 2 and time.monotonic() < limit:
            time.sleep(0.01)
        seen.append(rig.passes)
        rig.ending.write_text("drain")

    other = threading.Thread(target=change)
    other.start()
    assert rig.manager.run() == 0
    other.join()
    assert seen == [2], "the loop is 30 s: only the change can have begun the second pass"
    assert not rig.resume.exists()
    assert rig.keeper.calls == ["keep", "keep", "end", "end"]
    assert rig.reconciler.file.read().lease is None


@pytest.mark.usefixtures("signals")
def test_a_manager_that_does_not_lead_keeps_no_decider(tmp_path: Path) -> None:
    store = fakes.MemoryStore()
    other = control.ControlFile(store, "demo", "other", clocks.RealClock())
    other.replace(control.take(other.read(), "other", time.time()))
    rig = Rig(tmp_path, store)
    threading.Timer(0.3, rig.manager.stop).start()
    rig.manager.run()
    assert set(rig.keeper.calls) == {"follow", "end"}
    assert control.holds(other.read(), "other"), "the lease of another is left alone"


@pytest.mark.needs_processes
def test_a_child_is_kept_with_growing_pauses_and_a_clean_end_is_noticed() -> None:
    clock = fakes.virtual()
    child = kept.Tethered("short", [sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ), clock.monotonic)
    pauses = []
    for _ in range(3):
        began = clock.monotonic()
        while not child.keep():
            clock.advance(0.25)
        pauses.append(clock.monotonic() - began)
        limit = time.monotonic() + 120
        while child.alive():
            assert time.monotonic() < limit
            time.sleep(0.01)
    assert pauses == [0.0, 0.5, 1.0]
    assert (child.deaths, child.last_code) == (3, 3)


@pytest.mark.needs_processes
def test_a_child_that_is_asked_again_gets_one_signal(tmp_path: Path) -> None:
    """A worker or a decider takes a second SIGTERM for "hurry", and cuts its work off."""
    program = (
        "import pathlib, signal, sys, time; here = pathlib.Path(sys.argv[1]); seen = []\n"
        "def note(number, frame):\n"
        "    seen.append(number); (here / f'signal-{len(seen)}').touch()\n"
        "signal.signal(signal.SIGTERM, note); (here / 'ready').touch()\n"
        "while not (here / 'go').exists(): time.sleep(0.01)\n"
    )
    child = kept.Tethered("d", [sys.executable, "-c", program, str(tmp_path)], dict(os.environ))
    child.keep()
    wait_for(tmp_path / "ready")
    child.ask()
    wait_for(tmp_path / "signal-1")
    child.ask()
    threading.Timer(0.5, (tmp_path / "go").touch).start()
    child.end(20.0)
    assert not (tmp_path / "signal-2").exists()


def wait_for(path: Path) -> None:
    limit = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < limit, path
        time.sleep(0.01)


@pytest.mark.needs_processes
def test_what_is_tethered_ends_with_the_process_that_began_it() -> None:
    program = (
        "import subprocess, sys, time; from simpleflow.process import tether\n"
        f"child = subprocess.Popen(tether.command(*{SLEEPER!r}))\n"
        "print(child.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        below = psutil.Process(int(parent.stdout.readline()))
        limit = time.monotonic() + 120
        while "tether.py" in " ".join(below.cmdline()):
            assert time.monotonic() < limit
            time.sleep(0.01)
        parent.kill()
    while tree.lives(below):
        assert time.monotonic() < limit, "it outlived its parent"
        time.sleep(0.01)


def test_what_comes_too_late_to_be_tethered_does_not_begin() -> None:
    command = tether.command(*SLEEPER)
    command[command.index(str(os.getpid()))] = "1"  # as if the parent had died meanwhile
    assert subprocess.run(command, timeout=20).returncode == 128 + signal.SIGTERM


def test_the_command_of_a_decider_names_where_it_polls_and_what_it_loads() -> None:
    cluster = msgspec.structs.replace(
        fakes.cluster(), deciders=config.Deciders(workflows=("jobs.Nightly",), processes=2)
    )
    words = manager.decider_command(cluster, "unix:///run/swf.sock")
    assert words[words.index("--endpoint-url") + 1] == "unix:///run/swf.sock"
    assert words[words.index("decider.start") :] == [
        *("decider.start", "--domain", "demo", "--task-list", "demo", "--nb-processes", "2", "jobs.Nightly")
    ]
    assert "swf" in manager.decider_command(cluster, "")
