"""Files of local nodes: a folder each, with record, tags, notice, log, and a lock that the node holds."""

from __future__ import annotations

from pathlib import Path

import msgspec

from simpleflow.data import files


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """``node.json``: written before the process exists."""

    id: str
    attempt: str
    profile: str
    launched: float
    instance_type: str
    tags: dict[str, str]


class NodeFolder:
    """The files of one node."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tags = path / "tags"
        self.log = path / "log"
        self.setup = path / "setup.json"
        self.alive = path / "alive.lock"
        self.notice = path / "notice.json"
        self._record = path / "node.json"
        self._pid = path / "pid"
        self._ending = path / "ending"

    def create(self, record: Record) -> None:
        """Write the record and the tags at launch."""
        files.folder(self.path)
        files.folder(self.tags)
        for key, value in record.tags.items():
            self.set_tag(key, value)
        files.replace(self.alive, b"")
        write(self._record, msgspec.json.encode(record))

    def record(self) -> Record | None:
        """The record; None while the folder is being made (its launch has not begun the process then)."""
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=Record)
        except FileNotFoundError:
            return None

    def set_tag(self, key: str, value: str) -> None:
        write(self.tags / key, value.encode())

    def remove_tag(self, key: str) -> None:
        (self.tags / key).unlink(missing_ok=True)

    def all_tags(self) -> dict[str, str]:
        found = {}
        for each in sorted(self.tags.iterdir()):
            if not each.name.startswith("~"):
                try:
                    found[each.name] = each.read_text()
                except FileNotFoundError:
                    continue
        return found

    @property
    def pid(self) -> int | None:
        """The agent's process id, which is also its group's."""
        try:
            return int(self._pid.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def set_pid(self, pid: int) -> None:
        write(self._pid, str(pid).encode())

    @property
    def ending(self) -> bool:
        return self._ending.exists()

    def set_ending(self) -> None:
        write(self._ending, b"")

    def is_alive(self) -> bool:
        """Return whether its process lives: it holds the lock from its start, and the kernel drops it at its end."""
        try:
            with files.locked(self.alive, wait=False):
                return False
        except BlockingIOError:
            return True


def write(path: Path, content: bytes) -> None:
    """Replace a file at once and durably: readers see old or new."""
    files.replace(path, content)
