"""How many deciders a cluster should have now: processes of one machine, or machines of a group (ec2)."""

from __future__ import annotations

from simpleflow.core import clock as clocks
from simpleflow.nodes import config

#: open decision tasks per decider that call for another one
_QUEUE_PER_DECIDER = 10
#: passes of the manager in a row without a waiting decision task, after which one decider is enough
_CALM_PASSES = 40


class DeciderCount:
    """Counts by the queue of decision tasks. Only a growing queue adds a decider."""

    def __init__(self, cluster: config.ClusterConfig, clock: clocks.Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._wanted = 0
        #: when there was something to do for the last time, and when a decision task waited (monotonic)
        self._busy = self._waited = -float("inf")

    @property
    def least(self) -> int:
        """``deciders.min`` of the cluster file."""
        return self._cluster.deciders.min

    def change(self, cluster: config.ClusterConfig) -> None:
        """Take the numbers of another file."""
        self._cluster = cluster

    def start_from(self, present: int) -> None:
        """Keep the deciders that were there before this manager for as long as if they had just had work."""
        self._wanted = present
        self._busy = self._waited = self._clock.monotonic()

    def wanted(self, pending: int, open_runs: bool) -> int:
        """Return how many deciders should run now; ``pending`` decision tasks wait."""
        deciders, times, now = self._cluster.deciders, self._cluster.settings, self._clock.monotonic()
        if pending or open_runs:
            self._busy = now
        if pending:
            self._waited = now
        if now - self._busy > max(10 * times.loop, times.poll):
            self._wanted = deciders.min
        else:
            queued = -(-pending // _QUEUE_PER_DECIDER)
            kept = self._wanted if now - self._waited <= _CALM_PASSES * times.loop else 1
            self._wanted = max(deciders.min, 1, min(deciders.max, max(queued, kept)))
        return self._wanted
