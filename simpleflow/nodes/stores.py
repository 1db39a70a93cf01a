"""The way to the cluster's documents by URL."""

from __future__ import annotations

import importlib

import msgspec

from simpleflow.core import documents, errors
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


def purge(store: base.BlobStore, cluster: str) -> None:
    """Delete a cluster's documents, and nothing else that lies in the store.

    Raises UsageError, with nothing deleted, when they are another cluster's.
    """
    for key in (documents.CONTROL_KEY, documents.CLUSTER_KEY):
        got = store.get(key)
        try:
            owner = "" if got is None else msgspec.json.decode(got[0], type=_Owned).cluster
        except msgspec.DecodeError as error:
            raise errors.UsageError(
                f"{key} of {store.url} cannot be read ({error}), so nobody knows whose documents these are: nothing "
                "was deleted; look at it, and delete it yourself"
            ) from error
        if owner and owner != cluster:
            raise errors.UsageError(
                f"the documents of {store.url} belong to cluster '{owner}', not to '{cluster}': nothing was deleted; "
                "purge it by its own cluster file"
            )
    folders = (documents.NODES_PREFIX, documents.DEMAND_PREFIX, documents.LEDGER_PREFIX)
    for blob in [each for folder in folders for each in store.list(folder)]:
        store.delete(blob.key)
    for key in (documents.CONTROL_KEY, documents.CLUSTER_KEY, documents.DECISIONS_KEY, documents.FORECAST_KEY):
        store.delete(key)


class _Owned(msgspec.Struct, frozen=True):
    """What every document of a whole cluster says."""

    cluster: str = ""
