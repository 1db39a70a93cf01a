"""Events that a resumed run takes over: it is evaluated as if they came after the first event of its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from simpleflow.core import manifests

#: pointers in one marker: far below SWF's limit of its details
_IN_ONE = 100


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What one resumed run has taken over."""

    #: number of events
    events: int = 0
    #: run ids of the line before this run, the oldest first
    runs: tuple[str, ...] = ()
    #: pointers of the blobs that must be kept as long as this run's history
    pointers: tuple[str, ...] = ()

    def in_markers(self) -> list[tuple[str, ...]]:
        """Return the pointers in groups, one for each marker."""
        return [self.pointers[place : place + _IN_ONE] for place in range(0, len(self.pointers), _IN_ONE)]


NOTHING = Copied()


def missing(pointers: Sequence[str], blobs: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(pointer for pointer in pointers if pointer not in blobs)


def whole(own: Sequence[Any], pointer: str, manifest: manifests.Manifest, blobs: Mapping[str, str]) -> Any:
    """Return the run's own events joined with those that it takes over, and a ``Copied`` that describes the latter."""
    copied = manifests.unpaged(blobs[page] for page in manifest.pages)
    taken = Copied(events=len(copied), runs=manifest.runs, pointers=(pointer, *manifest.pointers))
    return manifests.joined(own, copied), taken
