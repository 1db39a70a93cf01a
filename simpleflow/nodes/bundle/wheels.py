"""The wheels that a machine needs, gathered on the client: what is installed here first, else what pip finds.

A machine installs these files and asks no index, so the set must be closed: every requirement of every wheel, as the
machine's Python and architecture read it, is held too.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email import message_from_bytes
from importlib import metadata
from pathlib import Path

import msgspec
from packaging import requirements as reqs
from packaging import tags, utils, version

from simpleflow.nodes import errors

from . import repack, requirements

#: glibc of the oldest machines that portable wheels are looked for, and of the newest that are taken at all (Debian 12)
_GLIBC_OLD, _GLIBC_NEW = 28, 36
_NAME_FILES = (
    "PIP_CONSTRAINT",
    "PIP_BUILD_CONSTRAINT",
    "PIP_FIND_LINKS",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_CONFIG_FILE",
)
_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of machine."""

    #: 'X.Y'
    python: str
    #: as the cluster file writes it: x86_64, arm64
    arch: str

    def __str__(self) -> str:
        return f"Python {self.python} on {self.arch}"

    @property
    def platforms(self) -> list[str]:
        """Platform tags, the portable ones first."""
        machine = _MACHINES[self.arch]
        order = [*range(_GLIBC_OLD, 4, -1), *range(_GLIBC_OLD + 1, _GLIBC_NEW + 1)]
        found = [f"manylinux_2_{minor}_{machine}" for minor in order]
        found.insert(_GLIBC_OLD - 17 + 1, f"manylinux2014_{machine}")
        if self.arch == "x86_64":
            found += [f"manylinux2010_{machine}", f"manylinux1_{machine}"]
        return [*found, f"linux_{machine}"]

    def takes(self, wheel: Path) -> bool:
        """Whether a wheel may be installed there."""
        return bool(utils.parse_wheel_filename(wheel.name)[3] & _tags(self))

    def environment(self, extra: str) -> dict[str, str]:
        """What environment markers see there."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": _MACHINES[self.arch],
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
            "extra": extra,
        }

    @property
    def here(self) -> bool:
        """Whether this very interpreter is of that kind."""
        return (
            sys.platform == "linux"
            and sys.implementation.name == "cpython"
            and python_here() == self.python
            and platform.machine() == _MACHINES[self.arch]
        )


def python_here() -> str:
    """This interpreter as 'X.Y'."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@functools.cache
def _tags(target: Target) -> frozenset[tags.Tag]:
    major, minor = (int(each) for each in target.python.split("."))
    own = tags.cpython_tags((major, minor), platforms=target.platforms)
    shared = tags.compatible_tags((major, minor), interpreter=f"cp{major}{minor}", platforms=target.platforms)
    return frozenset((*own, *shared))


