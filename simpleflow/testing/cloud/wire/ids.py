"""Identifiers in AWS's form, the same in every run."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import defaultdict


class Ids:
    """Counts per prefix; thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: defaultdict[str, itertools.count[int]] = defaultdict(itertools.count)

    def make(self, prefix: str) -> str:
        """The next id of this kind, such as ``i-0b7c...`` (17 hexadecimal digits)."""
        with self._lock:
            number = next(self._counters[prefix])
        return f"{prefix}-0{hashlib.sha256(f'{prefix}{number}'.encode()).hexdigest()[:16]}"

    def number(self, prefix: str) -> int:
        """The next plain number of this kind, from 0."""
        with self._lock:
            return next(self._counters[prefix])
