"""The one seam to blobs: a folder here, a bucket there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """One object as a listing shows it."""

    key: str
    size: int
    #: changes with every replacement
    etag: str
    #: epoch seconds, by the store's clock
    modified: float


class BlobStore(Protocol):
    """Objects by key ('/' separates folders). Thread and process safe.

    Raises ``PreconditionFailed`` when ``if_match`` or ``if_absent`` does not hold (also S3's 409
    ConditionalRequestConflict), ``BlobStoreError`` for every other failure: the write may or may not have happened.
    """

    #: 'file:///path' or 's3://bucket/prefix', as given in settings and cluster files
    url: str

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Content and etag, or None when the key is absent."""

    def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Store the whole object at once (readers see old or new, never a part) and return its etag."""

    def delete(self, key: str) -> None:
        """Remove; absent is not an error."""

    def list(self, prefix: str = "") -> Iterator[Blob]:
        """Every object below a prefix, by key."""
