"""The code of a cluster's machines as the cluster file names it: where it lies here, and what machines know of it."""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from simpleflow.nodes import config


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """The code bundle: what is installed on the machines."""

    digest: str
    content: bytes

    @property
    def key(self) -> str:
        """Where it lies below the bucket."""
        return code_key(self.digest)


def code_key(digest: str) -> str:
    """Key of a bundle: content-addressed, so that repeating an upload changes nothing."""
    return f"code/{digest}.tar.gz"


def for_machines(cluster: config.ClusterConfig) -> config.ClusterConfig:
    """The cluster file without what only the client has: `up` has packed it, a machine cannot see it."""
    return msgspec.structs.replace(cluster, code=config.Code(modules=cluster.code.modules))


def resolved(root: Path, given: str) -> Path:
    """A path of the cluster file: ``~`` is the user's home, anything else is relative to the file's folder."""
    return root / os.path.expanduser(given)


def resolved_file(cluster: config.ClusterConfig, root: Path) -> config.ClusterConfig:
    """The cluster file with absolute paths: whoever reads it elsewhere does not know its folder ``root``."""

    def absolute(given: str) -> str:
        return str(resolved(root, given).resolve()) if given else ""

    code = cluster.code
    code = msgspec.structs.replace(
        code,
        path=absolute(code.path),
        wheel=absolute(code.wheel),
        wheels=tuple(absolute(each) for each in code.wheels),
        requirements=absolute(code.requirements),
        requirement=_requirement(code.requirement, root),
    )
    profiles = {name: _profile(each, absolute) for name, each in cluster.profiles.items()}
    return msgspec.structs.replace(cluster, code=code, profiles=profiles)


def _profile(profile: config.Profile, absolute: Callable[[str], str]) -> config.Profile:
    given = profile.ssh
    ssh = msgspec.structs.replace(given, key=absolute(given.key), known_hosts=absolute(given.known_hosts))
    return msgspec.structs.replace(profile, ssh=ssh)


def _requirement(text: str, root: Path) -> str:
    """A requirement in which the words that name files (``-r FILE``, ``./films``) are absolute."""
    words = shlex.split(text) if text[:1] in ("-", ".", "/", "~") else []
    if not words:
        return text
    found = [(each, resolved(root, each)) for each in words]
    return shlex.join([str(path.resolve()) if path.exists() else each for each, path in found])


def working_folder(path: Path) -> Path:
    """Where modules of ``code.path`` are imported from: the folder itself, or the one that holds it as a package."""
    return path.parent if (path / "__init__.py").is_file() and not is_project(path) else path


def is_project(path: Path) -> bool:
    """Whether a folder is built into a wheel: it has a setup.py, or a pyproject.toml that says of what."""
    if (path / "setup.py").is_file():
        return True
    try:
        found = tomllib.loads((path / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return "project" in found or "build-system" in found


def folders(top: Path, skipped: Callable[[Path], bool]) -> Iterator[tuple[Path, list[str]]]:
    """Every folder below ``top`` with its files, links followed as Python's import does; in the order of their names.

    A link to a folder that holds it, or ``top``, is not followed: it would have no end.
    """
    #: folder -> what it and the folders above it really are
    above = {str(top): (top.resolve(), *top.resolve().parents)}
    for name, below, files in os.walk(top, followlinks=True):
        chain = above.pop(name)
        kept = []
        for each in sorted(below):
            path = Path(name) / each
            real = path.resolve()
            if real not in chain and not skipped(path):
                kept.append(each)
                above[str(path)] = (real, *chain)
        below[:] = kept
        yield Path(name), sorted(files)
