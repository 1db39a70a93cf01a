"""Members of groups and chains: how each is submitted, and how it tells its group that it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from simpleflow.engine.program import futures

#: submits one member, with further arguments
Member = Callable[..., futures.Future[Any]]


class Members(list[Any]):
    """The activities of a group, with the function that submits each, and whether their failures raise."""

    def __init__(self, activities: Sequence[Any], members: list[Member], raises: bool | None = None) -> None:
        super().__init__(activities)
        self.members = members
        self.raises = raises


def given(activities: Sequence[Any], workflow: Any) -> Members:
    """Return the members that a canvas made, or make members of the submittables that a program gives."""
    if isinstance(activities, Members):
        return activities
    return Members(activities, [lambda *more, entry=entry: workflow.submit(entry) for entry in activities])


class Group(Protocol):
    """A group or chain: it is told when a member ends."""

    def member_settled(self, place: int) -> None:
        """The member at this place has ended."""


def cancel(member: futures.Future[Any]) -> None:
    """Cancel a member that is open."""
    if member._kind == futures.OPEN:
        if member._own:
            member.cancel()
        else:
            member.source.cancel(member)


class Settled:
    """Tells a group that a member is settled."""

    __slots__ = ("_group", "_place")

    def __init__(self, group: Group, place: int) -> None:
        self._group = group
        self._place = place

    def __call__(self) -> None:
        self._group.member_settled(self._place)


class Ignored:
    """The source of a future that nobody reads."""

    __slots__ = ()

    def identity(self) -> str:
        return "member"

    def state(self, future: futures.Future[Any]) -> str:
        return futures.PENDING

    def cancel(self, future: futures.Future[Any]) -> bool:
        return False


class Later:
    """The value of a member, which is read when it is asked for."""

    __slots__ = ("value",)

    def __init__(self, value: Callable[[], Any]) -> None:
        self.value = value


def held(call: Any) -> tuple[futures.Future[Any], ...]:
    """Return the futures that a call settles."""
    if isinstance(call, futures.Future):
        return (call,)
    holders: tuple[futures.Future[Any], ...] | None = getattr(call, "holders", None)
    if holders is not None:
        return holders
    future = getattr(call, "future", None)
    return () if future is None else (future,)


def value_of(entry: Any) -> Any:
    """Return the value of an entry of a group's result."""
    return entry.value() if type(entry) is Later else entry
