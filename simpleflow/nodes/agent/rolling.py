"""Decider machines are replaced one at a time: when a new version cannot boot, the other machines keep working."""

from __future__ import annotations

import json
from typing import Final

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.data.blobs import base as blobs
from simpleflow.data.blobs import errors as blob_errors

KEY: Final = "boots/rolling.json"
_BOOTS: Final = "boots/deciders.json"
#: seconds without a new machine after which the next one may end, if no boot failed: the group may have shrunk
_PATIENCE: Final = 1800.0


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """``boots/rolling.json``: written by the machine that ends, deleted by its successor."""

    #: id of the machine that ends
    machine: str
    #: the published version of deciders, which its successor runs
    version: str


class Rolling:
    """One machine's view of the turn. Its store's errors are raised."""

    def __init__(self, store: blobs.BlobStore, machine: str, clock: clocks.Clock) -> None:
        self._store = store
        self._machine = machine
        self._clock = clock
        #: ETag of the file with another machine's turn, and since when it is unchanged (monotonic seconds)
        self._other: tuple[str, float] = ("", 0.0)

    def may_go(self, version: str) -> bool:
        """Take the turn to end for a new version, and return True; return False while another machine has the turn."""
        got = self._store.get(KEY)
        turn = None if got is None else _decode(got[0])
        if got is not None and turn is not None and turn.version == version and turn.machine != self._machine:
            if self._other[0] != got[1]:
                self._other = (got[1], self._clock.monotonic())
            if self._clock.monotonic() - self._other[1] < _PATIENCE or self._boots_fail():
                return False
        content = msgspec.json.encode(Turn(machine=self._machine, version=version))
        try:
            if got is None:
                self._store.put(KEY, content, if_absent=True)
            else:
                self._store.put(KEY, content, if_match=got[1])
        except blob_errors.PreconditionFailed:
            return False
        return True

    def arrived(self, version: str) -> None:
        """Give the turn back: this machine works with this version, and the next one may end."""
        got = self._store.get(KEY)
        turn = None if got is None else _decode(got[0])
        if turn is not None and turn.version == version:
            self._store.delete(KEY)

    def _boots_fail(self) -> bool:
        got = self._store.get(_BOOTS)
        try:
            return got is not None and int(json.loads(got[0])["boots"]) > 0
        except (ValueError, KeyError, TypeError):
            return True


def _decode(content: bytes) -> Turn | None:
    try:
        return msgspec.json.decode(content, type=Turn)
    except msgspec.DecodeError:
        return None
