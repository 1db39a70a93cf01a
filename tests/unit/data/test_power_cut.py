"""What was acknowledged lies on the disk: values before their pointers, documents, records of nodes."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from simpleflow.data import files, jumbo
from simpleflow.data.blobs import file
from simpleflow.nodes.providers.process import node_folder

from . import powercut


class Client:
    """Writes what a cluster and its workflows write, and remembers what was acknowledged."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        self.root = root
        self.chance = chance
        #: path below the root -> every content that a reader may find since its last acknowledgement
        self.promised: dict[str, set[bytes | None]] = {}
        self._store = file.FileStore(f"file://{root}/data/clusters/c/store")
        self._jumbo = jumbo.Store(f"file://{root}/data/blobs")
        self._number = 0

    def acknowledge(self, path: str, content: bytes, write: Callable[[], object]) -> None:
        before = self.promised.get(path, {None})
        self.promised[path] = {*before, content}  # while the call is under way either may be there
        write()
        self.promised[path] = {content}

    def act(self) -> None:
        self._number += 1
        content = f"{self._number} ".encode() * 20
        text = content.decode()
        below = "data/clusters/c/store"
        what = self.chance.choice(["value", "control", "document", "setup", "tag", "pid"])
        if what == "value":
            digest = hashlib.sha256(content).hexdigest()
            self.acknowledge(
                f"data/blobs/{digest}", content, lambda: self._jumbo.offload(text, field="result", limit=8)
            )
        elif what == "control":
            self.acknowledge(f"{below}/control.json", content, lambda: self._store.put("control.json", content))
        elif what == "document":
            key = f"{self.chance.choice(['nodes', 'demand'])}/{self.chance.randrange(4)}.json"
            self.acknowledge(f"{below}/{key}", content, lambda: self._store.put(key, content))
        elif what == "setup":
            files.folder(self.root / "data/clusters/c")
            path = self.root / "data/clusters/c/decider.json"
            self.acknowledge("data/clusters/c/decider.json", content, lambda: node_folder.write(path, content))
        else:
            name = f"n-{self.chance.randrange(5)}"
            node = node_folder.NodeFolder(self.root / "data/nodes" / name)
            if not node.path.exists():
                files.folder(node.path.parent)
                record = node_folder.Record(
                    id=name, attempt="a", profile="p", launched=0.0, instance_type="t", tags={"x": "y"}
                )
                node.create(record)
                self.promised[f"data/nodes/{name}/tags/x"] = {b"y"}
            if what == "tag":
                self.acknowledge(f"data/nodes/{name}/tags/x", content, lambda: node.set_tag("x", text))
            else:
                number = str(self._number).encode()
                self.acknowledge(f"data/nodes/{name}/pid", number, lambda: node.set_pid(self._number))


@pytest.mark.parametrize("cuts", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_nothing_that_was_acknowledged_is_missing_after_a_power_cut(tmp_path: Path, cuts: int) -> None:
    for seed in range(cuts):
        root = tmp_path / str(seed)
        root.mkdir()
        chance = random.Random(seed)
        disk = powercut.Disk(root)
        client = Client(root, chance)
        looks = 0

        def cut(disk: powercut.Disk = disk, client: Client = client, chance: random.Random = chance) -> None:
            nonlocal looks
            if chance.random() > 0.1:
                return
            for entries_first in (False, True):
                looks += 1
                left = disk.after_a_cut(entries_first=entries_first)
                for path, possible in client.promised.items():
                    assert left.get(path) in possible, f"{path} after a power cut ({entries_first=})"

        disk.after = cut
        with disk.watched():
            for _ in range(25):
                client.act()
            chance.random = lambda: 0.0  # type: ignore[method-assign]
            cut()
        assert looks > 10


def test_the_double_loses_what_was_not_synced(tmp_path: Path) -> None:
    disk = powercut.Disk(tmp_path)
    with disk.watched():
        (tmp_path / "a").write_bytes(b"never synced")
        os.mkdir(tmp_path / "b")
        files.replace(tmp_path / "b" / "c", b"in a folder whose entry is lost")
    assert disk.after_a_cut() == {"a": b""} or disk.after_a_cut() == {}
    with disk.watched():
        files.sync(tmp_path)
    assert disk.after_a_cut() == {"a": b"", "b/c": b"in a folder whose entry is lost"}


def test_a_folder_that_somebody_made_and_did_not_sync_is_synced_by_the_next(tmp_path: Path) -> None:
    disk = powercut.Disk(tmp_path)
    with disk.watched():
        os.makedirs(tmp_path / "blobs/nodes", mode=0o700)
        file.FileStore(f"file://{tmp_path}/blobs").put("nodes/a.json", b"1")
    assert disk.after_a_cut()["blobs/nodes/a.json"] == b"1"
