"""The files of a database: whose they are, who holds them, which log belongs to them, and what is done with them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service_world import World

from simpleflow.core import errors, folders
from simpleflow.server.store import StoreError, files, sqlite, upkeep, wal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "swf.db"


def written(path: Path, count: int = 3, **options: Any) -> World:
    world = World(sqlite.open_file(path, **options))
    for number in range(count):
        world.start(f"w{number}")
    return world


def killed(world: World) -> None:
    """End as ``kill -9`` does: nothing is marked, the log stays."""
    store = world.store
    assert isinstance(store, sqlite.File)
    for suffix in ("-wal", "-shm"):
        shutil.copy(f"{store.path}{suffix}", f"{store.path}{suffix}.kept")
    shutil.copy(store.path, f"{store.path}.kept")
    store.rollback()
    store.release()
    for suffix in ("", "-wal", "-shm"):
        os.replace(f"{store.path}{suffix}.kept", f"{store.path}{suffix}")


def names(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        found = [name for (name,) in connection.execute("SELECT workflow_id FROM executions ORDER BY key")]
    connection.close()
    return found


@pytest.fixture
def umask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


def test_files_are_their_owners_alone_whatever_the_umask(tmp_path: Path, umask: None) -> None:
    path = tmp_path / "made" / "for" / "swf.db"
    world = written(path)
    upkeep.backup(path, tmp_path / "made" / "copy.db")
    for each in (tmp_path / "made").rglob("*"):
        assert stat.S_IMODE(each.stat().st_mode) == (0o700 if each.is_dir() else 0o600), each
    world.store.close()
    path.chmod(0o666)
    store = sqlite.open_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store.close()


@pytest.mark.parametrize("what", ["database", "text"])
def test_another_program_s_file_keeps_its_mode_and_its_name(path: Path, tmp_path: Path, what: str) -> None:
    copy = tmp_path / "copy.db"
    written(path).store.close()
    upkeep.backup(path, copy)
    orders = tmp_path / "orders.db"
    if what == "text":
        orders.write_text("my thesis\n" * 100)
    else:
        with sqlite3.connect(orders) as connection:
            connection.execute("CREATE TABLE orders(number)")
        connection.close()
        with pytest.raises(StoreError, match="another program's database"):
            upkeep.restore(copy, orders)
    orders.chmod(0o664)
    before = orders.read_bytes()
    for fresh in (False, True):
        with pytest.raises(StoreError, match="not a database of the embedded service"):
            sqlite.open_file(orders, fresh=fresh)
    assert stat.S_IMODE(orders.stat().st_mode) == 0o664
    assert orders.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} == {"swf.db", "copy.db", "orders.db"}


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StoreError, match="other users may replace"):
        sqlite.open_file(folder / "swf.db")
    assert list(folder.iterdir()) == []
    folder.chmod(0o1777)  # in a folder for temporary files each keeps his own
    sqlite.open_file(folder / "swf.db").close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["swf.db", "swf.db-wal"])
def test_a_file_of_another_user_is_refused(path: Path, name: str) -> None:
    written(path).store.close()
    (path.parent / name).touch()
    os.chown(path.parent / name, 12_345, 12_345)
    with pytest.raises(StoreError, match="belongs to another user"):
        sqlite.open_file(path)


@pytest.mark.parametrize("how", ["hard link", "symbolic link", "lock file removed", "copied folder entry"])
def test_no_way_leads_a_second_server_in(path: Path, tmp_path: Path, how: str) -> None:
    world = written(path)
    other = tmp_path / "other.db"
    if how == "hard link":
        os.link(path, other)
    elif how == "symbolic link":
        other.symlink_to(path)
    else:
        other = path
        for each in tmp_path.iterdir():
            if each.suffix not in (".db", ".db-wal", ".db-shm"):
                each.unlink()
    for fresh in (False, True):
        with pytest.raises(StoreError, match="open in another server"):
            sqlite.open_file(other, fresh=fresh)
    world.start("more")
    world.store.close()
    assert "more" in names(path)


def test_another_process_is_kept_out_after_a_check_and_a_backup_in_this_one(path: Path, tmp_path: Path) -> None:
    """Closing any descriptor of a file drops SQLite's own locks on it, but not the one of flock."""
    world = written(path)
    assert list(upkeep.quick_check(path)) == list(upkeep.check(path)) == []
    upkeep.backup(path, tmp_path / "copy.db")
    code = f"from simpleflow.server.store import sqlite; sqlite.open_file({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "open in another server" in done.stderr
    world.store.close()


