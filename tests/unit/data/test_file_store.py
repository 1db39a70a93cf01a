"""Blobs in a folder: conditions, listings, keys."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from simpleflow.core.errors import UsageError
from simpleflow.data.blobs import errors, file


@pytest.fixture
def store(tmp_path: Path) -> file.FileStore:
    return file.FileStore(f"file://{tmp_path}/blobs")


def test_what_was_put_is_read_listed_and_deleted(store: file.FileStore) -> None:
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


def test_an_etag_ends_with_a_replacement_by_the_same_content(store: file.FileStore) -> None:
    first = store.put("control.json", b"same")
    second = store.put("control.json", b"same", if_match=first)
    assert second != first
    with pytest.raises(errors.PreconditionFailed, match=r"control\.json"):
        store.put("control.json", b"late", if_match=first)
    assert store.get("control.json") == (b"same", second)


def test_conditions_on_absence(store: file.FileStore) -> None:
    with pytest.raises(errors.PreconditionFailed):
        store.put("a", b"", if_match="never")
    assert store.get("a") is None
    store.put("a", b"1", if_absent=True)
    with pytest.raises(errors.PreconditionFailed, match="exists already"):
        store.put("a", b"2", if_absent=True)
    assert (store.get("a") or (b"", ""))[0] == b"1"


def test_no_increment_is_lost_between_writers(store: file.FileStore) -> None:
    store.put("count", b"0")

    def increment() -> None:
        added = 0
        while added < 20:
            content, etag = store.get("count") or (b"", "")
            try:
                store.put("count", str(int(content) + 1).encode(), if_match=etag)
                added += 1
            except errors.PreconditionFailed:
                continue

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (store.get("count") or (b"", ""))[0] == b"80"


@pytest.mark.parametrize("key", ["", "../a", "a//b", "/a", "a/..", ".blobs/lock"])
def test_keys_stay_inside(store: file.FileStore, key: str) -> None:
    with pytest.raises(UsageError, match="key"):
        store.put(key, b"")


@pytest.mark.parametrize("url", ["file://host/a", "s3://bucket", "file://"])
def test_urls_name_a_folder(url: str) -> None:
    with pytest.raises(UsageError, match="file:///absolute/folder"):
        file.FileStore(url)
