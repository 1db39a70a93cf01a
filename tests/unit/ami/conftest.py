"""What the image tests share: a small root file system, the tree of image tools, and builds that make ami left."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from simpleflow.ami import build, errors, recipe, tools

ROOT = Path(__file__).resolve().parents[3]
#: where `make ami` leaves its results
WORK = ROOT / ".ami"

CONFIG = "".join(f"{option}=y\n" for option in (
    "CONFIG_EFI_STUB", "CONFIG_EFI_PARTITION", "CONFIG_BLK_DEV_NVME", "CONFIG_NVME_CORE", "CONFIG_EXT4_FS",
    "CONFIG_SERIAL_8250_CONSOLE",
))  # fmt: skip
PACKAGES = ("cloud-init", "cloud-guest-utils", "systemd-sysv", "udev", "openssh-server", "ca-certificates")


def status(*packages: str) -> str:
    return "\n\n".join(
        f"Package: {name}\nStatus: install ok installed\nVersion: 1.0-{n}" for n, name in enumerate(packages)
    )


#: a root file system as small as one can be that still passes every check
SMALL: Mapping[str, bytes | None] = {
    "boot/vmlinuz-6.1.0-cloud": b"MZ kernel" * 1000,
    "boot/config-6.1.0-cloud": CONFIG.encode(),
    "dev/console": None,
    "etc/machine-id": b"",
    "etc/fstab": b"",
    "etc/cloud/cloud.cfg": b"users: [default]\n",
    "var/lib/dpkg/status": status(*PACKAGES).encode(),
}


def write_tar(path: Path, files: Mapping[str, bytes | None]) -> Path:
    """Write a tar as mmdebstrap does: names begin with './'; None is the console's device node."""
    folders = sorted({str(parent) for name in files for parent in Path(name).parents if str(parent) != "."})
    with tarfile.open(path, "w") as archive:
        for folder in folders:
            member = tarfile.TarInfo(f"./{folder}")
            member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, tools.EPOCH
            archive.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.mtime = tools.EPOCH
            if content is None:
                member.type, member.devmajor, member.devminor = tarfile.CHRTYPE, 5, 1
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def small_tar(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the small root tar, changed as told (bytes: other content; None: left out)."""

    def write(changes: Mapping[str, bytes | None] | None = None, name: str = "root.tar") -> Path:
        files = dict(SMALL)
        for path, content in (changes or {}).items():
            if content is None:
                files.pop(path)
            else:
                files[path] = content
        return write_tar(tmp_path / name, files)

    return write


@pytest.fixture
def worker() -> recipe.Recipe:
    return recipe.load(recipe.find("worker"))


@pytest.fixture(scope="session")
def toolbox(tmp_path_factory: pytest.TempPathFactory) -> tools.Toolbox:
    """The tree of image tools: the one `make ami` left, else made now (3 s and a Debian mirror)."""
    folder = WORK / "cache"
    if not (folder / f"tools-{tools.TREE_SUITE}").is_dir():
        folder = tmp_path_factory.mktemp("tools")
    try:
        return tools.toolbox(folder, tools.Log(path=tmp_path_factory.mktemp("log") / "log"))
    except (errors.MissingTools, errors.BuildFailed) as problem:
        pytest.skip(f"no tree of image tools: {problem}")


def existing(name: str) -> build.Artifacts:
    """Return what `make ami` left for one release of the worker recipe; skips where it is absent or of another day."""
    if os.geteuid() != 0:
        pytest.skip("booting containers and machines needs root")
    loaded = recipe.load(recipe.find("worker"))
    release = loaded.release(name)
    found = build.artifacts(WORK, loaded, release)
    if not build.current(found, loaded, release):
        pytest.skip(f"no image of this recipe in {found.folder.relative_to(ROOT)}: run 'make ami' first")
    return found


@pytest.fixture(scope="session")
def debian12() -> build.Artifacts:
    return existing("debian12")
