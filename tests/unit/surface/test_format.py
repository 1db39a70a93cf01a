from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from simpleflow import constants, format, settings, storage
from simpleflow.data import jumbo


def test_short_messages_stay() -> None:
    assert format.encode(None, 1) is None
    assert format.encode("", 1) == ""
    assert format.encode("abc", 3) == "abc"
    assert format.result({"a": (1, 2)}) == '{"a":[1,2]}'
    assert format.decode(None) is None
    assert format.decode("plain words") == "plain words"
    assert format.decode('{"a": [1]}') == {"a": [1]}
    assert format.decode('{"a": [1]}', parse_json=False) == '{"a": [1]}'


def test_long_ones_are_refused_without_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMPLEFLOW_JUMBO_FIELDS_BUCKET", "")
    with pytest.raises(ValueError, match=r"Message too long \(4 chars.*SIMPLEFLOW_JUMBO_FIELDS_BUCKET"):
        format.encode("abcd", 3)
    monkeypatch.setenv("SIMPLEFLOW_JUMBO_FIELDS_BUCKET", "kept")
    with pytest.raises(format.JumboTooLargeError, match="Message too long"):
        format.encode("abcd", 3, allow_jumbo_fields=False)
    with pytest.raises(format.JumboTooLargeError, match="even for a jumbo field"):
        format.details("A" * (constants.JUMBO_FIELDS_MAX_SIZE + 1))


@pytest.mark.parametrize("location", ["kept", "kept/with/dir/"])
def test_long_ones_go_to_the_bucket(bucket: Any, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    monkeypatch.setenv("SIMPLEFLOW_JUMBO_FIELDS_BUCKET", location)
    pointer = format.result("A" * 64_000)
    assert pointer is not None
    assert pointer.startswith(f"simpleflow+s3://{location.rstrip('/')}/")
    assert pointer.endswith(" 64002")
    assert "//" not in pointer.removeprefix("simpleflow+s3://")
    assert format.result("A" * 64_000) == pointer
    key = pointer.split()[0].removeprefix("simpleflow+s3://kept/")
    assert storage.pull_content("kept", key) == '"' + "A" * 64_000 + '"'
    format.JUMBO_FIELDS_MEMORY_CACHE.clear()
    assert format.decode(pointer, use_proxy=False) == "A" * 64_000
    assert jumbo.Store("s3://kept").load(pointer) == '"' + "A" * 64_000 + '"'


def test_a_pointer_over_the_limit_is_told(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMPLEFLOW_JUMBO_FIELDS_BUCKET", "kept/" + "a" * 256)
    with pytest.raises(ValueError, match="Jumbo field signature is longer than"):
        format.reason("A" * 500)
    assert not list(bucket.objects.all())


def test_what_others_stored_is_followed_when_it_is_used(bucket: Any) -> None:
    storage.push_content("kept", "abc", '{"far": 1}')
    lazy = format.decode("simpleflow+s3://kept/abc 10")
    storage.push_content("kept", "abc", '{"far": 2}')
    assert lazy == {"far": 2}
    assert format.decode("simpleflow+s3://kept/abc 10", parse_json=False, use_proxy=False) == '{"far": 2}'


def test_a_content_that_was_changed_is_refused(bucket: Any) -> None:
    storage.push_content("kept", "0" * 64, "something else")
    with pytest.raises(jumbo.BrokenReference):
        format.decode(f"simpleflow+s3://kept/{'0' * 64} 14", use_proxy=False)


def test_the_disk_keeps_values_for_hours(bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "CACHE_DIR", str(tmp_path / "cache"))
    storage.push_content("kept", "abc", "far")
    settings.put_setting("SIMPLEFLOW_ENABLE_DISK_CACHE", True)
    assert format.decode("simpleflow+s3://kept/abc 3", use_proxy=False) == "far"
    bucket.Object("abc").delete()
    format.JUMBO_FIELDS_MEMORY_CACHE.clear()
    assert format.decode("simpleflow+s3://kept/abc 3", use_proxy=False) == "far"


def test_the_memory_is_bounded_and_keeps_what_was_used_last(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format, "REMEMBERED", (3, 100))
    for name in "abcdef":
        storage.push_content("kept", name, name * 30)

    def read(name: str) -> None:
        assert format.decode(f"simpleflow+s3://kept/{name} 30", use_proxy=False) == name * 30

    for name in "abcad":  # the fourth value puts b out, which was not used for longest
        read(name)
    held = format.JUMBO_FIELDS_MEMORY_CACHE
    assert [pointer[-4] for pointer in held] == ["c", "a", "d"]
    bucket.Object("a").delete()
    read("a")
    storage.push_content("kept", "large", "x" * 90)
    format.decode("simpleflow+s3://kept/large 90", use_proxy=False)
    assert list(held.values()) == ["x" * 90]
    storage.push_content("kept", "huge", "x" * 101)
    assert format.decode("simpleflow+s3://kept/huge 101", use_proxy=False) == "x" * 101
    assert not held


def test_the_disk_cache_is_bounded_and_rid_of_what_is_old(
    bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(format, "ON_DISK", (3, 100))
    settings.put_setting("SIMPLEFLOW_ENABLE_DISK_CACHE", True)
    folder = tmp_path / "cache" / "jumbo_fields"

    def read(name: str, size: int) -> None:
        storage.push_content("kept", name, name * size)
        assert format.decode(f"simpleflow+s3://kept/{name} {size}", use_proxy=False) == name * size
        for path in folder.iterdir():  # as if a minute had passed
            os.utime(path, (path.stat().st_mtime - 60,) * 2)

    for name in "abcde":
        read(name, 20)
    assert sorted(path.read_text()[0] for path in folder.iterdir()) == ["c", "d", "e"]
    read("f", 70)
    assert sorted(path.read_text()[0] for path in folder.iterdir()) == ["e", "f"]
    (folder / "written.1").write_text("by another process")
    for path in folder.glob("*[!1]"):
        os.utime(path, (0, 0))
    read("g", 1)
    assert sorted(path.read_text()[0] for path in folder.iterdir()) == ["b", "g"]


def test_an_identity_is_cut() -> None:
    assert format.identity("A" * 300) == "A" * 252 + " ..."
    assert format.identity("me") == "me"
