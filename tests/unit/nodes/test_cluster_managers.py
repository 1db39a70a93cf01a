"""Five manager processes of one cluster, stopped, woken and killed at random while workflows run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from simpleflow.client import connect
from simpleflow.core import documents
from simpleflow.nodes import stores

from .rig import FROM_ZERO, ROOT, WIDE, Rig
from .test_cluster_drain import Run

pytestmark = [pytest.mark.slow, pytest.mark.needs_processes, pytest.mark.timeout(1200)]

MANAGERS, MOST, RUNS, TASKS = 5, 6, 4, 60


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    text = FROM_ZERO.replace("slots: 2, max: 2", f"slots: 1, max: {MOST}")
    text = text.replace("loop: 0.5", "loop: 0.5, lease: 2, lease_renew: 0.5")
    made = Rig(tmp_path, text.replace("deciders: {", "policy: boundary\ndeciders: {min: 1, "))
    made.cluster.bring_up(directory=str(ROOT))
    yield made
    made.close()


class Managers:
    """The supervisor's own one, which it starts again, and others, which this class starts again."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig = rig
        self.chosen = random.Random(seed)
        self.others = [self._start() for _ in range(MANAGERS - 1)]
        #: number of a manager -> until when it rests, and what wakes it
        self.resting: dict[int, tuple[float, contextlib.ExitStack]] = {}
        self.stops = self.kills = 0

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "simpleflow.cli.sfnodes", "manager", str(self.rig.file)]
        log = self.rig.file.with_name("managers.log").open("ab")
        with log:
            return subprocess.Popen(command, env=self.rig.environment, cwd=ROOT, stdout=log, stderr=log)

    def _pid(self, number: int) -> int | None:
        return self.others[number].pid if number < len(self.others) else self.rig.cluster.up.manager

    def disturb(self) -> None:
        """Wake those that have rested; stop or kill another one now and then."""
        now = time.monotonic()
        for number, (until, stack) in list(self.resting.items()):
            if now >= until:
                del self.resting[number]
                stack.close()
        number = self.chosen.randrange(MANAGERS)
        pid = self._pid(number)
        if pid is None or number in self.resting:
            return
        if self.chosen.random() < 0.25:
            self.kills += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if number < len(self.others):
                self.others[number].wait()
                self.others[number] = self._start()
        elif len(self.resting) < MANAGERS - 1:
            self.stops += 1
            stack = contextlib.ExitStack()
            with contextlib.suppress(ProcessLookupError):
                stack.enter_context(contextlib.suppress(ProcessLookupError))
                stack.enter_context(self.rig.paused(pid))
                self.resting[number] = (now + self.chosen.uniform(0.3, 6.0), stack)

    def wake(self) -> None:
        for _, stack in self.resting.values():
            stack.close()
        self.resting.clear()

    def end(self) -> None:
        self.wake()
        for each in self.others:
            each.terminate()
        for each in self.others:
            each.wait(WIDE)


@pytest.mark.parametrize("seed", range(2))
def test_five_managers_lose_no_task_reap_no_live_machine_and_launch_no_more_than_is_wanted(rig: Rig, seed: int) -> None:
    managers = Managers(rig, seed)
    try:
        with connect.connect(domain=rig.cluster.config.swf_domain, endpoint_url=rig.cluster.paths.endpoint) as service:
            runs = [Run(rig, service, f"naps-{number}", TASKS, 0, seconds=0.5) for number in range(RUNS)]
            limit, most = time.monotonic() + 600, 0
            holders = set()
            while not all(each.closed() for each in runs):
                assert time.monotonic() < limit, ([each.counts() for each in runs], rig.cluster.status())
                managers.disturb()
                control = rig.control()
                holders |= {control.lease.holder} if control.lease else set()
                alive = [each for each in rig.cluster.status().nodes if each.state != "gone" and each.ended is None]
                most = max(most, len(alive))
                assert len(alive) <= MOST, alive
                time.sleep(managers.chosen.uniform(0.05, 0.4))
            counts = [each.counts() for each in runs]
            worked = {node for each in runs for node in each.ran_on().values()}
        managers.wake()
        rig.until("every machine is gone", lambda: all(each.ended for each in rig.cluster.status().nodes))
    finally:
        managers.end()
    for each in counts:
        assert (each["ActivityTaskStarted"], each["ActivityTaskCompleted"]) == (TASKS, TASKS), each
        assert not {"ActivityTaskTimedOut", "ActivityTaskFailed"} & set(each)
    # Who wrote that it has ended was drained, and powered itself off: nobody took it away.
    store = stores.open_store(rig.cluster.paths.store)
    for node in worked:
        got = store.get(f"{documents.NODES_PREFIX}{node}.json")
        assert got is not None
        assert msgspec.json.decode(got[0], type=documents.NodeDocument).state == "ended", node
    assert most >= 3
    assert managers.stops > 10
    assert managers.kills > 3
    assert len(holders) > 2
    assert not rig.cluster.status().failures
