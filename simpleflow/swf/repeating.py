"""Calls of SWF that are repeated by the policy of ``core.retries``: what a transport raises decides."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from simpleflow.core import retries
from simpleflow.swf import errors
from simpleflow.swf.transport import base

#: of calls that somebody waits for: a service that is not there, or keys that are wrong, are told soon
COMMAND = retries.Patience(unclear=30.0, unreached=3.0, refused=2.0)


class _Connections:
    """How often calls that somebody waits for are repeated while the service cannot be reached."""

    most: int | None = None


def repeat_connections(most: int | None) -> None:
    """Set how often calls with the patience COMMAND are repeated while nothing can be sent; None: by its seconds."""
    _Connections.most = most


def attempts(
    action: str, patience: retries.Patience = COMMAND, *, wait: Callable[[float], bool] | None = None
) -> retries.Attempts:
    """Return what repeats a call of this action; ``wait`` sleeps, and returns True to give it up."""
    most = _Connections.most if patience is COMMAND else None
    return retries.Attempts(action, patience, kind=errors.kind_of, wait=wait, unreached=most)


def call(
    transport: base.Transport,
    action: str,
    request: Mapping[str, Any],
    *,
    patience: retries.Patience = COMMAND,
    wait: Callable[[float], bool] | None = None,
) -> Any:
    """Call an action until it is answered. For calls that may be carried out twice without harm.

    Raises the service's verdict, or the last failure when patience ends.
    """
    return attempts(action, patience, wait=wait).run(functools.partial(transport.call, action, request))
