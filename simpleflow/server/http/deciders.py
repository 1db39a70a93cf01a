"""Deciders of ours that are connected: one that goes leaves nothing waiting for it.

Their polls are named DECIDER/POLLER#NUMBER. A decider is gone when each connection on which it polled is closed: then
what waits on its sticky list goes to the others at once, not after the list's timeout, and so do the decision tasks
that it had got and not answered. Where a connection carries one poll only, as those of some proxies, timeouts alone do
that. One that was taken for gone and is not decides anew what it had: nothing is lost.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class _Decider:
    __slots__ = ("connections", "lists")

    def __init__(self) -> None:
        self.connections = 0
        #: its sticky lists (DOMAIN/LIST), by the pollers that are theirs
        self.lists: dict[str, str] = {}


class Deciders:
    """Who polls on which connections. One thread."""

    def __init__(self, leave: Callable[[Iterable[str], Iterable[str]], None]) -> None:
        self._leave = leave
        self._known: dict[str, _Decider] = {}
        #: decision tasks that were handed out and not answered, and who has them
        self._tasks: dict[str, str] = {}
        #: the service ends, and closes the connections by itself
        self.stopped = False

    def polls(self, poll_id: str, request: Mapping[str, Any], connection: Any, *, last: bool = False) -> str | None:
        """Take note of a poll; return who polls, None when it is not a decider of ours.

        ``last``: the connection ends with the answer, as that of a proxy does. Its end says nothing of the decider.
        """
        name, slash, _ = poll_id.partition("/")
        if not slash or last:
            return None
        found = self._known.setdefault(name, _Decider())
        if name not in connection.when_lost:
            found.connections += 1
            connection.when_lost[name] = functools.partial(self._lost, name)
        if request.get("startAtPreviousStartedEvent"):
            task_list = request.get("taskList")
            if isinstance(task_list, dict):
                found.lists[_poller(poll_id)] = f"{request.get('domain')}/{task_list.get('name')}"
        return name

    def got(self, name: str, token: str, *, gone: bool) -> None:
        """Take note of a decision task that a decider got; ``gone``: its connection was closed meanwhile."""
        if gone and name not in self._known:
            self._leave((), (token,))
        else:
            self._tasks[token] = name

    def answered(self, token: Any) -> None:
        """Forget a decision task: its answer came, whether it is taken or not."""
        if isinstance(token, str):
            self._tasks.pop(token, None)

    def revoked(self, poll_id: str) -> None:
        """A decider that drains ended this poll: when it was the last one of its sticky list, the list is given up."""
        found = self._known.get(poll_id.partition("/")[0])
        task_list = None if found is None else found.lists.pop(_poller(poll_id), None)
        if found is not None and task_list is not None and task_list not in found.lists.values():
            self._leave((task_list,), ())

    def _lost(self, name: str) -> None:
        found = self._known[name]
        found.connections -= 1
        if found.connections:
            return
        del self._known[name]
        tokens = [token for token, owner in self._tasks.items() if owner == name]
        for token in tokens:
            del self._tasks[token]
        if not self.stopped and (found.lists or tokens):
            self._leave(set(found.lists.values()), tokens)


def _poller(poll_id: str) -> str:
    return poll_id.partition("#")[0]