@pytest.mark.parametrize("what", ["swf.db", "swf.db-wal", "swf.db-shm", "."])
@pytest.mark.parametrize("how", ["deleted", "renamed", "replaced"])
def test_files_that_are_not_in_their_place_are_noticed_before_an_answer(tmp_path: Path, what: str, how: str) -> None:
    folder = tmp_path / "data"
    world = written(folder / "swf.db")
    target = folder / what
    if how == "deleted":
        shutil.rmtree(target) if target == folder else target.unlink()
    else:
        os.rename(target, tmp_path / "away")
        if how == "replaced":
            (shutil.copytree if target == folder else shutil.copy)(tmp_path / "away", target)
    with pytest.raises(files.Moved, match="while the service had it open"):
        world.start("lost")
    store = world.store
    assert isinstance(store, sqlite.File)
    store.close()
    assert not (how == "deleted" and target.exists())


@pytest.mark.parametrize("what", ["log cut", "database cut", "backup copied onto it"])
def test_files_whose_bytes_others_change_are_noticed_before_an_answer(path: Path, tmp_path: Path, what: str) -> None:
    copy = tmp_path / "copy.db"
    world = written(path)
    upkeep.backup(path, copy)
    world.start("later")
    if what == "log cut":
        os.truncate(f"{path}-wal", 0)
    elif what == "database cut":
        os.truncate(path, 4096)
    else:
        path.write_bytes(copy.read_bytes())
    with pytest.raises(files.Moved, match="while the service had it open"):
        world.start("lost")
    store = world.store
    assert isinstance(store, sqlite.File)
    store.rollback()
    store.release()


def test_a_database_in_use_may_be_read_and_copied_by_others(path: Path, tmp_path: Path) -> None:
    world = written(path)
    assert len(names(path)) == 3
    upkeep.backup(path, tmp_path / "copy.db")
    assert list(upkeep.check(path)) == []
    os.utime(path)
    store = world.store
    assert isinstance(store, sqlite.File)
    for number in range(3, 6):
        world.start(f"w{number}")
        store._copy()
    world.store.close()
    assert len(names(path)) == 6


def test_in_the_mode_without_flushes_it_is_noticed_as_well(path: Path) -> None:
    world = written(path, synchronous="NORMAL")
    path.rename(path.with_name("away.db"))
    with pytest.raises(files.Moved):
        world.start("lost")
    world.store.close()


# -- which log belongs to a database


def test_a_killed_server_s_log_is_replayed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_CHECKPOINT_FRAMES", 20)
    for count in (1, 5, 60):
        path.unlink(missing_ok=True)
        world = written(path, count)
        killed(world)
        again = sqlite.open_file(path)
        assert not again.was_clean
        assert len(names(path)) == count
        again.release()
        again = sqlite.open_file(path)
        assert len(names(path)) == count
        again.close()


