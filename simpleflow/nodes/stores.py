"""The way to the cluster's documents by URL."""

from __future__ import annotations

import importlib

from simpleflow.core import errors
from simpleflow.data.blobs import base, file


def open_store(url: str) -> base.BlobStore:
    """Open 'file:///folder' or 's3://bucket/prefix'; raises UsageError for anything else."""
    if url.startswith("file://"):
        return file.FileStore(url)
    if url.startswith("s3://"):
        # boto3 takes long to import: only clusters that keep their documents there pay for it.
        store: base.BlobStore = importlib.import_module("simpleflow.data.blobs.s3").S3Store(url)
        return store
    raise errors.UsageError(f"store '{url}' is neither file:///FOLDER nor s3://BUCKET[/PREFIX]; mend it in the file")
