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

import logging

from . import activity as activity  # the submodules that authors name: simpleflow.activity, simpleflow.futures
from . import canvas as canvas
from . import futures as futures
from ._version import __version__
from .activity import Activity
from .signal import WaitForSignal
from .workflow import Workflow

#: where the package logs; nothing is configured by importing it
logger = logging.getLogger(__name__)

__all__ = ["Activity", "WaitForSignal", "Workflow", "__version__", "logger"]
