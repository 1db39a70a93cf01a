"""Reports from a cluster's documents: machines, tasks, money. They are the same with every provider."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from simpleflow.core import documents
from simpleflow.data.blobs import base as blobs
from simpleflow.data.blobs import errors as blob_errors
from simpleflow.nodes import config, model
from simpleflow.nodes import control as controls
from simpleflow.nodes.policy import cost, decide, guards

from . import demand

#: seconds that two clocks may differ before a report corrects one: storing takes a moment, and some stores round
_CLOSE = 10.0


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One machine, its times and its bill; what reports draw."""

    node: str
    profile: str
    state: str
    launched: float
    #: seconds from its launch to now, or to its end
    age: float
    first_poll: float | None
    #: intervals in which a task ran; the last one is open while its end is None
    busy: tuple[tuple[float, float | None], ...]
    #: when its drain began, from control.json or the ledger
    drained: float | None
    ended: float | None
    running: tuple[str, ...]
    reason: str
    health: str
    billed: float
    #: millionths of the currency
    cost: int
    terms: str
    #: version of the machine: digests of settings and code, with a dash between
    version: str = ""
    #: end of what is paid (epoch seconds, by the provider's clock); None for one that ended
    paid_until: float | None = None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the documents."""

    #: who holds the lease in control.json
    lease: str | None = None
    #: seconds since it was renewed
    lease_age: float | None = None
    nodes: tuple[NodeStatus, ...] = ()
    #: launches and terminations under way
    intents: tuple[documents.Intent, ...] = ()
    #: scheduled and foreseen tasks by task list
    demand: dict[str, dict[str, int]] = {}
    failures: tuple[documents.Failures, ...] = ()
    currency: str = ""
    #: millionths, of the nodes shown
    cost: int = 0
    #: notes for a person: why something that is wanted does not happen
    notes: tuple[str, ...] = ()


def look(
    cluster: config.ClusterConfig,
    store: blobs.BlobStore,
    listed: Callable[[str], str | None],
    *,
    since: float | None = None,
    now: float | None = None,
) -> Work:
    """Read everything once. ``listed`` is the provider's state of a machine, None for one that it does not list;
    ``since`` (epoch seconds, by this machine's clock) leaves out machines that ended before; ``now`` is the provider's
    time where that is another machine."""
    here = time.time()
    now = here if now is None else now
    if since is not None:
        since += now - here
    control = documents.Control(cluster=cluster.cluster)
    got = store.get(documents.CONTROL_KEY)
    if got is not None:
        control = controls.decoded(got[0], store.url)
        controls.require_own(documents.CONTROL_KEY, control.cluster, cluster.cluster, store.url)
    named = {each.node: _shifted(each, ahead) for each, ahead in _nodes(store)}
    ledger = [
        entry
        for entry, _ in _read_all(store, documents.LEDGER_PREFIX, documents.LedgerEntry)
        if since is None or entry.ended >= since
    ]
    rows = {row.instance: row for row in control.rows}
    closed = {entry.instance: entry for entry in ledger}
    nodes = tuple(
        _node_status(bill, rows.get(bill.node), closed.get(bill.node), named.get(bill.node), listed(bill.node), now)
        for bill in cost.of_cluster(cluster, control, ledger, now)
    )
    wanted = _demand(store, cluster)
    return Work(
        lease=None if control.lease is None else control.lease.holder,
        lease_age=None if control.lease is None else max(now - control.lease.renewed, 0.0),
        nodes=nodes,
        intents=control.intents,
        demand=wanted,
        failures=control.failures,
        currency=cluster.currency,
        cost=sum(node.cost for node in nodes),
        notes=_notes(cluster, control, wanted),
    )


def _node_status(
    bill: cost.NodeCost,
    row: documents.Row | None,
    entry: documents.LedgerEntry | None,
    document: documents.NodeDocument | None,
    listed: str | None,
    now: float,
) -> NodeStatus:
    if row is not None:
        state = str(model.observe(row, listed=listed, document=document, ending=False))
    else:
        state = str(model.NodeState.GONE)
    reason = (row.reason if row is not None else entry.reason if entry is not None else "") or (
        document.reason if document is not None else ""
    )
    lists = () if document is None else document.task_lists
    return NodeStatus(
        node=bill.node,
        profile=bill.profile,
        state=state,
        launched=bill.since,
        age=max((now if bill.ended is None else bill.ended) - bill.since, 0.0),
        first_poll=None if document is None else document.first_polled,
        busy=() if document is None else document.busy,
        drained=row.draining_since if row is not None else entry.draining_since if entry is not None else None,
        ended=bill.ended,
        running=tuple(task.id for each in lists for task in each.running) if bill.ended is None else (),
        reason=reason,
        health="" if document is None else document.health,
        billed=bill.billed,
        cost=bill.cost,
        terms=bill.terms,
        version="" if document is None else document.version,
        paid_until=None if bill.ended is not None else bill.since + bill.billed,
    )


_Document = TypeVar("_Document", documents.NodeDocument, documents.DemandDocument, documents.LedgerEntry)


def _read_all(store: blobs.BlobStore, prefix: str, kind: type[_Document]) -> list[tuple[_Document, float]]:
    """Every document below a prefix, and when it was stored, by the store's clock."""
    found = []
    for blob in store.list(prefix):
        # A document that cannot be read hides no other one; the log of the manager names it.
        with contextlib.suppress(msgspec.DecodeError, blob_errors.BlobStoreError):
            got = store.get(blob.key)
            if got is not None:
                found.append((msgspec.json.decode(got[0], type=kind), blob.modified))
    return found


def _nodes(store: blobs.BlobStore) -> list[tuple[documents.NodeDocument, float]]:
    """Every machine's document, and how far the store's clock is ahead of the machine's."""
    read = _read_all(store, documents.NODES_PREFIX, documents.NodeDocument)
    return [(each, modified - each.written if modified else 0.0) for each, modified in read]


def _shifted(document: documents.NodeDocument, ahead: float) -> documents.NodeDocument:
    """The moments that a report draws beside the provider's, for a machine whose own clock is wrong."""
    if abs(ahead) < _CLOSE:
        return document
    return msgspec.structs.replace(
        document,
        first_polled=None if document.first_polled is None else document.first_polled + ahead,
        busy=tuple((begun + ahead, None if end is None else end + ahead) for begun, end in document.busy),
    )


def _demand(store: blobs.BlobStore, cluster: config.ClusterConfig) -> dict[str, dict[str, int]]:
    rows = demand.merge(each for each, _ in _read_all(store, documents.DEMAND_PREFIX, documents.DemandDocument))
    counts = demand.by_list(rows.values(), cluster.task_lists, {})
    return {each.task_list: {"scheduled": each.scheduled, "foreseen": each.foreseen} for each in counts}


def _notes(
    cluster: config.ClusterConfig, control: documents.Control, wanted: Mapping[str, Mapping[str, int]]
) -> tuple[str, ...]:
    paused = (guards.paused(cluster, control, name) for name in sorted(cluster.profiles))
    unserved = decide.unserved(cluster, {name: counts["scheduled"] for name, counts in wanted.items()})
    extra = (f"decider {name} is too many: it finishes what it has, and goes" for name in control.leaving)
    return (*dict.fromkeys(reason for reason in paused if reason), *control.troubles, *unserved, *extra)