@pytest.mark.parametrize("copied", ["backup", "file of a stopped server", "file of the running server"])
def test_the_log_of_another_database_is_not_replayed(
    path: Path, tmp_path: Path, copied: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that is copied over the database while the log of a killed server lies beside it would be destroyed."""
    monkeypatch.setattr(sqlite, "_CHECKPOINT_FRAMES", 20)
    world, copy = written(path, 30), tmp_path / "copy.db"
    if copied == "backup":
        upkeep.backup(path, copy)
    elif copied == "file of a stopped server":
        world.store.close()
        shutil.copy(path, copy)
        world = World(sqlite.open_file(path), fresh=False)
    else:
        shutil.copy(path, copy)
    for number in range(30, 90):
        world.start(f"w{number}")
    killed(world)
    before = Path(f"{path}-wal").read_bytes()
    shutil.move(path, tmp_path / "whole.db")
    shutil.copy(copy, path)
    with pytest.raises(StoreError, match="does not belong to"):
        sqlite.open_file(path)
    assert [each for each in upkeep.check(path) if "does not belong to" not in each] == []
    with pytest.raises(StoreError, match="does not belong to"):
        upkeep.backup(path, tmp_path / "backup-of-both.db")
    assert Path(f"{path}-wal").read_bytes() == before
    shutil.move(tmp_path / "whole.db", path)
    sqlite.open_file(path).close()
    assert len(names(path)) == 90


def test_a_path_that_leads_nowhere_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StoreError, match="is not a file: name a file"):
        sqlite.open_file(tmp_path / "a")
    with pytest.raises(StoreError, match="there is no database"):
        upkeep.backup(tmp_path / "a", tmp_path / "copy.db")
    with pytest.raises(errors.UsageError, match="this user has no home"):
        sqlite.open_file("~nobody-of-this-name/swf.db")


def test_a_log_beside_an_empty_place_is_kept(path: Path, tmp_path: Path) -> None:
    world = written(path)
    killed(world)
    path.rename(tmp_path / "away.db")
    for fresh in (False, True):
        with pytest.raises(StoreError, match="beside an empty place"):
            sqlite.open_file(path, fresh=fresh)
    assert not path.exists(), "what is refused leaves nothing"
    (tmp_path / "away.db").rename(path)
    sqlite.open_file(path).close()
    assert len(names(path)) == 3


def test_another_name_of_a_killed_server_s_database_is_refused(path: Path, tmp_path: Path) -> None:
    killed(written(path))
    other = tmp_path / "other.db"
    os.link(path, other)
    with pytest.raises(StoreError, match="has another name"):
        sqlite.open_file(other)
    sqlite.open_file(path).close()
    sqlite.open_file(other).close()


def test_the_shell_may_look_at_a_killed_server_s_database(path: Path) -> None:
    """Another program that closes it copies its log and deletes that."""
    killed(written(path))
    assert len(names(path)) == 3
    assert wal.read(Path(f"{path}-wal")) is None
    sqlite.open_file(path).close()
    assert len(names(path)) == 3


def test_a_reader_that_stays_keeps_the_log_growing_and_harms_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_CHECKPOINT_FRAMES", 10)
    monkeypatch.setattr(sqlite, "_TRY_AGAIN", 10)
    world = written(path)
    reader = sqlite.read_only(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM executions").fetchone()
    for number in range(3, 60):
        world.start(f"w{number}")
    killed(world)
    reader.close()
    sqlite.open_file(path).close()
    assert len(names(path)) == 60


@pytest.mark.parametrize(("salt", "expected", "steps"), [(5, 5, 0), (0, 2**32 - 1, 1), (2**32 - 1, 0, -1), (7, 5, 2)])
def test_salts_are_counted_around_their_end(salt: int, expected: int, steps: int) -> None:
    assert wal.steps(salt, expected) == steps


# -- what is deleted


def foreign(path: Path, *, log: bool = False) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    if log:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE orders(x)")
    connection.execute("INSERT INTO orders VALUES(42)")
    if log:
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{path}{suffix}.kept")
    connection.close()
    if log:
        for suffix in ("", "-wal"):
            os.replace(f"{path}{suffix}.kept", f"{path}{suffix}")


@pytest.mark.parametrize("what", ["database", "its log", "text", "folder", "fifo", "link to a text"])
def test_reset_and_start_leave_what_is_not_ours(tmp_path: Path, what: str) -> None:
    path = tmp_path / "orders.db"
    if what in ("database", "its log"):
        foreign(path, log=what == "its log")
    elif what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    else:
        (tmp_path / "thesis.txt").write_text("my thesis")
        path.symlink_to("thesis.txt") if what == "link to a text" else (tmp_path / "thesis.txt").rename(path)
    before = {each: each.read_bytes() for each in tmp_path.iterdir() if each.is_file()}
    for fresh in (True, False):
        with pytest.raises(StoreError):
            sqlite.open_file(path, fresh=fresh)
    assert {each: each.read_bytes() for each in tmp_path.iterdir() if each.is_file()} == before
    with pytest.raises(StoreError):
        upkeep.restore(path, tmp_path / "swf.db")
    with pytest.raises(StoreError):
        upkeep.backup(path, tmp_path / "copy.db")
    assert {each: each.read_bytes() for each in tmp_path.iterdir() if each.is_file()} == before


@pytest.mark.parametrize("how", ["stopped", "killed", "killed at once", "newer", "through a link"])
def test_reset_deletes_a_database_of_ours_and_says_what_goes(path: Path, tmp_path: Path, how: str) -> None:
    world = written(path, 0 if how == "killed at once" else 3)
    killed(world) if how.startswith("killed") else world.store.close()
    if how == "newer":
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 999")
        connection.close()
    target = path
    if how == "through a link":
        target = tmp_path / "link.db"
        target.symlink_to(path)
    said: list[str] = []
    store = sqlite.open_file(target, fresh=True, say=said.append)
    assert len(said) == 1
    assert str(path) in said[0]
    assert ("3 open" in said[0]) == (how != "killed at once")
    assert store.domains() == []
    store.close()
    assert names(path) == []


def test_what_is_refused_leaves_no_file_of_ours(tmp_path: Path) -> None:
    foreign(tmp_path / "orders.db")
    for given in ("orders.db", "x" * 300, "x" * 250):
        with pytest.raises(StoreError):
            sqlite.open_file(tmp_path / given)
    assert [each.name for each in tmp_path.iterdir()] == ["orders.db"]
    # a database that another server has
    world = written(tmp_path / "swf.db")
    before = sorted(each.name for each in tmp_path.iterdir())
    with pytest.raises(StoreError, match="open in another server"):
        sqlite.open_file(tmp_path / "swf.db")
    assert sorted(each.name for each in tmp_path.iterdir()) == before
    world.store.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["orders.db", "swf.db"]


@pytest.mark.parametrize("what", ["file", "folder", "link into nothing"])
def test_a_backup_replaces_nothing(path: Path, tmp_path: Path, what: str) -> None:
    written(path).store.close()
    goal = tmp_path / "copy.db"
    if what == "file":
        goal.write_text("kept")
    elif what == "folder":
        goal.mkdir()
    else:
        goal.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(StoreError, match="overwrites nothing"):
        upkeep.backup(path, goal)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "swf.db"]


# -- restore


@pytest.mark.parametrize("how", ["stopped", "killed", "no database"])
def test_a_backup_is_restored_and_what_was_there_is_kept(path: Path, tmp_path: Path, how: str) -> None:
    copy = tmp_path / "copy.db"
    world = written(path)
    upkeep.backup(path, copy)
    world.start("later")
    killed(world) if how == "killed" else world.store.close()
    if how == "no database":
        path.unlink()
    aside = upkeep.restore(copy, path)
    assert (aside is None) == (how == "no database")
    assert len(names(copy)) == 3
    store = sqlite.open_file(path)
    assert len(names(path)) == 3
    store.close()
    assert list(upkeep.check(path)) == []
    if aside is not None:
        sqlite.open_file(aside).close()
        assert names(aside)[-1] == "later"
    assert not list(tmp_path.glob("*.part*"))


def test_a_restore_is_refused_with_everything_as_it_was(path: Path, tmp_path: Path) -> None:
    copy, damaged = tmp_path / "copy.db", tmp_path / "damaged.db"
    world = written(path)
    upkeep.backup(path, copy)
    with pytest.raises(StoreError, match="open in another server"):
        upkeep.restore(copy, path)
    world.start("later")
    world.store.close()
    body = bytearray(copy.read_bytes())
    body[5000:9000] = os.urandom(4000)
    damaged.write_bytes(body)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is not restored"):
        upkeep.restore(damaged, path)
    with pytest.raises(StoreError, match="the database itself"):
        upkeep.restore(path, path)
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "damaged.db", "swf.db"]


def test_folders_are_judged(tmp_path: Path) -> None:
    made = tmp_path / "a" / "b"
    folders.make(made)
    assert folders.flaw(made) is None
    made.chmod(0o720)
    assert "may write" in str(folders.flaw(made))
    (tmp_path / "file").touch()
    assert "not a folder" in str(folders.flaw(tmp_path / "file"))
    with pytest.raises(FileNotFoundError):
        folders.flaw(tmp_path / "none")
    with pytest.raises(NotADirectoryError) as refused:
        folders.make(tmp_path / "file" / "below" / "it")
    assert refused.value.filename == str(tmp_path / "file" / "below" / "it")
