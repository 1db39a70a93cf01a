"""Durable workflows in plain Python that bring their own machines."""

# General layout:
#   workflow activity futures canvas task signal marker exceptions   what authors write
#   step storage execute download format metrology                  the surface around it
#   core      pure values          engine   events in, decisions out
#   data      payloads and blobs   swf      the protocol and its transports
#   server    the embedded SWF-compatible service
#   process runtime local dispatch registry settings                deciders, workers, what they need
#   client observe ui testing      from outside: start, look, test
#   nodes infra provisioning ami   the node manager
#   cli       commands, no logic

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .activity import Activity
    from .signal import WaitForSignal
    from .workflow import Workflow

#: where the package logs; nothing is configured by importing it
logger = logging.getLogger(__name__)

__all__ = ["Activity", "WaitForSignal", "Workflow", "__version__", "logger"]

#: name -> its module. Loaded when first asked for: most processes of a cluster never run a workflow.
_HOME = {"Activity": "activity", "WaitForSignal": "signal", "Workflow": "workflow"}
_MODULES = frozenset({"activity", "canvas", "exceptions", "futures", "signal", "task", "workflow"})


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
