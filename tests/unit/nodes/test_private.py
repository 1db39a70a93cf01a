"""What a cluster writes is its owner's alone, whatever the umask; folders that are not are refused or closed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simpleflow.core.errors import UsageError
from simpleflow.data import files, jumbo
from simpleflow.data.blobs import file
from simpleflow.process import supervisor as process_supervisor

from .rig import FLOORS, ROOT, Rig


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def open_paths(*folders: Path) -> list[str]:
    """Every path below (and with) the folders that others may read or write."""
    found = [each for folder in folders for each in (folder, *folder.rglob("*"))]
    return [f"{each} {each.lstat().st_mode & 0o777:04o}" for each in found if each.lstat().st_mode & 0o077]


@pytest.mark.needs_processes
@pytest.mark.timeout(240)
def test_a_cluster_under_umask_000_leaves_nothing_open(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FLOORS)
    with umask(0):
        rig.cluster.bring_up(directory=str(ROOT))
        try:
            rig.until("two nodes work", lambda: rig.working() == 2)
            node = next(iter(rig.cluster.status().nodes)).node
            assert rig.cluster.logs(node)
            jumbo.Store(f"file://{tmp_path}/data/blobs").offload("x" * 9, field="result", limit=1)
            names = {each.name for each in (tmp_path / "data").rglob("*")}
            assert {"control.json", "setup.json", "decider.json", "node.json", "log", "logs", "blobs"} <= names
            assert open_paths(tmp_path / "data", tmp_path / "run") == []
        finally:
            rig.close()


def test_files_are_private_under_any_umask(tmp_path: Path) -> None:
    for mask in (0, 0o022, 0o777):
        folder = tmp_path / f"{mask:o}" / "a" / "b"
        with umask(mask):
            files.folder(folder)
            files.replace(folder / "one", b"1")
            with files.log(folder / "log") as log:
                log.write(b"line\n")
            file.FileStore(f"file://{folder}/store").put("nodes/n.json", b"{}")
        assert open_paths(tmp_path / f"{mask:o}") == []
        assert (folder / "one").read_bytes() == b"1"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    old = tmp_path / "old.log"
    old.write_text("first\n")
    old.chmod(0o644)
    with files.log(old) as log:
        log.write(b"second\n")
    assert (old.read_text(), stat.S_IMODE(old.stat().st_mode)) == ("first\nsecond\n", 0o600)


@pytest.mark.needs_processes
def test_the_log_of_children_is_private(tmp_path: Path) -> None:
    made = process_supervisor.Supervisor(["true"], log=str(tmp_path / "log"))
    with umask(0):
        made.start()
    assert open_paths(tmp_path / "log") == []


def test_a_folder_that_others_can_read_is_closed_and_one_that_they_can_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    folder.chmod(0o755)
    file.FileStore(f"file://{folder}").put("a", b"1")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o770)
    with pytest.raises(UsageError, match=f"others may write into {folder} .mode 0770.*chmod 700"):
        file.FileStore(f"file://{folder}").put("a", b"2")
    assert file.FileStore(f"file://{folder}").get("a") is not None
    (tmp_path / "plain").write_text("")
    with pytest.raises(UsageError, match="is a file where a folder of simpleflow is to be"):
        files.folder(tmp_path / "plain")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(UsageError, match=f"{folder} belongs to user 12345, not to you"):
        file.FileStore(f"file://{folder}").put("a", b"1")
    rig = Rig(tmp_path, FLOORS)
    (tmp_path / "data/clusters/trial").mkdir(parents=True)
    os.chown(tmp_path / "data/clusters/trial", 12345, 12345)
    with pytest.raises(UsageError, match="belongs to user 12345"):
        rig.cluster.bring_up(directory=str(ROOT))
