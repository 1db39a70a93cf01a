"""Ctrl-C while a cluster that is tied to this process goes down: nothing of it is left."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from place_rig import Place

from simpleflow.nodes.cluster import cluster

pytestmark = pytest.mark.needs_processes
CLUSTER = """\
cluster: tied
provider: process
preset: local
profiles: {small: {billing: {period: 20, minimum: 20, price: 0.05}}}
task_lists: {work: {profile: small, slots: 2, max: 1}}
deciders: {task_list: decisions}
"""


@pytest.fixture
def alarm() -> Iterator[None]:
    """SIGALRM does what Ctrl-C does, at a moment that a test chooses."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
def test_ctrl_c_while_the_cluster_goes_down_leaves_no_process(place: Place) -> None:
    path = Path(place.folder, "cluster.yaml")
    path.write_text(CLUSTER)
    with pytest.raises(KeyboardInterrupt), cluster.running(path, place.env):
        signal.setitimer(signal.ITIMER_REAL, 0.1)  # the block ends before it, and the cluster later
    assert place.processes() == []
