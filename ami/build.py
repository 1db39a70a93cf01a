"""The whole build of one image: root tar, disk, checks, boots, manifest; into one folder per recipe and release."""

from __future__ import annotations

import dataclasses
import fcntl
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from . import bootstrap, checks, disk, errors, manifest, rootfs, tools, trial
from . import recipe as recipes
from .boot import container

#: boots that a build may do: cheap first
BOOTS = ("container", "vm")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Artifacts:
    """Where a build leaves what; every path lies in ``folder``."""

    folder: Path

    @property
    def tar(self) -> Path:
        """The root file system."""
        return self.folder / "root.tar"

    @property
    def image(self) -> Path:
        """The raw disk image."""
        return self.folder / "disk.img"

    @property
    def tree(self) -> Path:
        """The unpacked root file system, for containers."""
        return self.folder / "root"

    @property
    def manifest(self) -> Path:
        """Packages, tools and digests."""
        return self.folder / "manifest.json"

    @property
    def log(self) -> Path:
        """Everything that the programs of the build said."""
        return self.folder / "build.log"

    @property
    def recipe_digest(self) -> Path:
        """Digest of the bootstrap script and package list that the tar was built from."""
        return self.folder / "recipe.sha256"


def artifacts(work: Path, recipe: recipes.Recipe, release: recipes.Release) -> Artifacts:
    """Return where a recipe's build for one release lies."""
    return Artifacts(folder=work / release.name / recipe.name)


def recipe_digest(recipe: recipes.Recipe, release: recipes.Release) -> str:
    """Return a digest of all of a recipe that reaches the root tar."""
    text = "\n".join(
        [bootstrap.render(recipe, release), *recipe.all_packages(release), *recipe.exclude, *recipe.keep, release.suite]
    )
    return manifest.digest_text(text)


def current(found: Artifacts, recipe: recipes.Recipe, release: recipes.Release) -> bool:
    """Whether a finished build of just this recipe lies there."""
    if not (found.recipe_digest.exists() and found.tar.exists()):
        return False
    return found.recipe_digest.read_text(encoding="utf-8").strip() == recipe_digest(recipe, release)


def build(
    recipe: recipes.Recipe,
    release: recipes.Release,
    *,
    work: Path,
    boots: Sequence[str] = BOOTS,
    mirror: str = "",
    pinned: dict[str, str] | None = None,
    again: bool = False,
    say: Callable[[str], None] = print,
) -> Artifacts:
    """Build, check and boot one image; raises AmiError at the first thing that does not hold.

    A root tar of the same recipe is kept, unless ``again``. Needs root, Debian's programs (scripts/ami-setup) and, for
    the root tar, a Debian mirror.
    """
    found = artifacts(work, recipe, release)
    found.folder.mkdir(parents=True, exist_ok=True)
    with (found.folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as busy:
            raise errors.AmiError(f"another build works in {found.folder}: wait for it, or give --work") from busy
        log = tools.Log(path=found.log)
        if again or pinned is not None or not current(found, recipe, release):
            found.log.unlink(missing_ok=True)
            found.recipe_digest.unlink(missing_ok=True)
            shutil.rmtree(found.tree, ignore_errors=True)
            say(f"{release.name}/{recipe.name}: root file system from Debian packages (half a minute) ...")
            root = rootfs.build(
                recipe, release, target=found.tar, cache=work / "cache", log=log, mirror=mirror, pinned=pinned
            )
            checks.require(checks.check_rootfs(root.tar, recipe), "the root file system")
            found.recipe_digest.write_text(recipe_digest(recipe, release) + "\n", encoding="utf-8")
        else:
            root = rootfs.load(found.tar)
            say(f"{release.name}/{recipe.name}: root file system of an earlier build, same recipe")
        _disk(found, recipe, release, root, work, log, mirror, say)
        if boots:
            _boot(found, recipe, boots, say)
    return found


def _disk(
    found: Artifacts,
    recipe: recipes.Recipe,
    release: recipes.Release,
    root: rootfs.Rootfs,
    work: Path,
    log: tools.Log,
    mirror: str,
    say: Callable[[str], None],
) -> None:
    toolbox = tools.toolbox(work / "cache", log, mirror=mirror)
    made = disk.build(
        tar=found.tar,
        name=f"{recipe.name}/{release.name}",
        size_gib=recipe.size_gib,
        target=found.image,
        toolbox=toolbox,
        log=log,
    )
    problems = checks.check_disk(made, tar=found.tar, toolbox=toolbox, max_blocks=recipe.max_blocks)
    checks.require(problems, "the disk image")
    blocks, digest = disk.blocks(made.path), manifest.digest(made.path)
    manifest.write(
        found.manifest,
        recipe=recipe.name,
        release=release.name,
        packages=root.packages,
        tools=toolbox.versions(),
        root_digest=manifest.digest(found.tar),
        image_digest=digest,
        image_bytes=made.bytes,
        blocks=blocks,
    )
    say(f"{release.name}/{recipe.name}: {made.path}, {blocks} blocks of 512 KiB, SHA-256 {digest[:16]}...")


def _boot(found: Artifacts, recipe: recipes.Recipe, boots: Sequence[str], say: Callable[[str], None]) -> None:
    for kind in boots:
        say(f"{recipe.name}: boot as {'a container' if kind == 'container' else 'a virtual machine under UEFI'} ...")
        if kind == "container":
            if not found.tree.exists():
                container.unpack(found.tar, found.tree)
            results = trial.in_container(found.tree, recipe, found.folder)
        else:
            results = trial.in_vm(found.image, recipe, found.folder)
        for each in results:
            say(f"  {'ok    ' if each.code == 0 else 'FAILED'} {each.name}")
        broken = [f"{each.name} (exit {each.code}): {each.output.strip()}" for each in results if each.code]
        checks.require(broken, f"the recipe's tests in the {kind}")
