"""Files and texts in S3: ``push("bucket", "path", "file")``, ``pull_content("bucket", "path")``.

A bucket is a name, or ``HOST.amazonaws.com/NAME`` for one whose region may not be asked. SIMPLEFLOW_S3_SSE has S3
encrypt what is pushed (AES256).
"""

from __future__ import annotations

import io
import logging
from typing import Any

from simpleflow import settings
from simpleflow.data.blobs import buckets

logger = logging.getLogger(__name__)

#: bucket -> its region
BUCKET_LOCATIONS_CACHE: dict[str, str] = {}


def sanitize_bucket_and_host(bucket: str) -> tuple[str, str]:
    """Return the bucket's name, and the host or the region where it lies.

    Raises ValueError for what is neither ``NAME`` nor ``HOST.amazonaws.com/NAME``.
    """
    if "/" in bucket:
        host, name = bucket.split("/", 1)
        if "/" in name:
            raise ValueError(f"bucket {bucket!r} has more than one slash: write NAME or HOST.amazonaws.com/NAME")
        if not host.endswith("amazonaws.com"):
            raise ValueError(f"host {host!r} of bucket {bucket!r} is not a *.amazonaws.com host: write NAME alone")
        return name, host
    known = BUCKET_LOCATIONS_CACHE.get(bucket)
    if known:
        return bucket, known
    region = buckets.region(bucket)
    if region is None:
        logger.warning(
            "the region of bucket %s may not be asked (s3:GetBucketLocation); SIMPLEFLOW_S3_HOST is used: %s",
            bucket,
            settings.SIMPLEFLOW_S3_HOST,
        )
        return bucket, settings.SIMPLEFLOW_S3_HOST
    BUCKET_LOCATIONS_CACHE[bucket] = region
    return bucket, region


def get_client() -> Any:
    """Return a boto3 client of S3."""
    return buckets.client()


def get_resource(host_or_region: str) -> Any:
    """Return a boto3 resource of S3 for a host or a region."""
    return buckets.resource(host_or_region)


def get_bucket(bucket_name: str) -> Any:
    """Return a bucket as a boto3 resource."""
    name, location = sanitize_bucket_and_host(bucket_name)
    return get_resource(location).Bucket(name)


def pull(bucket: str, path: str, dest_file: str) -> None:
    """Download an object into a file."""
    get_bucket(bucket).download_file(path, dest_file)


def pull_content(bucket: str, path: str) -> str:
    """Return the text of an object."""
    content = io.BytesIO()
    get_bucket(bucket).download_fileobj(path, content)
    return content.getvalue().decode()


def push(bucket: str, path: str, src_file: str, content_type: str | None = None) -> None:
    """Upload a file."""
    get_bucket(bucket).upload_file(src_file, path, ExtraArgs=_extra(content_type))


def push_content(bucket: str, path: str, content: str, content_type: str | None = None) -> None:
    """Upload a text."""
    get_bucket(bucket).upload_fileobj(io.BytesIO(content.encode()), path, ExtraArgs=_extra(content_type))


def _extra(content_type: str | None) -> dict[str, str]:
    extra = {} if not content_type else {"ContentType": content_type}
    if settings.SIMPLEFLOW_S3_SSE:
        extra["ServerSideEncryption"] = "AES256"
    return extra


def list_keys(bucket: str, path: str | None = None) -> list[Any]:
    """Return the objects (boto3's ObjectSummary, with ``key``) whose path begins so."""
    return list(get_bucket(bucket).objects.filter(Prefix=path or ""))
