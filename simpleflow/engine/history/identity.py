"""What a submitted task is recognised by: branch, digest of its arguments, ordinal among equal ones."""

from __future__ import annotations

import bisect
import hashlib
import uuid
import zlib
from array import array
from typing import Any

import msgspec

from simpleflow.core import limits

_encode = msgspec.json.encode
_sha256 = hashlib.sha256

#: how pointers to jumbo values begin
POINTER = "simpleflow+"
#: how every control text of ours begins
CONTROL_PREFIX = '{"branch":'
LONGEST_BRANCH = 200


class Branch:
    """The path of the code that submits. ``step`` counts what it opens, by kind."""

    __slots__ = ("_counts", "path", "prefix")

    def __init__(self, path: str = "") -> None:
        if len(path) > LONGEST_BRANCH:
            path = "#" + _sha256(path.encode()).hexdigest()[:32]
        self.path = path
        #: the control text up to the digest
        self.prefix = f'{CONTROL_PREFIX}{_encode(path).decode()},"digest":"'
        self._counts: dict[str, int] | None = None

    def step(self, kind: str) -> Branch:
        """Return the branch of the next ``kind`` that this one opens: ``kind#K``."""
        return self.child(f"{kind}#{self.count(kind)}")

    def child(self, step: object) -> Branch:
        return Branch(f"{self.path}/{step}" if self.path else str(step))

    def count(self, kind: str) -> int:
        """Return how many of this kind were opened before, and count this one."""
        if self._counts is None:
            self._counts = {}
        number = self._counts.get(kind, 0)
        self._counts[kind] = number + 1
        return number


class Ordinals:
    """How many equal tasks were submitted before. Eight bytes for each distinct one: executions are long."""

    __slots__ = ("_again", "_fresh", "later", "seen")

    def __init__(self) -> None:
        #: records of first ones that were claimed in turn and are not counted yet: a whole replay may never ask
        self.later: list[Any] = []
        self._fresh: set[int] = set()
        self.seen = array("q")
        self._again: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.seen) + len(self._fresh) + len(self.later)

    def next(self, branch: Branch, kind: str, name: str, text: str) -> int:
        if self.later:
            self.catch_up()
        number = hash(text) ^ hash((branch.path, kind, name))
        if number not in self._fresh:
            seen = self.seen
            if seen:
                place = bisect.bisect_left(seen, number)
                if place < len(seen) and seen[place] == number:
                    return self._once_more(number)
            self._fresh.add(number)
            return 0
        return self._once_more(number)

    def catch_up(self) -> None:
        """Count those that were put off."""
        add = self._fresh.add
        for record in self.later:
            add(hash(record.attributes.input) ^ hash((record.branch.path, "activity", record.name)))
        self.later.clear()

    def _once_more(self, number: int) -> int:
        ordinal = self._again.get(number, 0) + 1
        self._again[number] = ordinal
        return ordinal

    def compact(self) -> None:
        """Give the memory of the set back, which is faster and ten times as large: the execution is suspended."""
        self.catch_up()
        fresh, self._fresh = self._fresh, set()
        seen = self.seen
        if len(fresh) > 64:
            self.seen = array("q", sorted([*seen, *fresh]))
        else:
            for number in fresh:
                seen.insert(bisect.bisect_left(seen, number), number)


def digest(text: str) -> str:
    """Return the first 32 hexadecimal digits of the SHA-256 of a text."""
    return _sha256(text.encode()).hexdigest()[:32]


def md5(text: str) -> str:
    """Return the md5 of a text: names things, protects nothing."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def control(branch: Branch, digest_: str, ordinal: int) -> str:
    return f'{branch.prefix}{digest_}","ordinal":{ordinal},"simpleflow":1}}'


def fitting(identifier: str) -> str:
    """Return an id that SWF takes: one that is too long ends with its md5."""
    if len(identifier) <= limits.NAME:
        return identifier
    return f"{identifier[:223]}-{md5(identifier)}"


def child_prefix(name: str, parent_id: str, run_id: str) -> str:
    """Return what the ids of child workflows of this name begin with: they must be unique in the domain."""
    return f"workflow-{name}-{parent_id}--{zlib.adler32(run_id.encode()):x}--"


class Chance:
    """Numbers that look random and are a function of seed, branch and ordinal."""

    __slots__ = ("_seed",)

    def __init__(self, seed: str) -> None:
        self._seed = seed

    def _bytes(self, kind: str, branch: Branch) -> bytes:
        return _sha256(f"{self._seed}\n{kind}\n{branch.path}\n{branch.count(kind)}".encode()).digest()

    def uuid4(self, branch: Branch) -> uuid.UUID:
        return uuid.UUID(bytes=self._bytes("uuid4", branch)[:16], version=4)

    def random(self, branch: Branch) -> float:
        """Return a float in [0, 1)."""
        return int.from_bytes(self._bytes("random", branch)[:7], "big") / (1 << 56) * (1 - 2**-53)
