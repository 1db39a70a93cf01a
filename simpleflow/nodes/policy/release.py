"""Whether a machine that nothing needs may go now, by the policy of the cluster file."""

from __future__ import annotations

from simpleflow.core import text
from simpleflow.nodes import billing, model

from . import guards
from .snapshot import Snapshot

#: look-ahead: parts of a boot time for which a machine stands idle before it goes
KEEP = 0.1


def idle_seconds(node: model.Node) -> float:
    """Seconds since its last task ended."""
    if node.document is None or node.document.idle_since is None:
        return 0.0
    return node.since(node.document.idle_since)


def why_keep(snapshot: Snapshot, node: model.Node) -> str:
    """The reason to keep a node that nothing needs; '' when there is none."""
    if unsafe := _unsafe(snapshot, node):
        return unsafe
    if node.heard > snapshot.cluster.settings.stale:
        # A drain still comes: silence is judged apart, and the agent may be gone.
        if node.heard <= snapshot.cluster.settings.silence:
            return f"its document is {node.heard:.0f} s old: never scale down on stale news"
        return ""
    return _POLICIES[snapshot.cluster.policy](snapshot, node)


def may_cancel(snapshot: Snapshot, node: model.Node, *, nothing: bool) -> bool:
    """Whether a machine that boots, and that nothing is seen to use, is better ended now.

    One that is not billed yet is. One that is billed may be of use to what nobody foresees, unless there is ``nothing``
    to do, now or soon.
    """
    if node.state not in model.BEFORE_WORK or not snapshot.covered:
        return False
    return not node.running or (nothing and not _paid(snapshot, node))


def _unsafe(snapshot: Snapshot, node: model.Node) -> str:
    """Why nobody may let it go, whatever the policy."""
    if node.state is not model.NodeState.WORKING or node.document is None:
        return f"{node.state}: it has not polled yet"
    if node.busy:
        running = sum(len(each.running) for each in node.document.task_lists)
        return f"busy, running: {text.count(running, 'task')}"
    if node.document.idle_since is None:
        return "not idle yet"
    return "" if snapshot.covered else "the manager has just begun: open runs are still being read"


def _lead(snapshot: Snapshot, profile: str) -> float:
    """Seconds that a drain takes: an open poll, a pass, and its agent's look."""
    times, terms = snapshot.cluster.settings, guards.terms_of(snapshot.cluster, profile)
    lead = times.poll + 2 * times.loop + times.metadata
    return min(lead, terms.period / 2) if terms.period > 1 else lead


def _paid(snapshot: Snapshot, node: model.Node) -> str:
    terms = guards.terms_of(snapshot.cluster, node.profile)
    lead = _lead(snapshot, node.profile)
    if billing.free_to_keep(terms, node.row.since, snapshot.now, snapshot.now + lead):
        return f"idle, paid for another {snapshot.paid_for(node):.0f} s"
    return ""


def _idle_for(node: model.Node, limit: float) -> str:
    idle = idle_seconds(node)
    return f"idle for {idle:.0f} of {limit:.0f} s" if idle < limit else ""


def _patience(snapshot: Snapshot, profile: str) -> float:
    """Seconds that a machine may stand idle: to keep it for longer than a boot costs more than to boot another."""
    own = snapshot.cluster.profiles[profile].idle
    return snapshot.boot_time(profile) if own is None else own


def _look_ahead(snapshot: Snapshot, node: model.Node) -> str:
    if paid := _paid(snapshot, node):
        return paid
    terms, times = guards.terms_of(snapshot.cluster, node.profile), snapshot.cluster.settings
    own = snapshot.cluster.profiles[node.profile].idle
    # The deciders' documents are so old; what they will ask for next is not seen before.
    limit = max(KEEP * snapshot.boot_time(node.profile), 2 * times.document_min) if own is None else own
    return _idle_for(node, limit) if terms.period < limit else ""


def _boundary(snapshot: Snapshot, node: model.Node) -> str:
    if paid := _paid(snapshot, node):
        return paid
    terms, limit = guards.terms_of(snapshot.cluster, node.profile), _patience(snapshot, node.profile)
    if terms.period < limit and (waits := _idle_for(node, limit)):
        return waits
    foreseen = _foreseen(snapshot, node.profile)
    if foreseen and idle_seconds(node) < 2 * limit + _lead(snapshot, node.profile):
        return f"idle, foreseen: {text.count(foreseen, 'task')}"
    return ""


def _idle(snapshot: Snapshot, node: model.Node) -> str:
    return _idle_for(node, _patience(snapshot, node.profile))


def _end_of_run(snapshot: Snapshot, node: model.Node) -> str:
    asked = sum(each.scheduled + each.foreseen + (each.pending or 0) for each in snapshot.demand)
    return f"a run is open ({text.count(asked, 'task')} known)" if snapshot.runs or asked else ""


_POLICIES = {"look-ahead": _look_ahead, "boundary": _boundary, "idle": _idle, "end-of-run": _end_of_run}


def _foreseen(snapshot: Snapshot, profile: str) -> int:
    """Tasks that will be submitted to a profile's lists, counted only while something runs that they can wait for."""
    if not any(each.scheduled for each in snapshot.demand):
        return 0
    lists = {name for name, _ in snapshot.cluster.lists_of(profile)}
    return sum(each.foreseen for each in snapshot.demand if each.task_list in lists)
