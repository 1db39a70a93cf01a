"""A store in memory, and a manager's passes that drain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from simpleflow.core import errors
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes.providers import base as providers


class MemoryStore:
    """Blobs in a dict, with If-Match and If-None-Match (blobs.BlobStore)."""

    url = "memory:"

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    @staticmethod
    def _etag(content: bytes) -> str:
        return hashlib.md5(content).hexdigest()

    def get(self, key: str) -> tuple[bytes, str] | None:
        content = self._objects.get(key)
        return None if content is None else (content, self._etag(content))

    def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        known = self._objects.get(key)
        if (if_absent and known is not None) or (if_match and (known is None or self._etag(known) != if_match)):
            raise errors.SimpleflowError(f"{key} changed meanwhile")
        self._objects[key] = content
        return self._etag(content)

    def delete(self, key: str) -> None:
        self._objects.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[blobs.Blob]:
        for key, content in sorted(self._objects.items()):
            if key.startswith(prefix):
                yield blobs.Blob(key=key, size=len(content), etag=self._etag(content), modified=0.0)


class Drainer:
    """Marks every worker at the first pass; what is marked has powered off by the next."""

    def __init__(self, provider: providers.NodeProvider) -> None:
        self._provider = provider
        self._marked: set[str] = set()

    def run_pass(self) -> None:
        for each in self._provider.list().instances:
            if each.state == "terminated":
                continue
            if each.id in self._marked:
                self._provider.terminate(each.id)
            else:
                self._provider.mark(each.id, 1)
                self._marked.add(each.id)
