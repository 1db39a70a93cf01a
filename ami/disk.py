"""The disk image: GPT, an EFI system partition with systemd-boot and the kernel, an ext4 root written from the tar.

Nothing is mounted and no loop device is used; the same root tar and tools give the same bytes. Facts: UEFI's removable
path is EFI/BOOT/BOOTX64.EFI; the Discoverable Partitions Specification names the partition types.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from . import errors, tools

SECTOR = 512
MIB = 1024 * 1024
#: an EBS direct block
BLOCK = 512 * 1024
ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT_TYPE = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
ESP_START = 2048
ESP_SECTORS = 64 * MIB // SECTOR
ROOT_START = ESP_START + ESP_SECTORS
#: without an initrd the kernel passes these to ext4 itself: mount options such as noatime panic there
ROOT_FLAGS = "errors=remount-ro"
KERNEL_PATH = "EFI/debian/vmlinuz"
ENTRY_PATH = "loader/entries/debian.conf"
_NAMESPACE = uuid.UUID("4b6f2f0e-4f4b-5f0a-9d3c-6f1f5d2f7a10")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ids:
    """Every identifier of a disk, derived from its name: fixed per recipe and release."""

    disk: uuid.UUID
    esp: uuid.UUID
    root: uuid.UUID
    filesystem: uuid.UUID
    hash_seed: uuid.UUID
    #: of the VFAT
    volume: int

    @classmethod
    def of(cls, name: str) -> Ids:
        """Derive them from a name such as 'worker/debian12'."""

        def derived(part: str) -> uuid.UUID:
            return uuid.uuid5(_NAMESPACE, f"{name}/{part}")

        parts = {part: derived(part) for part in ("disk", "esp", "root", "filesystem", "hash_seed")}
        return cls(**parts, volume=derived("volume").int % 2**32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disk:
    """One raw disk image."""

    path: Path
    ids: Ids
    bytes: int


def command_line(ids: Ids, root_flags: str = ROOT_FLAGS) -> str:
    """Return the kernel's command line: root by PARTUUID, consoles for EC2's log, NVMe waits as EBS wants."""
    return (
        f"root=PARTUUID={ids.root} rootwait rw rootflags={root_flags} console=tty0 console=ttyS0,115200n8 panic=30 "
        "nvme_core.io_timeout=4294967295"
    )


def build(*, tar: Path, name: str, size_gib: int, target: Path, toolbox: tools.Toolbox, log: tools.Log) -> Disk:
    """Write the disk image of a root tar to ``target``; takes 1 to 2 s. Raises BuildFailed."""
    ids = Ids.of(name)
    size = size_gib * 1024 * MIB
    partial = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        with partial.open("wb") as stream:
            stream.truncate(size)
        env = toolbox.environment()
        log.run(
            toolbox.argv("sfdisk", "--quiet", "--wipe", "never", str(partial)),
            env=env,
            stdin=_table(ids, size).encode(),
        )
        with tempfile.TemporaryDirectory(prefix="simpleflow-esp-") as folder:
            esp = _system_partition(Path(folder), tar, ids, toolbox, log)
            _copy_sparse(esp, partial, ESP_START * SECTOR)
        blocks = (size // SECTOR - ROOT_START - 2048) // 2
        options = (
            f"offset={ROOT_START * SECTOR},hash_seed={ids.hash_seed},lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        )
        into = ["-L", "root", "-U", str(ids.filesystem), "-m", "1", "-J", "size=32", "-E", options]
        argv = toolbox.argv("mkfs.ext4", "-q", "-F", "-d", str(tar), *into, str(partial), f"{blocks}k")
        log.run(argv, env=env)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    return Disk(path=target, ids=ids, bytes=size)


def _table(ids: Ids, size: int) -> str:
    root_sectors = size // SECTOR - ROOT_START - 2048
    return (
        f"label: gpt\nlabel-id: {ids.disk}\nunit: sectors\nfirst-lba: 2048\n\n"
        f"start={ESP_START}, size={ESP_SECTORS}, type={ESP_TYPE}, uuid={ids.esp}, name=esp\n"
        f"start={ROOT_START}, size={root_sectors}, type={ROOT_TYPE}, uuid={ids.root}, name=root\n"
    )


def kernel_of(tar: Path) -> tuple[str, bytes]:
    """Return version and bytes of the one kernel in a root tar; raises BuildFailed when there is not just one."""
    with tarfile.open(tar) as archive:
        kernels = [each for each in archive if re.fullmatch(r"\./boot/vmlinuz-\S+", each.name) and each.isfile()]
        if len(kernels) != 1:
            names = ", ".join(each.name for each in kernels) or "none"
            raise errors.BuildFailed(
                f"{tar} must hold one kernel in /boot, found {names}: list one linux-image package"
            )
        stream = archive.extractfile(kernels[0])
        assert stream is not None
        return kernels[0].name.removeprefix("./boot/vmlinuz-"), stream.read()


def _system_partition(folder: Path, tar: Path, ids: Ids, toolbox: tools.Toolbox, log: tools.Log) -> Path:
    version, kernel = kernel_of(tar)
    content = {
        "EFI/BOOT/BOOTX64.EFI": toolbox.boot_loader().read_bytes(),
        KERNEL_PATH: kernel,
        "loader/loader.conf": b"timeout 0\neditor no\ndefault debian.conf\n",
        ENTRY_PATH: (f"title Debian\nversion {version}\nlinux /{KERNEL_PATH}\noptions {command_line(ids)}\n").encode(),
    }
    tree = folder / "tree"
    for name, data in content.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for path in (*tree.rglob("*"), tree):
        os.utime(path, (tools.EPOCH, tools.EPOCH))
    image = folder / "esp"
    with image.open("wb") as stream:
        stream.truncate(ESP_SECTORS * SECTOR)
    env = toolbox.environment()
    shape = ["--invariant", "-F", "32", "-i", f"{ids.volume:08x}", "-s", "1", "-n", "ESP"]
    log.run(toolbox.argv("mkfs.vfat", *shape, str(image)), env=env)
    tops = sorted(str(each) for each in tree.iterdir())
    log.run(toolbox.argv("mcopy", "-s", "-p", "-m", "-Q", "-i", str(image), *tops, "::"), env=env)
    return image


def _copy_sparse(source: Path, target: Path, offset: int) -> None:
    with target.open("r+b") as writer:
        for position, block in data_blocks(source):
            writer.seek(offset + position)
            writer.write(block)


def data_blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield offset and content of each 512 KiB block that is not all zero; holes of the file are not read."""
    with path.open("rb") as stream:
        size, position = os.fstat(stream.fileno()).st_size, 0
        while position < size:
            try:
                position = os.lseek(stream.fileno(), position, os.SEEK_DATA) // BLOCK * BLOCK
            except OSError:  # no data behind this position
                return
            stream.seek(position)
            block = stream.read(BLOCK)
            if block.count(0) != len(block):
                yield position, block
            position += BLOCK


def blocks(path: Path) -> int:
    """Count the blocks that an upload sends."""
    return sum(1 for _ in data_blocks(path))