class Wheel(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel that is held."""

    path: Path
    name: str
    version: version.Version
    requires: tuple[str, ...]


def read(path: Path) -> Wheel:
    """Read a wheel's name, version and requirements. Raises NodesError for a file that is not one."""
    try:
        name, number, _, _ = utils.parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            inside = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
            found = message_from_bytes(archive.read(inside))
    except (utils.InvalidWheelFilename, zipfile.BadZipFile, StopIteration, OSError) as error:
        raise errors.NodesError(f"{path} is not a wheel ({error}): build one with `python -m build --wheel`") from error
    return Wheel(path=path, name=name, version=number, requires=tuple(found.get_all("Requires-Dist") or ()))


class _Conflict(Exception):
    """What is installed here does not fit together with what is asked for."""


class _NotPacked(errors.NodesError):
    """A distribution that was not installed from an index cannot be packed. The indexes are not asked for it: they may
    have a stranger's package of the same name."""


class _Set:
    """The wheels held so far, and what they still miss."""

    def __init__(self, target: Target, roots: Iterable[Path], wanted: Sequence[reqs.Requirement]) -> None:
        self._target = target
        self._wanted = wanted
        self.held: dict[str, Wheel] = {}
        self.roots: list[str] = []
        for path in roots:
            self.add(path)
            self.roots.append(read(path).name)

    def add(self, path: Path) -> None:
        wheel = read(path)
        other = self.held.get(wheel.name)
        if other is not None and other.path.name != path.name:
            raise errors.NodesError(f"code gives {wheel.name} twice: {other.path.name} and {path.name}; keep one")
        if not self._target.takes(path):
            raise errors.NodesError(
                f"{path.name} cannot be installed by {self._target}: build it for that, or correct code.python "
                "and code.architectures"
            )
        self.held[wheel.name] = wheel

    def walk(self) -> tuple[dict[str, Wheel], list[reqs.Requirement]]:
        """What is needed of what is held, and the requirements that nothing held meets. Raises _Conflict."""
        needed: dict[str, Wheel] = {}
        missing: dict[str, reqs.Requirement] = {}
        seen: set[tuple[str, str]] = set()
        queue: list[reqs.Requirement] = [*(reqs.Requirement(name) for name in self.roots), *self._wanted]
        while queue:
            asked = queue.pop()
            name = utils.canonicalize_name(asked.name)
            wheel = self.held.get(name)
            if wheel is None:
                missing.setdefault(str(asked), asked)
                continue
            if asked.specifier and not asked.specifier.contains(wheel.version, prereleases=True):
                raise _Conflict(f"{asked} is asked for, {wheel.path.name} is held")
            needed[name] = wheel
            for extra in ("", *asked.extras):
                if (name, extra) not in seen:
                    seen.add((name, extra))
                    queue += self._below(wheel, extra)
        return needed, list(missing.values())

    def _below(self, wheel: Wheel, extra: str) -> Iterator[reqs.Requirement]:
        for text in wheel.requires:
            found = reqs.Requirement(text)
            if _counts(found, self._target, extra):
                yield found


def _counts(asked: reqs.Requirement, target: Target, extra: str) -> bool:
    """Whether a requirement holds on a target; its marker is dropped, for it is answered."""
    holds = asked.marker is None or asked.marker.evaluate(target.environment(extra))
    asked.marker = None
    return holds


def gather(
    roots: Sequence[Path], wanted: Sequence[str], target: Target, folder: Path, options: Sequence[str] = ()
) -> list[Path]:
    """Return ``roots`` and the wheels of everything that they and ``wanted`` need on a target, new ones in ``folder``.

    A wheel that the target cannot install is refused. If the target has this machine's Python and architecture, the
    distributions that are installed here are packed, as far as they meet the constraints. All others come from the
    indexes that pip knows here. ``options`` are those of requirements.Read. Raises NodesError with pip's last lines.
    """
    asked = [found for each in wanted if _counts(found := reqs.Requirement(each), target, "")]
    first = ""
    if target.here:
        try:
            return _with_installed(_Set(target, roots, asked), target, folder, options)
        except _NotPacked:
            raise
        except (_Conflict, errors.NodesError) as problem:
            first = f"\nWith what is installed here: {problem}"  # pip may resolve it as a whole
    try:
        return _closed(_Set(target, roots, asked), target, folder / "found", options)
    except _NotPacked:
        raise
    except (_Conflict, errors.NodesError) as problem:
        raise errors.NodesError(f"the code of the machines, for {target}: {problem}{first}") from problem


def _with_installed(found: _Set, target: Target, folder: Path, options: Sequence[str]) -> list[Path]:
    known = requirements.constraints(options, os.environ.get("PIP_CONSTRAINT", ""))
    bounds = [each for each in known if _counts(each, target, "")]
    while True:
        needed, missing = found.walk()
        if not missing:
            return [each.path for each in needed.values()]
        packed = [path for each in missing if (path := _installed(each, bounds, target, folder)) is not None]
        if not packed:
            return _closed(found, target, folder / "found", options)
        for path in packed:
            found.add(path)


def _installed(
    asked: reqs.Requirement, bounds: Sequence[reqs.Requirement], target: Target, folder: Path
) -> Path | None:
    """The wheel of an installed distribution, when it meets the requirement and can be packed as it was."""
    try:
        distribution = metadata.distribution(asked.name)
    except metadata.PackageNotFoundError:
        return None
    if not _meets(distribution.version, asked):
        return None
    name = utils.canonicalize_name(asked.name)
    for bound in bounds:
        if utils.canonicalize_name(bound.name) == name and not _meets(distribution.version, bound):
            return None
    if repack.origin(distribution):
        return _private(distribution, target, folder)
    path = repack.wheel(distribution, folder)
    return path if path is not None and target.takes(path) else None


def _private(distribution: metadata.Distribution, target: Target, folder: Path) -> Path:
    """The wheel of what was installed from a folder, a file or an address: no index is asked for it."""
    name, origin = distribution.metadata["Name"], repack.origin(distribution)
    problem = "it differs from what was installed"
    try:
        source = repack.source_of(distribution)
        if source is None:
            path = repack.wheel(distribution, folder)
        else:
            path = build([str(source)], folder / f"{name}-source", source)[0]
        if path is not None and target.takes(path):
            return path
        if path is not None:
            problem = f"its wheel {path.name} is not for {target}"
    except (errors.NodesError, OSError) as error:
        problem = str(error)
    raise _NotPacked(
        f"{name} is installed here from {origin} and cannot be packed ({problem}). No index is asked for it, which "
        "could have another package of this name: install it again, or give its wheel (code.wheels)"
    )


def _own(asked: reqs.Requirement, target: Target, folder: Path) -> Path | None:
    """The wheel of what fits and came here from no index, for whatever machine."""
    try:
        distribution = metadata.distribution(asked.name)
    except metadata.PackageNotFoundError:
        return None
    if not repack.origin(distribution) or not _meets(distribution.version, asked):
        return None
    return _private(distribution, target, folder)


def _meets(number: str, asked: reqs.Requirement) -> bool:
    return not asked.url and asked.specifier.contains(number, prereleases=True)


def _closed(found: _Set, target: Target, folder: Path, options: Sequence[str]) -> list[Path]:
    """Have pip find what is missing until nothing is: it reads markers as this interpreter does, the walk as the
    target."""
    while True:
        needed, missing = found.walk()
        if not missing:
            return [each.path for each in needed.values()]
        shutil.rmtree(folder, ignore_errors=True)
        own = [path for each in missing if (path := _own(each, target, folder.parent)) is not None]
        if own:
            for path in own:
                found.add(path)
            continue
        lines = [str(each) for each in missing]
        _pip_finds([each.path for each in found.held.values()], lines, target, folder, options)
        before = set(found.held)
        for path in sorted(folder.glob("*.whl")):
            if read(path).name not in before:
                kept = path.rename(folder.parent / path.name)
                found.add(kept)
        if set(found.held) == before:
            raise errors.NodesError(f"pip found nothing for {', '.join(str(each) for each in missing)} on {target}")


def _pip_finds(held: list[Path], missing: list[str], target: Target, folder: Path, options: Sequence[str]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    given = [*requirements.arguments(options, folder.parent), *(str(each) for each in held), *missing]
    kind = [f"--platform={each}" for each in target.platforms]
    interpreter = f"cp{target.python.replace('.', '')}"
    kind += [f"--python-version={target.python}", "--implementation=cp"]
    kind += [f"--abi={each}" for each in (interpreter, "abi3", "none")]
    attempts = [["download", "--only-binary=:all:", *kind, "--dest", str(folder)]]
    if target.here:
        attempts.append(["wheel", "--wheel-dir", str(folder)])  # builds what has sources only
    for attempt in attempts:
        done = pip(*attempt, *given)
        if not done.returncode:
            return
    last = "\n".join(done.stderr.splitlines()[-10:])
    raise errors.NodesError(
        f"wheels of {', '.join(missing)} for {target} are missing. Give them by path (code.wheels), install them here, "
        f"or have the machines ask an index (code: {{index: true}}). pip says:\n{last}"
    )


def pip(*arguments: str, folder: Path | None = None, more: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    """Run this interpreter's pip as it is configured here."""
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:]]
    # The same source gives the same wheel, and so the same digest: times inside it come from here.
    environment = {**os.environ, **_settings(), "SOURCE_DATE_EPOCH": "315532800", **more}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)


