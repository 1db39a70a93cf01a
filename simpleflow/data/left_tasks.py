"""Activity tasks that were left open for somebody to complete: what ``activity.list`` shows of them.

SWF tells nobody the token of a started task. So the worker keeps it in the blob store for large values, where whoever
may read them finds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from simpleflow.data.blobs import base

#: folder of the blob store
FOLDER = "left-tasks"


class LeftTask(msgspec.Struct, frozen=True, kw_only=True):
    """One task that its activity left open."""

    #: what completes or fails it
    token: str
    domain: str
    workflow_id: str
    run_id: str
    activity_id: str
    #: name and version of the activity type
    name: str
    version: str
    task_list: str
    #: id of its ActivityTaskStarted event
    started_event_id: int
    #: epoch seconds, by the worker's clock
    since: float


def keep(store: base.BlobStore, task: LeftTask) -> None:
    """Store a task. Raises BlobStoreError."""
    store.put(_key(task.domain, task.token), msgspec.json.encode(task))


def drop(store: base.BlobStore, domain: str, token: str) -> None:
    """Forget a task; one that is not there is not an error. Raises BlobStoreError."""
    store.delete(_key(domain, token))


def find(store: base.BlobStore, domain: str, token: str) -> LeftTask | None:
    """Return the task of a token, None when it is not stored. Raises BlobStoreError."""
    return _read(store, _key(domain, token))


def every(store: base.BlobStore, domain: str) -> Iterator[LeftTask]:
    """Give every task of a domain that is stored, closed ones included. Raises BlobStoreError."""
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
    except msgspec.DecodeError:  # of another version
        return None


def _key(domain: str, token: str) -> str:
    return f"{FOLDER}/{_name(domain)}/{_name(token)}"


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]
