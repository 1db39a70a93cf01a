"""Requests of a person for one machine, written into its row in control.json, where managers read them."""

from __future__ import annotations

import os

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import control

#: the reason of the drain that `status` and `why` show
REASON = "a person asked for its drain (sfnodes drain)"


def drain(store: blobs.BlobStore, cluster: str, instance: str, clock: clocks.Clock) -> documents.Row:
    """Have a machine drain, whatever the policy says of it; the manager sets the mark at its next pass.

    Returns the row as it is now. Raises UsageError for a machine without a row, ControlLost when living managers
    replaced control.json again and again meanwhile.
    """
    file = control.ControlFile(store, cluster, f"drain-{os.getpid()}", clock)

    def step(document: documents.Control) -> documents.Control:
        if control.row_of(document, instance) is None:
            names = ", ".join(row.instance for row in document.rows) or "none"
            raise core_errors.UsageError(
                f"cluster '{cluster}' has no machine '{instance}' that could drain; those that live: {names}"
            )
        return control.drain_as_asked(document, instance, REASON, clock.now())

    row = control.row_of(file.change(step), instance)
    assert row is not None
    return row