def _settings() -> dict[str, str]:
    """pip's own variables that name files, from this folder on: pip runs in another one."""
    found = {}
    for name in _NAME_FILES:
        value = os.environ.get(name, "")
        words = [value] if os.path.exists(value) else value.split()
        if words:
            found[name] = " ".join(os.path.abspath(each) if os.path.exists(each) else each for each in words)
    return found


def build(what: Sequence[str], folder: Path, directory: Path) -> list[Path]:
    """Build or fetch the wheels of pip's own arguments (a folder, a file, ``-r FILE``), without what they need."""
    folder.mkdir(parents=True, exist_ok=True)
    apart = {}
    if not os.environ.get("DIST_EXTRA_CONFIG"):
        # setuptools builds inside the source, and packs what an earlier build left there
        builds = folder / "builds.cfg"
        builds.write_text(f"[build]\nbuild_base = {folder}/build\n[egg_info]\negg_base = {folder}\n")
        apart["DIST_EXTRA_CONFIG"] = str(builds)
    done = pip("wheel", "--no-deps", "--wheel-dir", str(folder), *what, folder=directory, more=apart)
    built = sorted(folder.glob("*.whl"))
    if done.returncode or not built:
        last = "\n".join(done.stderr.splitlines()[-10:])
        raise errors.NodesError(f"no wheel could be made from {' '.join(what)}; pip says:\n{last}")
    return built
