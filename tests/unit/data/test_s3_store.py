"""Blobs in a bucket, against moto's S3."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import moto
import pytest

from simpleflow.core.errors import UsageError
from simpleflow.data import blobs
from simpleflow.data.blobs import errors, file, s3


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.S3Store]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    with moto.mock_aws():
        boto3.client("s3").create_bucket(Bucket="blobs")
        yield s3.S3Store("s3://blobs/some/prefix")


def test_what_was_put_is_read_listed_and_deleted(store: s3.S3Store) -> None:
    assert store.get("nodes/a.json") is None
    assert list(store.list()) == []
    etag = store.put("nodes/a.json", b"one")
    store.put("other", b"two")
    assert store.get("nodes/a.json") == (b"one", etag)
    assert [(blob.key, blob.size, blob.etag) for blob in store.list("nodes/")] == [("nodes/a.json", 3, etag)]
    assert [blob.key for blob in store.list()] == ["nodes/a.json", "other"]
    store.delete("nodes/a.json")
    store.delete("nodes/a.json")
    assert store.get("nodes/a.json") is None
    assert [blob.key for blob in s3.S3Store("s3://blobs").list()] == ["some/prefix/other"]


def test_conditions(store: s3.S3Store) -> None:
    first = store.put("control.json", b"1", if_absent=True)
    with pytest.raises(errors.PreconditionFailed, match=r"control\.json"):
        store.put("control.json", b"2", if_absent=True)
    second = store.put("control.json", b"3", if_match=first)
    with pytest.raises(errors.PreconditionFailed, match="decide again"):
        store.put("control.json", b"4", if_match=first)
    assert store.get("control.json") == (b"3", second)
    with pytest.raises(errors.PreconditionFailed):
        store.put("never", b"", if_match=first)


def test_a_bucket_that_is_not_there_is_an_error_of_ours(store: s3.S3Store) -> None:
    with pytest.raises(errors.BlobStoreError, match="s3://nowhere"):
        s3.S3Store("s3://nowhere").put("a", b"")


def test_urls_lead_to_stores() -> None:
    assert isinstance(blobs.open_store("file:///folder"), file.FileStore)
    assert isinstance(blobs.open_store("s3://bucket"), s3.S3Store)
    for url in ("bucket", "http://bucket", "s3://"):
        with pytest.raises(UsageError):
            blobs.open_store(url)
