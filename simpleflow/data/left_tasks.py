"""Activity tasks that were left open for another program to complete, as ``activity.list`` shows them.

SWF gives the token of a started task to its worker only. So the worker keeps the token in the blob store for large
values; every program that may read this store finds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from simpleflow.core import interceptors
from simpleflow.data.blobs import base

#: folder of the blob store
FOLDER = "left-tasks"


class LeftTask(interceptors.TaskReceived, frozen=True, kw_only=True):
    """One task that its activity left open."""

    #: names the task to the service
    token: str
    #: epoch seconds of the moment when it was left open, by the worker's clock
    since: float


def keep(store: base.BlobStore, task: LeftTask) -> None:
    """Store a task. Raises BlobStoreError."""
    store.put(_key(task.domain, task.token), msgspec.json.encode(task))


def drop(store: base.BlobStore, domain: str, token: str) -> None:
    """Delete a task; one that is not stored is not an error. Raises BlobStoreError."""
    store.delete(_key(domain, token))


def find(store: base.BlobStore, domain: str, token: str) -> LeftTask | None:
    """Return the task of a token, None when it is not stored. Raises BlobStoreError."""
    return _read(store, _key(domain, token))


def every(store: base.BlobStore, domain: str) -> Iterator[LeftTask]:
    """Yield every stored task of a domain, also closed ones. Raises BlobStoreError."""
    for blob in store.list(f"{FOLDER}/{_name(domain)}/"):
        task = _read(store, blob.key)
        if task is not None:
            yield task


def _read(store: base.BlobStore, key: str) -> LeftTask | None:
    found = store.get(key)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found[0], type=LeftTask)
    except msgspec.DecodeError:  # another version wrote it
        return None


def _key(domain: str, token: str) -> str:
    return f"{FOLDER}/{_name(domain)}/{_name(token)}"


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]
