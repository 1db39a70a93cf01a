"""The cluster file: its values, its named times, and how it is read. ``load(path)`` is the way in."""

from __future__ import annotations

from .reader import LoadedCluster, load, loads, require_reach
from .schema import json_schema
from .shapes import (
    Billing,
    Breaker,
    Budget,
    ClusterConfig,
    Code,
    Deciders,
    Disk,
    Logs,
    Machine,
    Network,
    Profile,
    Ssh,
    Statement,
    TaskList,
)
from .times import PRESETS, REHEARSAL_FACTOR, Times, from_mapping

__all__ = [
    "PRESETS",
    "REHEARSAL_FACTOR",
    "Billing",
    "Breaker",
    "Budget",
    "ClusterConfig",
    "Code",
    "Deciders",
    "Disk",
    "LoadedCluster",
    "Logs",
    "Machine",
    "Network",
    "Profile",
    "Ssh",
    "Statement",
    "TaskList",
    "Times",
    "from_mapping",
    "json_schema",
    "load",
    "loads",
    "require_reach",
]
