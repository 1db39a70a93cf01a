"""Start, signal, cancel, terminate and await executions, on any backend.

connect.py      which service: embedded, an endpoint, Amazon SWF
client.py       Client: one connection, every verb
executions.py   runs: found, awaited, acted on, described
resuming.py     a new run that goes on where a stopped one ended
kept.py         what it takes over
starting.py     the request that starts a workflow class
activities.py   activity tasks that were left open: listed, answered by their tokens
inputs.py       its arguments as people write them
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client, Failed

__all__ = ["Client", "Failed"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import client  # it needs the authors' modules; connect.py, which processes use, does not

        return getattr(client, name)
    raise AttributeError(name)


def __dir__() -> list[str]:
    return __all__
