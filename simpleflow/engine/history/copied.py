"""Events that a resumed run takes over: it is evaluated as if they came after the first event of its history."""

from __future__ import annotations

import math
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
    #: when the timers that were open fire, by their ids, in epoch seconds: those that the program did not start yet
    timers: dict[str, float] = {}
    #: the same of those that it started, by the number of their call
    ends: dict[int, float] = {}

    def in_markers(self) -> list[tuple[str, ...]]:
        """Return the pointers in groups, one for each marker."""
        return [self.pointers[place : place + _IN_ONE] for place in range(0, len(self.pointers), _IN_ONE)]

    def met(self, timer_id: str, seq: int) -> None:
        """Note that the program starts this timer: it fires when it would have fired in the earlier run."""
        if timer_id in self.timers:
            self.ends[seq] = self.timers.pop(timer_id)

    def seconds(self, seq: int, whole: int, now: float) -> int:
        """Return how long a timer has to run that is sent ``now``; ``whole``: as the program says."""
        end = self.ends.get(seq)
        return whole if end is None else min(whole, max(0, math.ceil(end - now)))


NOTHING = Copied()


def missing(pointers: Sequence[str], blobs: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(pointer for pointer in pointers if pointer not in blobs)


def whole(own: Sequence[Any], pointer: str, manifest: manifests.Manifest, blobs: Mapping[str, str]) -> Any:
    """Return the run's own events joined with those that it takes over, and a ``Copied`` that describes the latter."""
    copied = manifests.unpaged(blobs[page] for page in manifest.pages)
    taken = Copied(
        events=len(copied), runs=manifest.runs, pointers=(pointer, *manifest.pointers), timers=dict(manifest.timers)
    )
    return manifests.joined(own, copied), taken
