"""Observation: documents, runs and counts become the snapshot that the policy decides on. Nothing is changed."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping
from typing import Protocol, TypeVar

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import billing, config, model
from simpleflow.nodes import control as controls
from simpleflow.nodes.policy import guards
from simpleflow.nodes.policy import snapshot as snapshots
from simpleflow.nodes.providers import base as providers

from . import demand, learning, sightings

logger = logging.getLogger(__name__)

_Document = TypeVar("_Document", documents.NodeDocument, documents.DemandDocument)


class OpenRun(msgspec.Struct, frozen=True, kw_only=True):
    """One open execution of ListOpenWorkflowExecutions."""

    workflow_id: str
    run_id: str
    workflow: str


class Coordinator(Protocol):
    """What the manager asks Amazon SWF or the embedded service. Raises SimpleflowError when it does not answer."""

    def open_runs(self) -> tuple[OpenRun, ...]:
        """Every open execution of the domain."""

    def is_closed(self, workflow_id: str, run_id: str) -> bool:
        """Return whether this run is closed, or past its retention."""

    def scheduled(self, run: OpenRun) -> documents.RunRow:
        """Read a run's history and count its open activity tasks: for runs that no decider's document covers."""

    def pending_activities(self, task_list: str) -> int:
        """CountPendingActivityTasks: approximate."""

    def pending_decisions(self, task_list: str) -> int:
        """CountPendingDecisionTasks: approximate."""


class Observer:
    """Reads documents and the coordinator. It remembers earlier answers only to read less often."""

    def __init__(
        self,
        cluster: config.ClusterConfig,
        store: blobs.BlobStore,
        coordinator: Coordinator,
        clock: clocks.Clock,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """``versions``: profile -> the version of settings and code that its machines should have (version_of)."""
        self._cluster = cluster
        self._versions = dict(versions or {})
        self._times = cluster.settings
        self._store = store
        self._coordinator = coordinator
        self._clock = clock
        self._cache: dict[str, tuple[str, documents.NodeDocument | documents.DemandDocument]] = {}
        #: document -> its last problem that was logged
        self._logged: dict[str, str] = {}
        #: when (monotonic) each document was last seen changed, and when it changed by the store's own clock
        self._changed: dict[str, tuple[float, float]] = {}
        self.sightings = sightings.Sightings(self._times, clock)
        #: whether the coordinator answered the last call
        self._answering = True
        #: runs that the API showed closed, and rows read from histories
        self._closed: set[str] = set()
        self._read: dict[str, documents.RunRow] = {}
        #: when (monotonic) each run was first seen whose decisions nobody has taken
        self._untaken: dict[str, float] = {}
        self._next_runs = 0.0
        self._states: dict[str, model.NodeState] = {}
        self._boots: dict[str, dict[str, float]] = {}
        self.learning = learning.Learning(cluster.cluster, store, clock, self._times)
        self.covered = False
        self.open_runs = 0
        self.nodes: dict[str, documents.NodeDocument] = {}
        self.rows: dict[str, documents.RunRow] = {}
        self.pending: dict[str, int | None] = {}

    def read_documents(self) -> None:
        """Read the documents of nodes and deciders; only changed ones are fetched."""
        nodes = {each.node: each for each in self._documents(documents.NODES_PREFIX, documents.NodeDocument)}
        found = self._documents(documents.DEMAND_PREFIX, documents.DemandDocument)
        self.nodes = nodes
        rows = demand.merge(found)
        for run_id, row in list(self._read.items()):
            if run_id in rows:
                del self._read[run_id]
            else:
                rows[run_id] = row
        self.rows = {run_id: row for run_id, row in rows.items() if not row.closed and run_id not in self._closed}

    def _documents(self, prefix: str, kind: type[_Document]) -> list[_Document]:
        found = []
        for blob in self._store.list(prefix):
            known = self._cache.get(blob.key)
            if known is not None and known[0] == blob.etag and isinstance(known[1], kind):
                found.append(known[1])
                continue
            got = self._get(blob.key)
            if got is None:
                if known is not None and isinstance(known[1], kind):
                    found.append(known[1])
                continue
            try:
                document = msgspec.json.decode(got[0], type=kind)
            except msgspec.DecodeError as error:
                # A bad document stops nothing: the last good one of its machine stays.
                self._say(blob.key, f"document '{blob.key}' cannot be read: {error}")
                if known is not None and isinstance(known[1], kind):
                    found.append(known[1])
                continue
            self._logged.pop(blob.key, None)
            self._cache[blob.key] = (got[1], document)
            self._changed[blob.key] = (self._clock.monotonic(), blob.modified)
            found.append(document)
        return found

    def _control(self) -> documents.Control | None:
        """control.json as it is now, without acting on it; None when it cannot be read."""
        got = self._get(documents.CONTROL_KEY)
        try:
            return None if got is None else controls.decoded(got[0], self._store.url)
        except core_errors.SimpleflowError as error:
            self._say(documents.CONTROL_KEY, str(error))
            return None

    def _get(self, key: str) -> tuple[bytes, str] | None:
        try:
            return self._store.get(key)
        except core_errors.SimpleflowError as error:
            self._say(key, f"document '{key}' cannot be read: {error}")
            return None

    def _say(self, key: str, text: str) -> None:
        if self._logged.get(key) != text:
            logger.warning("%s", text, extra={"action": "observe"})
        self._logged[key] = text

    def look(self, control: documents.Control, now: float) -> None:
        """Take note of signs of life; ``now`` is the provider's time. Call it once a pass, after ``read_documents``."""
        self.sightings.look(control.rows, self.nodes, now, answering=self._answering)

    def learn(self, now: float) -> None:
        """Learn from the documents, and store the forecasts now and then."""
        boots = {name: statistics.median(seen.values()) for name, seen in self._boots.items() if seen}
        self.learning.look(self.rows, self.nodes, boots, now)

    def forget_old(self) -> None:
        """Delete old documents: of machines with neither row nor open launch, and of deciders whose runs are closed."""
        monotonic = self._clock.monotonic()
        # A manager that is younger than that uses the clock of the store, as another document shows it.
        newest = max((modified for _, modified in self._changed.values()), default=0.0)
        old = [
            (key, document)
            for key, (_, document) in self._cache.items()
            if max(monotonic - self._changed[key][0], newest - self._changed[key][1]) >= self._times.keep_documents
        ]
        if not old:
            return
        # Read anew, after the documents: a machine that has one was launched before, so that its launch is either
        # open now or closed for good. Whoever cancels it later relies on its document (docs/design/control.md, part 3).
        control = self._control()
        if control is None:
            return
        rows, attempts = {row.instance for row in control.rows}, {intent.id for intent in control.intents}
        for key, document in old:
            if isinstance(document, documents.NodeDocument):
                needed = document.node in rows or document.attempt in attempts
            else:
                needed = any(row.run_id in self.rows for row in document.runs)
            if not needed:
                try:
                    self._store.delete(key)
                except core_errors.SimpleflowError as error:
                    self._say(key, f"document '{key}' cannot be deleted: {error}")
                    continue
                del self._cache[key], self._changed[key]

    def read_runs(self) -> None:
        """Compare the rows with the open runs of the API, at most every few passes; closes rows of closed runs."""
        monotonic = self._clock.monotonic()
        if monotonic < self._next_runs:
            return
        try:
            runs = {run.run_id: run for run in self._coordinator.open_runs()}
            for run_id, row in list(self.rows.items()):
                if run_id not in runs and self._coordinator.is_closed(row.workflow_id, run_id):
                    self._closed.add(run_id)
                    self._read.pop(run_id, None)
                    del self.rows[run_id]
            for run_id, run in runs.items():
                undecided = run_id in self._read and self._read[run_id].started_event_id == 0
                if (run_id not in self.rows or undecided) and run_id not in self._closed:
                    self._read[run_id] = self.rows[run_id] = self._coordinator.scheduled(run)
        except core_errors.SimpleflowError as error:
            logger.warning("open runs cannot be read: %s", error, extra={"action": "observe"})
            return
        self.open_runs = len(runs)
        self.covered = True
        self._untaken = {
            run_id: self._untaken.get(run_id, monotonic)
            for run_id, row in self._read.items()
            if row.started_event_id == 0 and row.decision_list not in ("", self._cluster.decision_task_list)
        }
        self._next_runs = monotonic + max(5 * self._times.loop, self._times.document_max)

    def undecided(self, patience: float) -> dict[str, str]:
        """Return run id -> why the run is not decided: a decider cannot, or no decider polls its decision task list.

        ``patience``: seconds for which a decider outside of this cluster may take them.
        """
        monotonic, own = self._clock.monotonic(), self._cluster.decision_task_list
        found = {
            run_id: f"run '{row.workflow_id}' of workflow '{row.workflow}' is not decided: {row.trouble}"
            for run_id, row in self.rows.items()
            if row.trouble
        }
        for run_id, since in self._untaken.items():
            row = self.rows.get(run_id)
            if row is not None and monotonic - since >= patience:
                found[run_id] = (
                    f"run '{row.workflow_id}' of workflow '{row.workflow}' waits on decision task list "
                    f"'{row.decision_list}', from which nobody takes a decision: this cluster's deciders poll '{own}'; "
                    f"give the workflow's class task_list = '{own}', or start a decider on '{row.decision_list}'"
                )
        return dict(sorted(found.items()))

    def nothing_open(self) -> bool:
        """Return whether, by a new look, there is neither a run row nor an open execution; False without an answer."""
        self.read_documents()
        self._next_runs = 0.0
        self.read_runs()
        looked = self._next_runs > 0.0
        return looked and not self.rows and self.open_runs == 0

    def read_pending(self) -> None:
        """Ask how many activity tasks wait on each list; None without an answer."""
        for task_list in self._cluster.task_lists:
            try:
                self.pending[task_list] = self._coordinator.pending_activities(task_list)
            except core_errors.SimpleflowError:
                self.pending[task_list] = None
        self._answering = any(self.pending.get(each) is not None for each in self._cluster.task_lists)

    def snapshot(
        self, control: documents.Control, listing: providers.Listing, now: float, *, ending: bool
    ) -> snapshots.Snapshot:
        """Return the snapshot of this pass."""
        listed = {each.id: each.state for each in listing.instances}
        terminated = {each.instance for each in control.intents if each.kind == "terminate"}
        nodes = tuple(
            self._node(row, listed.get(row.instance), now, ending=row.instance in terminated) for row in control.rows
        )
        launching: dict[str, int] = {}
        for intent in control.intents:
            if intent.kind == "launch":
                launching[intent.profile] = launching.get(intent.profile, 0) + intent.units
        paused = {}
        for name in self._cluster.profiles:
            reason = guards.paused(self._cluster, control, name)
            if reason:
                paused[name] = reason
        return snapshots.Snapshot(
            now=now,
            cluster=self._cluster,
            nodes=nodes,
            launching=tuple(sorted(launching.items())),
            demand=demand.by_list(self.rows.values(), self._cluster.task_lists, self.pending),
            runs=self.learning.runs(self.rows),
            runtimes=self.learning.runtimes,
            spent=self.learning.spent,
            purses=guards.purses(self._cluster, control, now),
            prices=prices(self._cluster),
            paused=paused,
            boots=self.learning.boots,
            covered=self.covered,
            ending=ending,
            versions=self._versions,
        )

    def _node(self, row: documents.Row, listed: str | None, now: float, *, ending: bool) -> model.Node:
        document = self.nodes.get(row.instance)
        seen = model.observe(row, listed=listed, document=document, ending=ending)
        state = self._states[row.instance] = model.advance(self._states.get(row.instance), seen)
        sick, partly = self.sightings.sick(row)
        node = model.Node(
            row=row,
            state=state,
            running=listed == "running",
            document=document,
            age=self.sightings.age(row, now),
            heard=self.sightings.heard(row, now),
            sick=sick,
            partly=partly,
        )
        boots = self._boots.setdefault(row.profile, {})
        if document is not None and document.first_polled is not None and row.instance not in boots:
            boots[row.instance] = max(node.age - node.since(document.first_polled), 0.0)
        return node

    def closed(self, instance: str, cost: int, now: float) -> None:
        """Take note that the row of a machine was closed."""
        self._states.pop(instance, None)
        self.learning.ended(cost, now)


def prices(cluster: config.ClusterConfig) -> dict[str, int]:
    """Return the price (millionths per hour) of a machine of each profile: the file's, else the package's list's."""
    return {
        name: billing.micros(cluster.price_of(profile) or 0.0) for name, profile in sorted(cluster.profiles.items())
    }
