"""Blobs in this process: for services in memory, and for tests."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

from simpleflow.data.blobs import base, errors


class MemoryStore:
    """A ``base.BlobStore`` that ends with the process. Thread safe."""

    def __init__(self, url: str = "file:///memory") -> None:
        self.url = url
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        #: key -> content, etag, when it was stored
        self._found: dict[str, tuple[bytes, str, float]] = {}

    def get(self, key: str) -> tuple[bytes, str] | None:
        found = self._found.get(key)
        return None if found is None else found[:2]

    def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        with self._lock:
            found = self._found.get(key)
            if (if_absent and found is not None) or (if_match is not None and (found is None or found[1] != if_match)):
                raise errors.PreconditionFailed(f"{key!r} was changed by another; read it and decide again")
            etag = str(next(self._numbers))
            self._found[key] = (content, etag, time.time())
            return etag

    def delete(self, key: str) -> None:
        with self._lock:
            self._found.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[base.Blob]:
        with self._lock:
            found = sorted(self._found.items())
        for key, (content, etag, stored) in found:
            if key.startswith(prefix):
                yield base.Blob(key=key, size=len(content), etag=etag, modified=stored)
