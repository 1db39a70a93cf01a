"""From the name of an activity task to what is called.

dynamic_dispatcher.py   import by dotted name (what workers use)
by_module.py            the activities of one module
from_task_registry.py   activities that were registered under a label
dry_run.py              call nothing, log what would be called
limits.py               what --modules lets through
exceptions.py           DispatchError
"""

from __future__ import annotations

from .dynamic_dispatcher import Dispatcher
from .exceptions import DispatchError

__all__ = ["DispatchError", "Dispatcher"]
