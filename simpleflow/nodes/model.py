"""A node as the manager sees it, its states, and which state may follow which."""

from __future__ import annotations

import enum

import msgspec

from simpleflow.core import documents


class NodeState(enum.StrEnum):
    """Derived from the row, the provider's list, and the node's own document."""

    #: in control.json, not in the provider's list yet: unknown, still counted
    UNLISTED = "unlisted"
    #: listed, no worker has polled
    BOOTING = "booting"
    #: its workers poll or work
    WORKING = "working"
    #: the mark is set; its agent has not seen it
    MARKED = "marked"
    #: the mark was set while it boots, and its agent has not stored a document: it is ended at once
    CANCELLED = "cancelled"
    #: its agent stopped polling
    DRAINING = "draining"
    #: all runners idle, nothing polled: about to power off
    ACKNOWLEDGED = "acknowledged"
    #: a termination is under way
    ENDING = "ending"
    #: terminated
    GONE = "gone"


#: what may follow; anything may be GONE at any moment, and nothing comes back from there
TRANSITIONS: dict[NodeState, frozenset[NodeState]] = {
    NodeState.UNLISTED: frozenset(NodeState),
    NodeState.BOOTING: frozenset(NodeState) - {NodeState.UNLISTED},
    NodeState.WORKING: frozenset(NodeState) - {NodeState.UNLISTED, NodeState.BOOTING, NodeState.CANCELLED},
    #: the mark may be taken back before the agent saw it
    NodeState.MARKED: frozenset(NodeState) - {NodeState.UNLISTED, NodeState.CANCELLED},
    #: its document shows up: then it drains like every other, or the mark is taken back
    NodeState.CANCELLED: frozenset(NodeState),
    NodeState.DRAINING: frozenset({NodeState.DRAINING, NodeState.ACKNOWLEDGED, NodeState.ENDING, NodeState.GONE}),
    NodeState.ACKNOWLEDGED: frozenset({NodeState.ACKNOWLEDGED, NodeState.ENDING, NodeState.GONE}),
    NodeState.ENDING: frozenset({NodeState.ENDING, NodeState.GONE}),
    NodeState.GONE: frozenset({NodeState.GONE}),
}

#: counted for demand: they work, or will
COUNTED = frozenset({NodeState.UNLISTED, NodeState.BOOTING, NodeState.WORKING})
#: of these, those that boot
BEFORE_WORK = frozenset({NodeState.UNLISTED, NodeState.BOOTING})
#: they finish what they have and take nothing new
LEAVING = frozenset(
    {NodeState.MARKED, NodeState.CANCELLED, NodeState.DRAINING, NodeState.ACKNOWLEDGED, NodeState.ENDING}
)


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One machine in a snapshot."""

    row: documents.Row
    state: NodeState
    #: the provider lists it as running
    running: bool
    document: documents.NodeDocument | None = None
    #: seconds since its launch, and since its last sign of life, as the manager measured them (sightings)
    age: float = 0.0
    heard: float = 0.0
    #: why it is not capacity, though it has polled once; '' when it is
    sick: str = ""
    #: sick, and still serving one of its task lists
    partly: bool = False

    @property
    def instance(self) -> str:
        return self.row.instance

    @property
    def profile(self) -> str:
        return self.row.profile

    @property
    def busy(self) -> bool:
        """Whether its document shows a running task."""
        return self.document is not None and any(each.running for each in self.document.task_lists)

    def since(self, moment: float) -> float:
        """Seconds since a moment that its document names: by the machine's clock, and by ours since it was heard."""
        written = moment if self.document is None else self.document.written
        return max(written - moment, 0.0) + self.heard

    def running_on(self, task_list: str) -> int:
        """How many tasks of a task list its document shows as running."""
        if self.document is None:
            return 0
        return sum(len(each.running) for each in self.document.task_lists if each.task_list == task_list)


def observe(
    row: documents.Row,
    *,
    listed: str | None,
    document: documents.NodeDocument | None,
    ending: bool,
) -> NodeState:
    """Derive the state of a node from what can be seen now.

    ``listed`` is the provider's state of the instance, None when the list does not show it; ``ending`` tells whether
    a termination intent is open.
    """
    if listed == "terminated":
        return NodeState.GONE
    if ending or listed == "stopping":
        return NodeState.ENDING
    if document is not None and document.state in {"acknowledged", "ended"}:
        return NodeState.ACKNOWLEDGED
    if document is not None and document.state == "draining":
        return NodeState.DRAINING
    if row.drain is not None:
        return NodeState.CANCELLED if row.cancelled and document is None else NodeState.MARKED
    if listed is None:
        return NodeState.UNLISTED
    if document is None or document.first_polled is None:
        return NodeState.BOOTING
    return NodeState.WORKING


def advance(before: NodeState | None, seen: NodeState) -> NodeState:
    """Return the state to believe: documents and lists lag, so what cannot follow is an older look."""
    if before is None or seen in TRANSITIONS[before]:
        return seen
    return before
