"""What the node manager raises.

SimpleflowError
├── UsageError
│   └── ClusterFileError        the cluster file, with file:line and what to write instead
└── NodesError
    ├── ControlLost             control.json was replaced by someone else, or no answer came
    ├── ProviderRefused         definite: nothing was done
    │   └── NotThere            what was asked about does not exist (any more)
    ├── ProviderUnclear         no definite answer: the call may have been carried out
    └── ProviderThrottled       definite: repeat it later
"""

from __future__ import annotations

from simpleflow.core import errors


class ClusterFileError(errors.UsageError):
    """A cluster file that cannot be used. ``problems`` holds one line each, 'FILE:LINE: what, and what instead'."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class NodesError(errors.SimpleflowError):
    """The node manager could not do something."""


class ControlLost(NodesError):
    """control.json changed under the manager, or no answer came: it forgets what it knew and reads again."""


class ProviderRefused(NodesError):
    """The provider refused; nothing was done."""


class NotThere(ProviderRefused):
    """What was asked about does not exist (any more): nobody refused the look."""


class ProviderUnclear(NodesError):
    """No definite answer came; the call may have been carried out. Look the attempt up by its tag."""


class ProviderThrottled(NodesError):
    """The provider asks to repeat the call later; nothing was done."""
