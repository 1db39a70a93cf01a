"""Root tars and disks without booting them: what must hold, and mutations that a check must catch."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from simpleflow.ami import build, checks, disk, errors, manifest, recipe, rootfs, tools

EMPTY = recipe.Recipe(name="small", description="d", releases=(), size_gib=1, max_blocks=400)


def test_the_small_root_holds(small_tar: Callable[..., Path]) -> None:
    assert checks.check_rootfs(small_tar(), EMPTY) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"etc/machine-id": b"0123456789abcdef0123456789abcdef\n"}, "machine-id must exist and be empty"),
        ({"etc/machine-id": None}, "machine-id must exist and be empty"),
        ({"etc/ssh/ssh_host_ed25519_key": b"key"}, "host keys must be made by each machine"),
        ({"boot/initrd.img-6.1.0-cloud": b"x"}, "an initrd was made"),
        ({"etc/fstab": b"/dev/sda1 / ext4 defaults 0 1\n"}, "fstab must be empty"),
        ({"var/lib/systemd/random-seed": b"x"}, "belongs to one machine"),
        ({"dev/console": None}, "/dev/console is missing"),
        ({"boot/config-6.1.0-cloud": b"CONFIG_BLK_DEV_NVME=m\n"}, "CONFIG_BLK_DEV_NVME=y is not"),
        ({"etc/cloud/cloud.cfg": b"apt_update: true\n"}, "deprecated key 'apt_update'"),
        ({"etc/cloud/cloud.cfg": b"users: [{name: a, lock-passwd: true}]\n"}, "deprecated key 'lock-passwd'"),
        ({"etc/cloud/cloud.cfg": b"cloud_final_modules: [snappy]\n"}, "deprecated module 'snappy'"),
    ],
)
def test_mutated_roots_are_caught(small_tar: Callable[..., Path], changes: dict[str, bytes], says: str) -> None:
    problems = checks.check_rootfs(small_tar(changes), EMPTY)
    assert any(says in each for each in problems), problems


@pytest.mark.parametrize("package", checks.REQUIRED_PACKAGES)
def test_a_missing_package_is_caught(small_tar: Callable[..., Path], package: str) -> None:
    text = small_tar().read_bytes()
    assert package.encode() in text
    lines = rootfs.load(small_tar()).read("var/lib/dpkg/status").decode().split("\n\n")
    kept = "\n\n".join(each for each in lines if not each.startswith(f"Package: {package}\n"))
    problems = checks.check_rootfs(small_tar({"var/lib/dpkg/status": kept.encode()}), EMPTY)
    assert problems == [f"package {package} is missing: add it to the recipe"]


def test_a_file_of_the_recipe_must_be_there(small_tar: Callable[..., Path], worker: recipe.Recipe) -> None:
    problems = checks.check_rootfs(small_tar(), worker)
    assert any("50-ethernet.network of the recipe is not in the image" in each for each in problems)


def make(tar: Path, target: Path, toolbox: tools.Toolbox, name: str = "small/test") -> disk.Disk:
    log = tools.Log(path=target.with_suffix(".log"))
    return disk.build(tar=tar, name=name, size_gib=1, target=target, toolbox=toolbox, log=log)


@pytest.fixture
def made(small_tar: Callable[..., Path], tmp_path: Path, toolbox: tools.Toolbox) -> disk.Disk:
    return make(small_tar(), tmp_path / "disk.img", toolbox)


def content(path: Path) -> str:
    """Digest of what a disk holds besides zeros, with the places of it: as good as the whole file's, and faster."""
    found = hashlib.sha256(str(path.stat().st_size).encode())
    for position, block in disk.data_blocks(path):
        found.update(position.to_bytes(8, "big") + block)
    return found.hexdigest()


def test_two_builds_have_the_same_bytes(small_tar: Callable[..., Path], tmp_path: Path, toolbox: tools.Toolbox) -> None:
    first = make(small_tar(), tmp_path / "first.img", toolbox)
    second = make(small_tar(), tmp_path / "second.img", toolbox)
    other = make(small_tar(), tmp_path / "other.img", toolbox, name="small/other")
    assert content(first.path) == content(second.path) != content(other.path)
    assert first.path.stat().st_blocks * 512 < first.bytes / 4


def test_a_disk_holds_what_it_must(made: disk.Disk, small_tar: Callable[..., Path], toolbox: tools.Toolbox) -> None:
    assert checks.check_disk(made, tar=small_tar(), toolbox=toolbox, max_blocks=400) == []
    assert any("blocks of 512 KiB" in each for each in checks.check_disk(
        made, tar=small_tar(), toolbox=toolbox, max_blocks=3
    ))  # fmt: skip
    other = disk.Disk(path=made.path, ids=disk.Ids.of("small/other"), bytes=made.bytes)
    problems = checks.check_disk(other, tar=small_tar(), toolbox=toolbox, max_blocks=400)
    assert any("the disk's GUID" in each for each in problems)
    assert any("the root partition's GUID" in each for each in problems)


