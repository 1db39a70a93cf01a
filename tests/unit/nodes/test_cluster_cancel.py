"""Booting machines are cancelled while others work: real agents, workers, service, and a manager of this process."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from simpleflow.client import connect
from simpleflow.nodes import model
from simpleflow.nodes.manager import assemble
from simpleflow.nodes.policy import decide
from simpleflow.nodes.policy import snapshot as snapshots
from simpleflow.nodes.providers.process import node_folder

from .rig import FROM_ZERO, ROOT, WIDE, Rig
from .test_cluster_drain import Run

pytestmark = [pytest.mark.needs_processes, pytest.mark.timeout(600)]

TASKS = 60
#: machines that are ended before they have begun
ENOUGH = 4


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    text = FROM_ZERO.replace("slots: 2, max: 2", "slots: 1, max: 6")
    text = text.replace("loop: 0.5", "loop: 0.5, lease: 2, lease_renew: 0.5")
    made = Rig(tmp_path, text.replace("deciders: {", "policy: boundary\ndeciders: {min: 1, "))
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    made.cluster.bring_up(directory=str(ROOT))
    yield made
    made.close()


@contextlib.contextmanager
def resting(rig: Rig, node: str, chosen: random.Random) -> Iterator[None]:
    """Now and then the machine's agent rests, wherever it is in its boot; it may be ended meanwhile."""
    pid = node_folder.NodeFolder(rig.cluster.paths.folder / "nodes" / node).pid if node else None
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(ProcessLookupError))
        if pid is not None and chosen.random() < 0.5:
            with contextlib.suppress(ProcessLookupError):
                stack.enter_context(rig.paused(pid))
        yield


def test_booting_machines_are_cancelled_while_tasks_run_and_no_task_is_lost(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, real = random.Random(7), decide.decide
    cancelled: set[str] = set()
    booting: list[str] = []

    def fickle(snapshot: snapshots.Snapshot) -> decide.Plan:
        plan = real(snapshot)
        young = {model.NodeState.UNLISTED, model.NodeState.BOOTING}
        booting[:] = [each.instance for each in snapshot.nodes if each.state in young]
        more = []
        for each in snapshot.nodes:
            if each.instance in booting and len(cancelled) < 5 * ENOUGH and chosen.random() < 0.3:
                cancelled.add(each.instance)
                more.append(decide.Item(instance=each.instance, profile=each.profile, reason="a test does not want it"))
        return msgspec.structs.replace(plan, cancels=tuple(more))

    monkeypatch.setattr(decide, "decide", fickle)
    manager = rig.cluster.up.manager
    assert manager
    with connect.connect(domain=rig.cluster.config.swf_domain, endpoint_url=rig.cluster.paths.endpoint) as service:
        rig.until("a decider runs", lambda: any("decider.start" in each.cmdline() for each in rig.cluster.processes()))
        # Its decider goes on. It rests in the middle of whatever it does, and wakes when another one has long led.
        with rig.paused(manager):
            mine = assemble.reconciler_of(rig.cluster.loaded, os.environ, str(ROOT), "test", service.transport)
            run = Run(rig, service, "naps", TASKS, 0, seconds=0.5)
            limit = time.monotonic() + WIDE
            while not run.closed():
                assert time.monotonic() < limit, (run.counts(), rig.cluster.status(), cancelled)
                with resting(rig, booting[0] if booting else "", chosen):
                    mine.run_pass()
                time.sleep(0.1)
        counts = run.counts()
        assert (counts["ActivityTaskStarted"], counts["ActivityTaskCompleted"]) == (TASKS, TASKS), counts
        assert not {"ActivityTaskTimedOut", "ActivityTaskFailed"} & set(counts)
        worked = set(run.ran_on().values())
    rig.until("every machine is gone", lambda: all(each.ended for each in rig.cluster.status().nodes))
    mine.look()  # and no child of this process is left unwaited for
    shown = {each.node: each for each in rig.cluster.status().nodes}
    why = "cancelled while it booted: a test does not want it"
    early = {name for name in cancelled if shown[name].first_poll is None and shown[name].reason == why}
    assert len(early) >= ENOUGH, {name: shown[name] for name in cancelled}
    assert not early & worked
    assert not rig.cluster.status().failures
