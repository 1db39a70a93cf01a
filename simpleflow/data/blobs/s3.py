"""Blobs in a bucket of Amazon S3, or of anything that speaks its protocol (AWS_ENDPOINT_URL_S3)."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from simpleflow.core import retries
from simpleflow.core.errors import UsageError
from simpleflow.data import aws
from simpleflow.data.blobs import base, errors

#: what S3 answers when a condition does not hold, and when another write of the key was under way
_CONDITION = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
_ABSENT = frozenset({"NoSuchKey"})
#: seconds that an operation is repeated
PATIENCE = retries.Patience(unclear=30.0, unreached=10.0, refused=2.0)
T = TypeVar("T")


class S3Store:
    """A ``base.BlobStore`` on ``s3://BUCKET[/PREFIX]``. Thread safe. boto3 finds credentials and region."""

    def __init__(self, url: str, *, client: Any = None, patience: retries.Patience = PATIENCE) -> None:
        """``client`` is a boto3 S3 client; without it one is made at the first use."""
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            raise UsageError(f"blob store {url!r} names no bucket; write s3://BUCKET or s3://BUCKET/PREFIX")
        self.url = url
        self._bucket = parts.netloc
        prefix = unquote(parts.path).strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = client
        self._patience = patience
        self._lock = threading.Lock()

    def get(self, key: str) -> tuple[bytes, str] | None:
        def read() -> tuple[bytes, str] | None:
            try:
                found = self._api.get_object(Bucket=self._bucket, Key=self._prefix + key)
                return found["Body"].read(), found["ETag"]  # a page of a proxy has no ETag
            except Exception as error:
                if aws.code_of(error) in _ABSENT:
                    return None
                raise

        return self._repeated(f"read {key!r}", read)

    def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        conditions: dict[str, Any] = {}
        if if_match is not None:
            conditions["IfMatch"] = if_match
        if if_absent:
            conditions["IfNoneMatch"] = "*"
        tries = self._attempts(f"write {key!r}")

        def write() -> str:
            try:
                done = self._api.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content, **conditions)
                return str(done["ETag"])
            except Exception as error:
                # If-Match on an object that is gone is answered as absent.
                if aws.code_of(error) in _CONDITION or (if_match is not None and aws.code_of(error) in _ABSENT):
                    etag = self._written(key, content) if tries.doubtful or aws.resent(error) else None
                    if etag is not None:
                        return etag
                    raise errors.PreconditionFailed(
                        f"{key!r} of {self.url} was changed by another; read it and decide again"
                    ) from error
                raise

        return self._repeated(f"write {key!r}", write, tries)

    def _written(self, key: str, content: bytes) -> str | None:
        """Return the etag of what lies there when it is this content: an attempt without an answer wrote it."""
        found = self.get(key)
        return found[1] if found is not None and found[0] == content else None

    def delete(self, key: str) -> None:
        def remove() -> None:
            done = self._api.delete_object(Bucket=self._bucket, Key=self._prefix + key)
            _expect(done, 204)

        self._repeated(f"delete {key!r}", remove)

    def list(self, prefix: str = "") -> Iterator[base.Blob]:
        token: dict[str, str] = {}
        while True:
            page = self._repeated("list", functools.partial(self._page, prefix, token))
            for found in page.get("Contents", ()):
                yield base.Blob(
                    key=found["Key"].removeprefix(self._prefix),
                    size=found["Size"],
                    etag=found["ETag"],
                    modified=found["LastModified"].timestamp(),
                )
            if not page["IsTruncated"]:
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _page(self, prefix: str, token: dict[str, str]) -> dict[str, Any]:
        page: dict[str, Any] = self._api.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix + prefix, **token)
        if "IsTruncated" not in page:
            raise ValueError("the answer is not a list of objects")
        return page

    @property
    def _api(self) -> Any:
        with self._lock:
            if self._client is None:
                import boto3
                import botocore.config

                # A session of our own: boto3's default one is not thread safe while clients are made.
                session = boto3.session.Session()
                tries: Any = {"total_max_attempts": 1}  # this class repeats
                settings = botocore.config.Config(retries=tries, connect_timeout=10, read_timeout=30)
                self._client = session.client("s3", config=settings)
                aws.attend(self._client, lambda: boto3.session.Session().get_credentials())
            return self._client

    def _attempts(self, what: str) -> retries.Attempts:
        return retries.Attempts(f"to {what} of {self.url}", self._patience, kind=aws.kind_of)

    def _repeated(self, what: str, attempt: Callable[[], T], tries: retries.Attempts | None = None) -> T:
        try:
            return (tries or self._attempts(what)).run(attempt)
        except errors.BlobStoreError:
            raise
        except Exception as error:
            if aws.kind_of(error) is retries.Kind.VERDICT and not _theirs(error):
                raise
            raise errors.BlobStoreError(f"cannot {what} of {self.url}: {error}{_advice(error)}") from error


def _expect(done: dict[str, Any], status: int) -> None:
    found = done.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if found != status:
        raise ValueError(f"the answer is none of S3's: status {found} in place of {status}")


def _advice(error: Exception) -> str:
    """What to do about keys that are not there; what S3 itself says needs no more words."""
    if type(error).__name__ not in ("NoCredentialsError", "PartialCredentialsError"):
        return ""
    return ": set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role gives them"


def _theirs(error: Exception) -> bool:
    return type(error).__module__.split(".")[0] in ("botocore", "boto3")
