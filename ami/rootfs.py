"""The root file system: Debian packages and a recipe's bootstrap script, as one tar that is the same each time."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tarfile
from pathlib import Path

from . import bootstrap, errors, manifest, tools
from . import recipe as recipes

#: members that mmdebstrap or dpkg date with the moment of the build, or that hold a moment
_CACHE_DIRS = ("/var/cache/apt/archives", "/var/lib/apt/lists")
#: for pip alone: this machine's resolver (the script's end puts the image's own in its place) and its authorities
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_BEFORE_PIP = (
    '--customize-hook=rm -f "$1"/etc/resolv.conf && cp -L /etc/resolv.conf "$1"/etc/resolv.conf',
    f'--customize-hook=cp -L {_AUTHORITIES} "$1"/etc/authorities.crt',
)
_AFTER_PIP = ('--customize-hook=rm -f "$1"/etc/authorities.crt',)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rootfs:
    """One built root file system."""

    tar: Path
    #: package -> version
    packages: dict[str, str]

    def read(self, name: str) -> bytes:
        """Return the content of one file of the tar (path without a leading '/'); raises AmiError when absent."""
        with tarfile.open(self.tar) as archive:
            try:
                member = archive.extractfile(f"./{name}")
            except KeyError:
                member = None
            if member is None:
                raise errors.AmiError(f"{self.tar} holds no file {name}")
            return member.read()


def build(
    recipe: recipes.Recipe,
    release: recipes.Release,
    *,
    target: Path,
    cache: Path,
    log: tools.Log,
    mirror: str = "",
    pinned: dict[str, str] | None = None,
) -> Rootfs:
    """Build the root tar of a recipe; packages come from ``cache`` where it has them.

    With ``pinned`` (package -> version) the result must hold exactly these, else BuildFailed names what differs.
    Takes 30 to 40 s. Raises MissingTools without mmdebstrap or root.
    """
    tools.need(tools.ROOTFS, "building a root file system")
    archives = cache / f"packages-{release.suite}"
    archives.mkdir(parents=True, exist_ok=True)
    (archives / "partial").mkdir(exist_ok=True)
    script = target.with_suffix(".bootstrap.sh")
    script.write_text(bootstrap.render(recipe, release), encoding="utf-8")
    partial = target.with_name(f".{os.getpid()}.{target.name}")
    argv = [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=tar",
        f"--include={','.join(recipe.all_packages(release))}",
        '--aptopt=APT::Install-Recommends "false"',
        "--aptopt=Acquire::Languages none",
        *(f"--dpkgopt=path-exclude={each}" for each in recipe.exclude),
        *(f"--dpkgopt=path-include={each}" for each in recipe.keep),
        # Debian's own recipe for a package cache that survives: keep what was downloaded, copy in and out.
        "--skip=download/empty",
        "--skip=essential/unlink",
        f'--setup-hook=mkdir -p "$1"{_CACHE_DIRS[0]}',
        f"--setup-hook=sync-in {archives} {_CACHE_DIRS[0]}",
        *(_BEFORE_PIP if recipe.requirements else ()),
        f'--customize-hook=chroot "$1" /bin/sh -s image < {script}',
        *(_AFTER_PIP if recipe.requirements else ()),
        f"--customize-hook=sync-out {_CACHE_DIRS[0]} {archives}",
        f'--customize-hook=rm -rf "$1"{_CACHE_DIRS[0]} "$1"/var/cache/apt/*.bin "$1"{_CACHE_DIRS[1]}',
        f'--customize-hook=mkdir -p "$1"{_CACHE_DIRS[0]}/partial "$1"{_CACHE_DIRS[1]}/partial',
        release.suite,
        str(partial),
        *([mirror] if mirror else []),
    ]
    try:
        # Debian's kernel hooks make no initrd when told so by this variable.
        log.run(argv, env={"INITRD": "No", "PIP_CERT": "/etc/authorities.crt"})
        partial.rename(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
    built = load(target)
    if pinned is not None and (differs := manifest.difference(pinned, built.packages)):
        raise errors.BuildFailed(
            f"the packages differ from the manifest: {'; '.join(differs)}; use a mirror of that day, or none"
        )
    return built


def load(tar: Path) -> Rootfs:
    """Return a root tar that was built before, with its packages read from it."""
    raw = Rootfs(tar=tar, packages={})
    status = raw.read("var/lib/dpkg/status").decode("utf-8")
    return Rootfs(tar=tar, packages=tools.packages(status))
