"""The way to the cluster's documents by URL."""

from __future__ import annotations

from simpleflow.data import blobs
from simpleflow.data.blobs import base


def open_store(url: str) -> base.BlobStore:
    """Open 'file:///folder' or 's3://bucket/prefix'; raises UsageError for anything else."""
    return blobs.open_store(url)