def rewrite_entry(made: disk.Disk, toolbox: tools.Toolbox, change: Callable[[str], str], folder: Path) -> None:
    """Change the boot entry on the EFI partition, as a wrong build would have written it."""
    esp = f"{made.path}@@{disk.ESP_START * disk.SECTOR}"
    env = {**tools.environment(), **toolbox.environment()}
    argv = toolbox.argv("mtype", "-i", esp, f"::{disk.ENTRY_PATH}")
    text = subprocess.run(argv, env=env, capture_output=True, check=True, text=True).stdout
    changed = change(text)
    assert changed != text
    (folder / "entry").write_text(changed)
    subprocess.run(
        toolbox.argv("mcopy", "-o", "-i", esp, str(folder / "entry"), f"::{disk.ENTRY_PATH}"), env=env, check=True
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("root=PARTUUID=", "root=PARTUUID=0", "is not the partition's PARTUUID"),
        ("rootflags=errors=remount-ro", "rootflags=noatime", "rootflags=noatime is not an option of ext4"),
        ("rootflags=errors=remount-ro", "rootflags=errors=remount-ro,noatime", "rootflags=noatime"),
    ],
)
def test_mutated_boot_entries_are_caught(
    made: disk.Disk,
    small_tar: Callable[..., Path],
    toolbox: tools.Toolbox,
    tmp_path: Path,
    old: str,
    new: str,
    says: str,
) -> None:
    rewrite_entry(made, toolbox, lambda text: text.replace(old, new), tmp_path)
    problems = checks.check_disk(made, tar=small_tar(), toolbox=toolbox, max_blocks=400)
    assert any(says in each for each in problems), problems


@pytest.mark.parametrize(
    ("offset", "says"),
    [
        (512, "sfdisk -V"),  # the header of the table
        (disk.ROOT_START * 512 + 1024 + 0x58, "e2fsck -fn"),  # the superblock's inode size
    ],
)
def test_damaged_disks_are_caught(
    made: disk.Disk, small_tar: Callable[..., Path], toolbox: tools.Toolbox, offset: int, says: str
) -> None:
    with made.path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 8)
    problems = checks.check_disk(made, tar=small_tar(), toolbox=toolbox, max_blocks=400)
    assert any(says in each for each in problems), problems


def test_another_kernel_on_the_partition_is_caught(
    made: disk.Disk, small_tar: Callable[..., Path], toolbox: tools.Toolbox
) -> None:
    newer = small_tar({"boot/vmlinuz-6.1.0-cloud": b"MZ newer"}, "newer.tar")
    problems = checks.check_disk(made, tar=newer, toolbox=toolbox, max_blocks=400)
    assert problems == ["the kernel on the EFI partition is not the one of the root file system"]


def test_there_must_be_one_kernel(small_tar: Callable[..., Path]) -> None:
    with pytest.raises(errors.BuildFailed, match="found none"):
        disk.kernel_of(small_tar({"boot/vmlinuz-6.1.0-cloud": None}))
    with pytest.raises(errors.BuildFailed, match="must hold one kernel"):
        disk.kernel_of(small_tar({"boot/vmlinuz-6.2.0-cloud": b"MZ"}))


def test_blocks_counts_what_an_upload_sends(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.truncate(64 * disk.BLOCK)
        for position in (0, 7 * disk.BLOCK + 5, 63 * disk.BLOCK):
            stream.seek(position)
            stream.write(b"x")
        stream.seek(20 * disk.BLOCK)
        stream.write(bytes(disk.BLOCK))  # written, but zero: not sent
    assert disk.blocks(path) == 3


def test_a_manifest_says_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    manifest.write(
        path, recipe="r", release="debian12", packages={"a": "1", "b": "2"}, tools={}, root_digest="0",
        image_digest="1", image_bytes=1, blocks=1,
    )  # fmt: skip
    assert manifest.packages(path) == {"a": "1", "b": "2"}
    assert manifest.difference(manifest.packages(path), {"a": "1", "b": "3", "c": "1"}) == [
        "b: wanted 2, found 3",
        "c: wanted none, found 1",
    ]
    path.write_text(json.dumps({"version": 1}))
    with pytest.raises(errors.AmiError, match="not a manifest"):
        manifest.packages(path)


def test_a_build_that_stands_holds(debian12: build.Artifacts, worker: recipe.Recipe, toolbox: tools.Toolbox) -> None:
    assert checks.check_rootfs(debian12.tar, worker) == []
    ids = disk.Ids.of("worker/debian12")
    found = disk.Disk(path=debian12.image, ids=ids, bytes=debian12.image.stat().st_size)
    problems = checks.check_disk(found, tar=debian12.tar, toolbox=toolbox, max_blocks=worker.max_blocks)
    assert problems == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("release", ["debian12", "debian13"])
def test_two_builds_from_one_manifest_are_the_same(release: str, worker: recipe.Recipe, tmp_path: Path) -> None:
    try:
        tools.need(tools.ROOTFS, "building a root file system")
    except errors.MissingTools as problem:
        pytest.skip(str(problem))
    chosen = worker.release(release)
    log = tools.Log(path=tmp_path / "log")
    first = rootfs.build(worker, chosen, target=tmp_path / "first.tar", cache=tmp_path / "cache", log=log)
    second = rootfs.build(
        worker, chosen, target=tmp_path / "second.tar", cache=tmp_path / "cache", log=log, pinned=first.packages
    )
    assert manifest.digest(first.tar) == manifest.digest(second.tar)
    with pytest.raises(errors.BuildFailed, match="cloud-init: wanted 0, found"):
        rootfs.build(
            worker, chosen, target=tmp_path / "third.tar", cache=tmp_path / "cache", log=log,
            pinned={**first.packages, "cloud-init": "0"},
        )  # fmt: skip
