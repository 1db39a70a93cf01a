"""Buckets as boto3 has them, for programs that push and pull files of their own (``simpleflow.storage``)."""

from __future__ import annotations

import os
import threading
from typing import Any

from simpleflow.data import aws

#: what S3 answers to one who may use a bucket, but not ask where it lies
_FORBIDDEN = frozenset({"AccessDenied", "403", "AllAccessDisabled"})
_local = threading.local()


def _session() -> Any:
    """A session for each thread of each process: boto3's resources are not thread safe, nor made for forks."""
    if getattr(_local, "pid", None) != os.getpid():
        import boto3

        _local.pid, _local.session, _local.made = os.getpid(), boto3.session.Session(), {}
    return _local.session


def client() -> Any:
    """Return a boto3 client of S3."""
    return _kept(("client",), lambda: _session().client("s3"))


def resource(host_or_region: str) -> Any:
    """Return a boto3 resource of S3 for a host name (it has a dot) or a region."""
    if "." in host_or_region:
        named = {"endpoint_url": f"https://{host_or_region}"}
    else:
        named = {"region_name": host_or_region}
    return _kept(("resource", host_or_region), lambda: _session().resource("s3", **named))


def _kept(key: tuple[str, ...], make: Any) -> Any:
    _session()
    if key not in _local.made:
        _local.made[key] = make()
    return _local.made[key]


def region(bucket: str) -> str | None:
    """Return the region of a bucket, None when the caller may not ask."""
    try:
        found = client().get_bucket_location(Bucket=bucket)["LocationConstraint"]
    except Exception as error:
        if aws.code_of(error) in _FORBIDDEN:
            return None
        raise
    # S3 names no region for its first one.
    return str(found) if found else "us-east-1"
