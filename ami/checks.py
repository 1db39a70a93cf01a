"""What must hold of an image before it is booted. Each check returns what is wrong, one line each."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from . import disk as disks
from . import errors, tools
from . import recipe as recipes

#: options that the kernel's own mount of an ext4 root understands; all others (noatime, nodev) panic without an initrd
ALLOWED_ROOT_FLAGS = frozenset(
    {"errors=remount-ro", "errors=panic", "errors=continue", "data=ordered", "data=journal", "data=writeback",
     "commit=30", "discard", "nodiscard", "noload", "barrier=1"}
)  # fmt: skip
#: built in, for there is no initrd that could load them
KERNEL_OPTIONS = (
    "CONFIG_EFI_STUB", "CONFIG_EFI_PARTITION", "CONFIG_BLK_DEV_NVME", "CONFIG_NVME_CORE", "CONFIG_EXT4_FS",
    "CONFIG_SERIAL_8250_CONSOLE",
)  # fmt: skip
REQUIRED_PACKAGES = ("cloud-init", "cloud-guest-utils", "systemd-sysv", "udev", "openssh-server", "ca-certificates")
#: deprecated or renamed cloud-config keys: each makes cloud-init end as 'degraded'
DEPRECATED_KEYS = frozenset({
    "apt_update", "apt_upgrade", "apt_mirror", "apt_sources", "lock-passwd", "no-create-home", "no-user-group",
    "no-log-init", "ssh-authorized-keys", "ssh-import-id", "plain_text_passwd_hash", "manage-resolv-conf", "snappy",
})  # fmt: skip
#: deprecated names of modules
DEPRECATED_MODULES = frozenset({"emit_upstart", "rightscale_userdata", "snappy", "snap_config", "landscape_legacy"})


def check_rootfs(tar: Path, recipe: recipes.Recipe) -> list[str]:
    """Check a root tar: identities empty, nothing of one machine, what the boot needs present."""
    return list(_rootfs(tar, recipe))


def _rootfs(tar: Path, recipe: recipes.Recipe) -> Iterator[str]:
    texts: dict[str, str] = {}
    names: set[str] = set()
    wanted = re.compile(
        r"(boot/config-.*|etc/(machine-id|fstab)|etc/cloud/cloud\.cfg(\.d/.*\.cfg)?|var/lib/dpkg/status)"
    )
    with tarfile.open(tar) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            names.add(name)
            if member.isfile() and wanted.fullmatch(name) and (stream := archive.extractfile(member)) is not None:
                texts[name] = stream.read().decode("utf-8", errors="replace")
    if texts.get("etc/machine-id") != "":
        yield "/etc/machine-id must exist and be empty: two machines of this image would be one to systemd and DHCP"
    if texts.get("etc/fstab", "") != "":
        yield "/etc/fstab must be empty: '/' in it fails to remount in a container"
    for name in sorted(names):
        if re.fullmatch(r"etc/ssh/ssh_host_.*", name):
            yield f"/{name}: host keys must be made by each machine"
        elif re.fullmatch(r"boot/initrd.*", name):
            yield f"/{name}: an initrd was made; set INITRD=No"
        elif name in {"var/lib/systemd/random-seed", "var/lib/dbus/machine-id"}:
            yield f"/{name} belongs to one machine: remove it"
    if "dev/console" not in names:
        yield "/dev/console is missing: the kernel mounts no devtmpfs before init, nothing could be printed"
    packages = tools.packages(texts.get("var/lib/dpkg/status", ""))
    for package in REQUIRED_PACKAGES:
        if package not in packages:
            yield f"package {package} is missing: add it to the recipe"
    configs = [text for name, text in texts.items() if name.startswith("boot/config-")]
    for option in KERNEL_OPTIONS:
        if not any(f"{option}=y" in text.splitlines() for text in configs):
            yield f"{option}=y is not in the kernel's configuration: without an initrd it must be built in"
    # cloud.cfg first, then its folder in order: later files replace whole lists, so only the last one runs.
    merged: dict[str, object] = {}
    for name in sorted(each for each in texts if each.startswith("etc/cloud/")):
        merged.update(yaml.safe_load(texts[name]) or {})
    for problem in cloud_config(yaml.safe_dump(merged)):
        yield f"/etc/cloud: {problem}"
    for each in recipe.files:
        if each.path.removeprefix("/") not in names:
            yield f"{each.path} of the recipe is not in the image"


def cloud_config(text: str) -> list[str]:
    """Return the deprecated keys and modules of a cloud-config or cloud.cfg text."""
    document = yaml.safe_load(text)
    found: list[str] = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in DEPRECATED_KEYS:
                    found.append(f"deprecated key {key!r}: cloud-init would end as 'degraded'")
                if isinstance(key, str) and key.endswith("_modules") and isinstance(inner, list):
                    found.extend(f"deprecated module {each!r}" for each in inner if each in DEPRECATED_MODULES)
                walk(inner)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(document)
    return found


def check_disk(disk: disks.Disk, *, tar: Path, toolbox: tools.Toolbox, max_blocks: int) -> list[str]:
    """Check a disk image: table, identifiers, boot entry, file system, size."""
    return list(_disk(disk, tar, toolbox, max_blocks))


def _disk(disk: disks.Disk, tar: Path, toolbox: tools.Toolbox, max_blocks: int) -> Iterator[str]:
    size = disk.path.stat().st_size
    if size % 1024**3:
        yield f"the image has {size} bytes: EBS volumes are whole GiB"
    if (count := disks.blocks(disk.path)) > max_blocks:
        yield f"{count} blocks of 512 KiB are not zero, over the recipe's {max_blocks}: raise max_blocks or slim it"
    verified = _run(toolbox, "sfdisk", "-V", str(disk.path))
    output = (verified.stdout + verified.stderr).decode(errors="replace")
    # A damaged first table is forgiven as long as the second one stands; firmware may be less kind.
    if verified.returncode or "No errors detected" not in output or "corrupt" in output:
        yield f"sfdisk -V: {output.strip()}"
    table = json.loads(_run(toolbox, "sfdisk", "--json", str(disk.path)).stdout or b"{}").get("partitiontable", {})
    partitions = table.get("partitions", [])
    if [each.get("type") for each in partitions] != [disks.ESP_TYPE, disks.ROOT_TYPE]:
        yield "the table must hold an EFI system partition and an x86-64 root, in this order (the root grows)"
        return
    if str(table.get("id", "")).lower() != str(disk.ids.disk):
        yield f"the disk's GUID is {table.get('id')}, expected {disk.ids.disk}"
    root = str(partitions[1].get("uuid", "")).lower()
    if root != str(disk.ids.root):
        yield f"the root partition's GUID is {root}, expected {disk.ids.root}"
    esp = f"{disk.path}@@{disks.ESP_START * disks.SECTOR}"
    entry = _run(toolbox, "mtype", "-i", esp, f"::{disks.ENTRY_PATH}").stdout.decode(errors="replace")
    options = dict(re.findall(r"(\S+?)=(\S+)", entry.partition("options ")[2]))
    if options.get("root") != f"PARTUUID={root}":
        yield f"the boot entry's root={options.get('root')} is not the partition's PARTUUID={root}: it would not boot"
    for flag in options.get("rootflags", "").split(","):
        if flag and flag not in ALLOWED_ROOT_FLAGS:
            yield f"rootflags={flag} is not an option of ext4 itself: without an initrd the kernel panics on it"
    kernel = _run(toolbox, "mtype", "-i", esp, f"::{disks.KERNEL_PATH}").stdout
    if kernel != disks.kernel_of(tar)[1]:
        yield "the kernel on the EFI partition is not the one of the root file system"
    loader = _run(toolbox, "mtype", "-i", esp, "::EFI/BOOT/BOOTX64.EFI").stdout
    if loader[:2] != b"MZ":
        yield "EFI/BOOT/BOOTX64.EFI is not an EFI program"
    yield from _filesystem(disk, toolbox)


def _filesystem(disk: disks.Disk, toolbox: tools.Toolbox) -> Iterator[str]:
    # e2fsck takes no offset, so the partition goes into a sparse file of its own.
    with tempfile.NamedTemporaryFile(prefix="simpleflow-root-") as copy:
        start = disks.ROOT_START * disks.SECTOR
        length = disk.path.stat().st_size - start - 2048 * disks.SECTOR
        # Both ends of the root lie on block borders (1 MiB alignment): a block belongs to it or not.
        for position, block in disks.data_blocks(disk.path):
            if start <= position < start + length:
                copy.seek(position - start)
                copy.write(block)
        copy.truncate(length)
        copy.flush()
        result = _run(toolbox, "e2fsck", "-fn", copy.name)
        if result.returncode:
            yield f"e2fsck -fn: {(result.stdout + result.stderr).decode(errors='replace').strip()[-500:]}"


def _run(toolbox: tools.Toolbox, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        toolbox.argv(program, *arguments),
        env={**tools.environment(), **toolbox.environment()},
        capture_output=True,
        check=False,
        timeout=300,
    )


def require(problems: list[str], what: str) -> None:
    """Raise AmiError with every problem, when there is one."""
    if problems:
        raise errors.AmiError(f"{what} does not hold:\n" + "\n".join(f"  {each}" for each in problems))
