"""A provider in memory, on any clock: for simulations and tests. Re-exported by ``simpleflow.testing``."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.nodes import errors, tags

from . import base


class FakeProvider:
    """Machines in a dictionary (base.NodeProvider), which show the faults of real ones on demand.

    Args:
        cluster: name of the cluster.
        clock: the provider's clock.
        list_lag: seconds before a launch shows in lists.
        pending: seconds before a machine runs; until then it is not billed.
        memory: seconds after which a terminated machine is not listed any more.
    """

    def __init__(
        self,
        cluster: str,
        clock: clocks.Clock,
        *,
        list_lag: float = 0.0,
        memory: float = 3600.0,
        pending: float = 0.0,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self.list_lag = list_lag
        self.memory = memory
        self.pending = pending
        self._lock = threading.RLock()
        self._instances: dict[str, base.Instance] = {}
        self._ended: dict[str, float] = {}
        self._logs: dict[str, str] = {}
        #: what the next launches do instead: raise before ('refused') or after ('unclear') the machines exist
        self.faults: list[str] = []
        #: called with each machine that begins
        self.on_launch: Callable[[base.Instance], None] = lambda instance: None
        #: every attempt that reached the provider, in order
        self.attempts: list[str] = []

    def launch(self, spec: base.LaunchSpec) -> base.Launched:
        """Launch at once; a repeated attempt gets the same answer."""
        with self._lock:
            fault = self.faults.pop(0) if self.faults else ""
            if fault == "refused":
                raise errors.ProviderRefused("sold out in every zone (a fault that the test asked for)")
            now = self._clock.now()
            if now > spec.not_after:
                raise errors.ProviderRefused(f"attempt {spec.attempt} came after its last moment; nothing was launched")
            made = tuple(each for each in self._instances.values() if each.attempt == spec.attempt)
            if not made:
                self.attempts.append(spec.attempt)
                made = tuple(self._make(spec, number, now) for number in range(1, spec.units + 1))
            if fault == "unclear":
                raise errors.ProviderUnclear("no answer came (a fault that the test asked for)")
            return base.Launched(instances=made)

    def _make(self, spec: base.LaunchSpec, number: int, now: float) -> base.Instance:
        instance = base.Instance(
            id=f"{spec.attempt}-{number}",
            state="running",
            profile=spec.profile,
            attempt=spec.attempt,
            launched=now,
            instance_type="fake",
            tags={
                **spec.tags,
                tags.CLUSTER: spec.cluster,
                tags.PROFILE: spec.profile,
                tags.ATTEMPT: spec.attempt,
            },
        )
        self._instances[instance.id] = instance
        self.on_launch(instance)
        return instance

    def list(self) -> base.Listing:
        """List the machines that the lag does not hide."""
        with self._lock:
            now = self._clock.now()
            shown = tuple(
                msgspec.structs.replace(each, state="pending") if self._is_pending(each, now) else each
                for key, each in sorted(self._instances.items())
                if now - each.launched >= self.list_lag and now - self._ended.get(key, now) <= self.memory
            )
            return base.Listing(instances=shown, begun=now)

    def _tag(self, instance_id: str, key: str, value: str | None) -> None:
        with self._lock:
            if instance_id not in self._instances:
                raise errors.ProviderRefused(f"node '{instance_id}' does not exist")
            each = self._instances[instance_id]
            changed = {name: text for name, text in each.tags.items() if name != key}
            if value is not None:
                changed[key] = value
            self._instances[instance_id] = msgspec.structs.replace(each, tags=changed)

    def mark(self, instance_id: str, generation: int) -> None:
        """Set the drain mark of this generation."""
        self._tag(instance_id, tags.drain(generation), "1")

    def unmark(self, instance_id: str, generation: int) -> None:
        """Remove it; an absent one is not an error."""
        self._tag(instance_id, tags.drain(generation), None)

    def terminate(self, instance_id: str) -> bool:
        """End a machine; one that is gone is not an error."""
        with self._lock:
            each, now = self._instances.get(instance_id), self._clock.now()
            if each is None or each.state == "terminated":
                return False
            self._instances[instance_id] = msgspec.structs.replace(each, state="terminated")
            self._ended[instance_id] = now
            return self._is_pending(each, now)

    def _is_pending(self, each: base.Instance, now: float) -> bool:
        return each.state == "running" and now - each.launched < self.pending_of(each.profile)

    def pending_of(self, profile: str) -> float:
        """Return the seconds before a machine of a profile runs."""
        return self.pending

    def diagnose(self, instance_id: str) -> str:
        """Return the log that ``write_log`` gave the machine."""
        return "\n".join(self._logs.get(instance_id, "").splitlines()[-50:])

    # --- the machine's own side ---------------------------------------------------------------------------------------

    def power_off(self, instance_id: str) -> None:
        """End a machine as it does itself."""
        self.terminate(instance_id)

    def write_log(self, instance_id: str, text: str) -> None:
        """Give a machine its boot log."""
        self._logs[instance_id] = text

    def drain_generation(self, instance_id: str) -> int:
        """Return the generation of the drain mark in the machine's metadata."""
        return tags.drain_generation(self._instances[instance_id].tags)
