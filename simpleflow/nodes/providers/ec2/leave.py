"""How the last decider leaves, and the group goes to 0 (docs/design/control.md, part 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from simpleflow.nodes import control


class Group(Protocol):
    """The decider group as a leave uses it."""

    def alone(self) -> bool:
        """This decider is the group's only member, and the group wants no more than one."""

    def sleep(self) -> None:
        """Set the group to 0."""

    def desired(self) -> int:
        """The number that the group wants now."""


class Look(Protocol):
    """Observations of the manager that leaves."""

    def begin_poll(self) -> None:
        """From now on, wait for one whole poll for decision tasks."""

    def empty_poll(self) -> bool | None:
        """True once such a poll came back empty, False when a task came, None while it is open."""

    def idle(self) -> bool:
        """No run row in ``demand/`` and no open execution listed."""


#: steps after which the same generator is asked again later
WAITING = "waiting"


def quiet(document: control.Control) -> bool:
    """No open intent and no node row."""
    return not document.intents and not document.rows


def _poll(look: Look) -> Iterator[str]:
    look.begin_poll()
    while look.empty_poll() is None:
        yield WAITING


def leave(group: Group, look: Look, file: control.ControlFile, began: Callable[[], None]) -> Iterator[str]:
    """Yield each step after it was done; the last one is 'left' when the machine may power off, else 'stays'.

    ``began`` is called before the group is set to 0: from then on a decision task that is taken raises it to 1 again
    before anything else. Dropped between any two steps nothing is lost: the group at 0 with a protected, living member
    goes on working, and the alarm, clients and tasks raise it.
    """
    yield from _poll(look)
    if not look.empty_poll():
        yield "stays"
        return
    yield "polled"
    document = file.read()
    if not control.holds(document, file.holder) or not group.alone() or not look.idle() or not quiet(document):
        yield "stays"
        return
    yield "looked"
    began()
    group.sleep()
    yield "asleep"
    yield from _poll(look)
    if not look.empty_poll() or not look.idle():
        yield "stays"
        return
    yield "polled again"
    document = file.read()
    if group.desired() != 0 or not control.holds(document, file.holder) or not quiet(document):
        yield "stays"
        return
    yield "read the group"
    file.replace(control.release(document))
    yield "left"
