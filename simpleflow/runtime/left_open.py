"""Stores tasks that their activities leave open, for ``activity.list``."""

from __future__ import annotations

import time

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
            "there is no place for its token: set SIMPLEFLOW_JUMBO_FIELDS_BUCKET to a bucket, or file:///FOLDER"
        )
    left_tasks.keep(
        blobs,
        left_tasks.LeftTask(
            token=task.token,
            domain=task.domain,
            workflow_id=task.workflow_id,
            run_id=task.run_id,
            activity_id=task.activity_id,
            name=task.name,
            version=task.version,
            task_list=task.task_list,
            started_event_id=task.started_event_id,
            since=time.time(),
        ),
    )
