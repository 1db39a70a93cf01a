from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from simpleflow import settings
from simpleflow.core import errors
from simpleflow.data import jumbo
from simpleflow.data.blobs import base
from simpleflow.runtime import stores


class Memory:
    """A blob store of one folder, in memory."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.content: dict[str, bytes] = {}

    def get(self, key: str) -> tuple[bytes, str] | None:
        return (self.content[key], "etag") if key in self.content else None

    def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        self.content[key] = content
        return "etag"

    def delete(self, key: str) -> None:
        self.content.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[base.Blob]:
        return iter(())


@pytest.fixture
def opened() -> dict[str, Memory]:
    return {}


def open_in(opened: dict[str, Memory], location: str | None) -> stores.Store:
    return stores.Store(location, opener=lambda url: opened.setdefault(url, Memory(url)))


def test_small_values_stay_and_large_ones_become_pointers(opened: dict[str, Memory]) -> None:
    store = open_in(opened, "bucket/dir")
    assert store.offload("x" * 10, field="result", limit=10) == "x" * 10
    assert opened == {}
    pointer = store.offload("x" * 11, field="result", limit=10)
    assert pointer == f"simpleflow+s3://bucket/dir/{hashlib.sha256(b'x' * 11).hexdigest()} 11"
    assert store.load(pointer) == "x" * 11
    assert open_in(opened, None).load(pointer) == "x" * 11
    assert store.offload("x" * 11, field="result", limit=10) == pointer


def test_without_a_store_the_error_names_field_size_limit_and_setting(opened: dict[str, Memory]) -> None:
    with pytest.raises(ValueError, match=r"result holds 11 .* 10.*SIMPLEFLOW_JUMBO_FIELDS_BUCKET"):
        open_in(opened, None).offload("x" * 11, field="result", limit=10)


def test_over_five_mebibytes_is_refused(opened: dict[str, Memory]) -> None:
    with pytest.raises(ValueError, match="store it yourself"):
        open_in(opened, "b").offload("x" * (jumbo.LARGEST + 1), field="result", limit=10)


def test_a_changed_or_missing_blob_is_found_out(opened: dict[str, Memory]) -> None:
    store = open_in(opened, "file:///folder")
    pointer = store.offload("x" * 11, field="result", limit=10)
    (memory,) = opened.values()
    (key,) = memory.content
    memory.content[key] = b"y" * 11
    with pytest.raises(errors.SimpleflowError, match="digest"):
        store.load(pointer)
    memory.delete(key)
    with pytest.raises(errors.SimpleflowError, match="leads to nothing"):
        store.load(pointer)


def test_references_inside_arguments_are_resolved_at_any_depth(opened: dict[str, Memory]) -> None:
    store = open_in(opened, "b")
    pointer = store.offload('[1,"two"]', field="input", limit=2)
    value = {"args": [{"deep": [{"$simpleflow.ref": pointer}]}], "kwargs": {"plain": {"a": 1}}}
    assert store.resolve(value) == {"args": [{"deep": [[1, "two"]]}], "kwargs": {"plain": {"a": 1}}}


def test_text_that_only_looks_like_a_pointer_is_left_alone(opened: dict[str, Memory]) -> None:
    assert open_in(opened, "b").load("simpleflow+s3://bucket/none 3") == "simpleflow+s3://bucket/none 3"


def test_the_embedded_service_has_a_folder_and_amazon_swf_needs_a_bucket(tmp_path: Path) -> None:
    settings.configure({"SIMPLEFLOW_DATA_DIR": str(tmp_path), "SIMPLEFLOW_JUMBO_FIELDS_BUCKET": None})
    try:
        assert stores.location("unix:///run/swf.sock") == f"file://{tmp_path}/blobs"
        assert stores.location(None) is None
        settings.put_setting("SIMPLEFLOW_JUMBO_FIELDS_BUCKET", "mine")
        assert stores.location("unix:///run/swf.sock") == "mine"
    finally:
        settings.reload()
