"""Programs that builds and boots run: which are missing, where those of the image's file system come from, and how
each is run and logged."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import errors

#: program -> Debian package, for each thing one may want to do
ROOTFS = {"mmdebstrap": "mmdebstrap"}
CONTAINER = {"systemd-nspawn": "systemd-container", "ip": "iproute2"}
VM = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "ip": "iproute2"}
#: UEFI firmware for QEMU: code, and the variables it starts with
FIRMWARE = (Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd"))

#: Debian 13's tools write the file system: earlier e2fsprogs cannot read a tar and leave times of their own
TREE_SUITE = "trixie"
TREE_PACKAGES = ("dosfstools", "e2fsprogs", "fdisk", "libarchive13t64", "mtools", "systemd-boot-efi")
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
#: 2025-01-01; every file of an image that has no date of its own carries it
EPOCH = 1735689600


def missing(programs: Mapping[str, str]) -> list[str]:
    """Return the Debian packages of the programs that are not on PATH (sbin included)."""
    return sorted({package for program, package in programs.items() if shutil.which(program, path=_path()) is None})


def need(programs: Mapping[str, str], purpose: str, *, root: bool = True) -> None:
    """Raise MissingTools naming packages and rights that ``purpose`` needs and this machine lacks."""
    lacks = missing(programs)
    if lacks:
        raise errors.MissingTools(f"{purpose} needs {', '.join(lacks)}: run scripts/ami-setup as root (Debian)")
    if root and os.geteuid() != 0:
        raise errors.MissingTools(f"{purpose} needs root (mounts, device nodes, namespaces): run it as root")


def _path() -> str:
    return os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"


def environment() -> dict[str, str]:
    """Return the whole environment of build programs: nothing of the caller's but its proxies and pip's index."""
    kept = {name: v for name, v in os.environ.items() if name.lower().endswith("_proxy") or name == "PIP_INDEX_URL"}
    return {
        **kept,
        "PATH": _path(),
        "HOME": "/nonexistent",
        # LC_ALL=C breaks names outside ASCII when mke2fs reads a tar.
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "PYTHONHASHSEED": "0",
    }


def end(process: subprocess.Popen[bytes] | None) -> None:
    """End a machine's process: TERM, after 10 s KILL. Returns when it is gone."""
    if process is None:
        return
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Log:
    """Where the whole output of a build goes."""

    path: Path

    def run(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: bytes = b"", timeout: float = 900
    ) -> None:
        """Run one program with its output appended to the log; raises BuildFailed with its last 20 lines."""
        with self.path.open("ab") as log:
            log.write(f"+ {' '.join(argv)}\n".encode())
            log.flush()
            start = log.tell()
            try:
                code = subprocess.run(
                    argv,
                    input=stdin,
                    stdout=log,
                    stderr=log,
                    env={**environment(), **(env or {})},
                    timeout=timeout,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired as late:
                raise errors.BuildFailed(f"{argv[0]} ran longer than {timeout:.0f} s; see {self.path}") from late
        if code:
            tail = self.path.read_bytes()[start:].decode(errors="replace").splitlines()[-20:]
            raise errors.BuildFailed(f"{argv[0]} exited with {code}; whole log in {self.path}:\n" + "\n".join(tail))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toolbox:
    """The programs that write the image, taken from one tree, so that every host writes the same bytes."""

    tree: Path

    def argv(self, program: str, *arguments: str) -> list[str]:
        """Return the command that runs a program of the tree with the tree's own loader and libraries."""
        found = [self.tree / "usr" / place / program for place in ("sbin", "bin")]
        existing = [each for each in found if each.is_file()]
        if not existing:
            raise errors.MissingTools(
                f"{self.tree} holds no {program}: remove the folder, the next build makes it anew"
            )
        loader = self.tree / _LIBRARIES / "ld-linux-x86-64.so.2"
        return [str(loader), "--library-path", str(self.tree / _LIBRARIES), str(existing[0]), *arguments]

    def environment(self) -> dict[str, str]:
        """Return what the tree's programs need besides ``environment()``."""
        return {"MKE2FS_CONFIG": str(self.tree / "etc/mke2fs.conf"), "MTOOLS_SKIP_CHECK": "1"}

    def boot_loader(self) -> Path:
        """Return systemd-boot's EFI binary."""
        return self.tree / "usr/lib/systemd/boot/efi/systemd-bootx64.efi"

    def versions(self) -> dict[str, str]:
        """Return package -> version of the tree."""
        return packages((self.tree / "var/lib/dpkg/status").read_text(encoding="utf-8"))


def packages(status: str) -> dict[str, str]:
    """Return package -> version, sorted, from the text of a dpkg status file."""
    found: dict[str, str] = {}
    for stanza in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line[0].isspace())
        if "Package" in fields and "installed" in fields.get("Status", "installed").split():
            found[fields["Package"]] = fields.get("Version", "")
    return dict(sorted(found.items()))


def toolbox(folder: Path, log: Log, *, mirror: str = "") -> Toolbox:
    """Return the tool tree in ``folder``, made by mmdebstrap when it is not there (about 3 s and the network)."""
    tree = folder / f"tools-{TREE_SUITE}"
    if not (tree / _LIBRARIES).is_dir():
        need(ROOTFS, "making the tree of image tools")
        partial = tree.with_name(f"{tree.name}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        included = ",".join(TREE_PACKAGES)
        argv = ["mmdebstrap", "--variant=extract", "--format=directory", f"--include={included}", TREE_SUITE]
        try:
            log.run([*argv, str(partial), *([mirror] if mirror else [])])
            if not tree.exists():
                partial.rename(tree)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Toolbox(tree=tree)
