"""Blob stores: files and S3 behind one Protocol."""

from __future__ import annotations

from simpleflow.core.errors import UsageError

from . import base


def open_store(url: str) -> base.BlobStore:
    """Open ``file:///FOLDER`` or ``s3://BUCKET[/PREFIX]``; nothing is read or written yet. Raises UsageError."""
    if url.startswith("file://"):
        from . import file

        return file.FileStore(url)
    if url.startswith("s3://"):
        from . import s3  # boto3 costs 250 ms: only those who use it pay

        return s3.S3Store(url)
    raise UsageError(f"store {url!r} is neither file:///FOLDER nor s3://BUCKET[/PREFIX]")
