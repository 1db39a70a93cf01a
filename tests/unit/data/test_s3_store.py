"""Blobs in a bucket, against moto's S3."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.awsrequest
import botocore.exceptions
import moto
import pytest

from simpleflow.core import retries
from simpleflow.core.errors import UsageError
from simpleflow.data import blobs
from simpleflow.data.blobs import errors, file, s3
from simpleflow.runtime import runner, stores


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


HTML = b"<html><body>Sign in</body></html>"


def _answer(status: int, body: bytes = HTML, date: str = "") -> Any:
    raw = SimpleNamespace(stream=lambda *a, **k: iter([body]), read=lambda *a: body)
    raw.close = raw.release_conn = lambda: None
    return botocore.awsrequest.AWSResponse("https://s3", status, {"date": date} if date else {}, raw)


def _xml(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>later</Message></Error>".encode()


FAULTS: dict[str, Any] = {
    **{f"{status} of a proxy": lambda status=status: _answer(status) for status in (302, 400, 403, 404, 408, 429, 502)},
    "200 of a portal": lambda: _answer(200),
    "200 and empty": lambda: _answer(200, b""),
    "SlowDown": lambda: _answer(503, _xml("SlowDown")),
    "ExpiredToken": lambda: _answer(400, _xml("ExpiredToken")),
    "RequestTimeTooSkewed": lambda: _answer(403, _xml("RequestTimeTooSkewed")),
    "InternalError": lambda: _answer(500, _xml("InternalError")),
    "reset": lambda: botocore.exceptions.ConnectionClosedError(endpoint_url="https://s3"),
}


@pytest.fixture
def strike(store: s3.S3Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], Any]], list[str]]:
    """Makes the next request of the store meet a fault, after ``first`` was done by another client."""
    monkeypatch.setattr(retries, "sleep", lambda seconds: False)

    def plan(fault: str, first: Callable[[], Any]) -> list[str]:
        met: list[str] = []

        def answer(**_: Any) -> Any:
            if met:
                return None
            met.append(fault)
            first()
            made = FAULTS[fault]()
            if isinstance(made, Exception):
                raise made
            return made

        store._api.meta.events.register_first("before-send.s3", answer)
        return met

    return plan


@pytest.mark.parametrize("fault", FAULTS)
def test_an_odd_answer_is_no_verdict(
    store: s3.S3Store, strike: Callable[[str, Callable[[], Any]], list[str]], fault: str
) -> None:
    other = boto3.client("s3")

    def written() -> None:
        other.put_object(Bucket="blobs", Key="some/prefix/a", Body=b"1")

    first = store.put("a", b"0")
    met = strike(fault, written)
    second = store.put("a", b"1", if_match=first)  # the answer of the write was lost: it is ours
    assert met
    assert store.get("a") == (b"1", second)
    for act in (
        lambda: store.get("a") == (b"1", second),
        lambda: [blob.key for blob in store.list()] == ["a"],
        lambda: store.put("a", b"1") == second,
        lambda: store.delete("a") is None,
    ):
        met = strike(fault, lambda: None)
        assert act()
        assert met
    assert store.get("a") is None


def test_a_result_is_stored_for_as_long_as_its_work_counts(store: s3.S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> bool:
        waited.append(seconds)
        return False

    monkeypatch.setattr(retries, "sleep", sleep)
    kept = stores.open_store("blobs/results", patience=runner.STORING)
    kept.offload("x" * 40_000, field="result", limit=32_768)
    (opened,) = kept._opened.values()
    assert isinstance(opened, s3.S3Store)
    opened._api.meta.events.register_first("before-send.s3", lambda **_: _answer(502) if sum(waited) < 1800 else None)
    pointer = kept.offload("y" * 40_000, field="result", limit=32_768)
    assert sum(waited) >= 1800
    assert stores.open_store("blobs/results").load(pointer) == "y" * 40_000


def test_the_write_of_another_after_a_lost_answer_is_his(
    store: s3.S3Store, strike: Callable[[str, Callable[[], Any]], list[str]]
) -> None:
    first = store.put("a", b"0")
    strike("reset", lambda: boto3.client("s3").put_object(Bucket="blobs", Key="some/prefix/a", Body=b"his"))
    with pytest.raises(errors.PreconditionFailed):
        store.put("a", b"mine", if_match=first)


def test_keys_are_fetched_anew_and_the_clock_corrected(store: s3.S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "sleep", lambda seconds: False)
    store.put("a", b"0")
    ahead = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=20)
    seen: list[Any] = []

    def answer(request: Any, **_: Any) -> Any:
        seen.append({name: _text(value) for name, value in request.headers.items()})
        if len(seen) > 1:
            return None
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "NEW")
        return _answer(403, _xml("RequestTimeTooSkewed"), f"{ahead:%a, %d %b %Y %H:%M:%S GMT}")

    store._api.meta.events.register_first("before-send.s3", answer)
    assert store.get("a") is not None
    stamps = [datetime.datetime.strptime(each["X-Amz-Date"] + "+0000", "%Y%m%dT%H%M%SZ%z") for each in seen]
    assert abs((stamps[1] - ahead).total_seconds()) < 60 < (ahead - stamps[0]).total_seconds()
    assert "Credential=NEW/" in seen[1]["Authorization"]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def test_urls_lead_to_stores() -> None:
    assert isinstance(blobs.open_store("file:///folder"), file.FileStore)
    assert isinstance(blobs.open_store("s3://bucket"), s3.S3Store)
    for url in ("bucket", "http://bucket", "s3://"):
        with pytest.raises(UsageError):
            blobs.open_store(url)
