from __future__ import annotations

import hashlib
import io
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from simpleflow import settings, storage
from simpleflow.core import errors
from simpleflow.download import RemoteBinary, download_binaries, with_binaries

TOOL = "#!/bin/sh\necho worked\n"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "binaries"
    settings.put_setting("SIMPLEFLOW_BINARIES_DIRECTORY", str(folder))
    monkeypatch.setenv("PATH", os.environ["PATH"])
    return folder


def test_a_program_in_s3_is_downloaded_once_and_found(bucket: Any, place: Path) -> None:
    storage.push_content("kept", "v1/my-tool", TOOL)

    @with_binaries({"my-tool": "s3://kept/v1/my-tool"})
    def use() -> str:
        return subprocess.check_output(["my-tool"], text=True)

    assert use() == "worked\n"
    bucket.Object("v1/my-tool").delete()
    assert use() == "worked\n"
    assert os.environ["PATH"].count(str(place)) == 1


def test_where_a_program_lies(place: Path) -> None:
    binary = RemoteBinary("custom-bin", "s3://a.bucket/v1.2.3/custom-bin")
    assert binary.local_directory == f"{place}/custom-bin-585b3e5c252d6ec7aff52c24b149d719"
    assert binary.local_location == f"{binary.local_directory}/custom-bin"


def test_files_with_a_checksum(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text(TOOL)
    good = hashlib.sha256(TOOL.encode()).hexdigest()
    download_binaries({"tool": f"file://{tmp_path}/tool#sha256={good}"})
    assert subprocess.check_output(["tool"], text=True) == "worked\n"
    with pytest.raises(errors.UsageError, match="sha256"):
        RemoteBinary("tool", f"file://{tmp_path}/tool#sha256={'0' * 64}").download()


class Answer(io.BytesIO):
    """What urlopen gives: the content of an address, and how many bytes of it are missing after it was read."""

    def __init__(self, url: str, missing: int = 0) -> None:
        super().__init__(TOOL.encode())
        self.url, self.length = url, missing


def test_a_download_that_breaks_off_or_leaves_https_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://host/tool"
    binary = RemoteBinary("tool", url)
    answers = [Answer(url, missing=7), Answer("http://host/tool"), Answer(url)]
    monkeypatch.setattr(urllib.request, "urlopen", lambda address, timeout: answers.pop(0))
    with pytest.raises(ConnectionError, match="7 bytes are missing"):
        binary.download()
    with pytest.raises(errors.UsageError, match="redirects to http://host/tool"):
        binary.download()
    assert not os.path.exists(binary.local_location)
    binary.download()
    assert subprocess.check_output([binary.local_location], text=True) == "worked\n"


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="ftp"):
        RemoteBinary("tool", "ftp://host/tool")
    with pytest.raises(errors.UsageError, match="not a file name"):
        RemoteBinary("../tool", "s3://kept/tool")


def test_programs_are_not_taken_from_where_others_may_write(place: Path, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text(TOOL)
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(errors.UsageError, match="SIMPLEFLOW_BINARIES_DIRECTORY"):
        RemoteBinary("tool", f"file://{tmp_path}/tool").download()
