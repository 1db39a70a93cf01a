"""What a forked child must not share with its parent: pipes and sockets whose other side takes it for the parent."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Owner(Protocol):
    """Holds descriptors that belong to this process alone."""

    def forked(self) -> None:
        """Called in a forked child: close the child's copies, and say nothing to the other side."""


_owners: weakref.WeakSet[Owner] = weakref.WeakSet()


def drop_in_child(owner: Owner) -> None:
    """Have ``owner.forked()`` called in each child that ``os.fork`` makes from now on, for as long as it lives.

    A child that is made by exec inherits nothing: Python's descriptors are not inheritable.
    """
    _owners.add(owner)


def _forked() -> None:
    for owner in list(_owners):
        owner.forked()


os.register_at_fork(after_in_child=_forked)
