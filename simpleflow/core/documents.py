"""Documents that deciders, agents and managers leave for each other in the cluster's blob store.

Each has one writer. Field by field: docs/reference/formats.md.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class TaskCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many activity tasks of one type on one task list are in one state."""

    task_list: str
    activity: str
    #: scheduled: SWF has the task (queued or running; the nodes know which). foreseen: the program waits to submit it
    state: Literal["scheduled", "foreseen"]
    count: int
