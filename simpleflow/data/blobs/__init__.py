"""Blob stores: files and S3 behind one Protocol."""

from __future__ import annotations

from simpleflow.core import retries
from simpleflow.core.errors import UsageError

from . import base


def open_store(url: str, *, patience: retries.Patience | None = None) -> base.BlobStore:
    """Open ``file:///FOLDER`` or ``s3://BUCKET[/PREFIX]``; nothing is read or written yet. Raises UsageError.

    ``patience``: how long an operation is repeated that the other side neither did nor refused.
    """
    if url.startswith("file://"):
        from . import file

        return file.FileStore(url)
    if url.startswith("s3://"):
        from . import s3  # boto3 costs 250 ms: only those who use it pay

        return s3.S3Store(url, patience=patience or s3.PATIENCE)
    raise UsageError(f"store {url!r} is neither file:///FOLDER nor s3://BUCKET[/PREFIX]")
