"""Stores tasks that their activities leave open, for ``activity.list``."""

from __future__ import annotations

import time

import msgspec

from simpleflow.core import errors
from simpleflow.data import left_tasks

from . import stores, values


def keep(store: stores.Store, task: values.Task) -> None:
    """Store a task with its token.

    Raises SimpleflowError when no store is configured, and BlobStoreError when the store fails.
    """
    blobs = store.blobs
    if blobs is None:
        raise errors.SimpleflowError(
            "no store for its token is configured: set SIMPLEFLOW_JUMBO_FIELDS_BUCKET to a bucket, or file:///FOLDER"
        )
    left_tasks.keep(
        blobs,
        left_tasks.LeftTask(token=task.token, since=time.time(), **msgspec.structs.asdict(task.received())),
    )
