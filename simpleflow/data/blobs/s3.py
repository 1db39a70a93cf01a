"""Blobs in a bucket of Amazon S3, or of anything that speaks its protocol (AWS_ENDPOINT_URL_S3)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from simpleflow.core.errors import UsageError
from simpleflow.data.blobs import base, errors

#: what S3 answers when a condition does not hold, and when another write of the key was under way
_CONDITION = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})


class S3Store:
    """A ``base.BlobStore`` on ``s3://BUCKET[/PREFIX]``. Thread safe. boto3 finds credentials and region."""

    def __init__(self, url: str, *, client: Any = None) -> None:
        """``client`` is a boto3 S3 client; without it one is made at the first use."""
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            raise UsageError(f"blob store {url!r} names no bucket; write s3://BUCKET or s3://BUCKET/PREFIX")
        self.url = url
        self._bucket = parts.netloc
        prefix = unquote(parts.path).strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = client
        self._lock = threading.Lock()

    def get(self, key: str) -> tuple[bytes, str] | None:
        with self._mapped(f"read {key!r}"):
            try:
                found = self._api.get_object(Bucket=self._bucket, Key=self._prefix + key)
                return found["Body"].read(), found["ETag"]
            except Exception as error:
                if _code(error) in _ABSENT:
                    return None
                raise

    def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        conditions: dict[str, Any] = {}
        if if_match is not None:
            conditions["IfMatch"] = if_match
        if if_absent:
            conditions["IfNoneMatch"] = "*"
        with self._mapped(f"write {key!r}"):
            try:
                done = self._api.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content, **conditions)
            except Exception as error:
                # If-Match on an object that is gone is answered as absent.
                if _code(error) in _CONDITION or (if_match is not None and _code(error) in _ABSENT):
                    raise errors.PreconditionFailed(
                        f"{key!r} of {self.url} was changed by another; read it and decide again"
                    ) from error
                raise
            etag: str = done["ETag"]
            return etag

    def delete(self, key: str) -> None:
        with self._mapped(f"delete {key!r}"):
            self._api.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def list(self, prefix: str = "") -> Iterator[base.Blob]:
        with self._mapped("list"):
            pages = self._api.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    yield base.Blob(
                        key=found["Key"].removeprefix(self._prefix),
                        size=found["Size"],
                        etag=found["ETag"],
                        modified=found["LastModified"].timestamp(),
                    )

    @property
    def _api(self) -> Any:
        with self._lock:
            if self._client is None:
                import boto3

                # A session of our own: boto3's default one is not thread safe while clients are made.
                self._client = boto3.session.Session().client("s3")
            return self._client

    @contextlib.contextmanager
    def _mapped(self, what: str) -> Iterator[None]:
        try:
            yield
        except errors.BlobStoreError:
            raise
        except Exception as error:
            import botocore.exceptions

            if not isinstance(error, botocore.exceptions.BotoCoreError | botocore.exceptions.ClientError):
                raise
            raise errors.BlobStoreError(f"cannot {what} of {self.url}: {error}") from error


def _code(error: Exception) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
