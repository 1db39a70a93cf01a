"""Packs the code of a cluster's machines: what the cluster file names on the client, resolved into one bundle."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import msgspec
from packaging import requirements as reqs

from simpleflow.nodes import config, errors

from . import code, repack, requirements, wheels

PACKAGE = Path(__file__).resolve().parents[2]
#: of the public images (Debian 12) and of our own recipes' first release
_EC2_PYTHON = "3.11"
#: bytes of the largest folder of modules that is packed
_LARGEST = 256 << 20
_SKIPPED = frozenset({"__pycache__", "node_modules"})


class _Asked(msgspec.Struct, kw_only=True):
    """What the cluster file names."""

    #: wheels that lie or are made here
    local: list[Path]
    #: requirements that name no file of this machine
    wanted: list[str] = []
    #: pip's options for whatever these need
    options: list[str] = []


class _Packs(Protocol):
    """provisioning/bundle.py"""

    def code_bundle(self, **given: Any) -> Any: ...


def targets(cluster: config.ClusterConfig) -> list[wheels.Target]:
    """The kinds of machine that the bundle is for."""
    given = cluster.code
    python = given.python or (_EC2_PYTHON if cluster.provider == "ec2" else wheels.python_here())
    machines = [*cluster.profiles.values(), *([cluster.deciders] if cluster.provider == "ec2" else [])]
    kinds = given.architectures or tuple(sorted({each.arch for each in machines}))
    return [wheels.Target(python=python, arch=each) for each in dict.fromkeys(kinds)]


def pack(cluster: config.ClusterConfig, root: Path, packs: _Packs) -> Any:
    """Make the bundle. Raises NodesError for what is not here, cannot be built, or does not fit the machines."""
    given = cluster.code
    with tempfile.TemporaryDirectory(prefix="simpleflow-code-") as made:
        folder = Path(made)
        asked = _asked(given, root, folder)
        source = dict(_source(code.resolved(root, given.path))) if given.path else {}
        if given.index:
            return packs.code_bundle(
                wheels=asked.local, requirements=asked.wanted, index=True, source=source, python=given.python
            )  # fmt: skip
        machines = {each.arch: _for_target(asked, each, folder / each.arch) for each in targets(cluster)}
        return packs.code_bundle(machines=machines, python=targets(cluster)[0].python, source=source)


def _for_target(asked: _Asked, target: wheels.Target, folder: Path) -> list[Path]:
    fitting = [each for each in asked.local if target.takes(each)]
    lost = {wheels.read(each).name: each for each in asked.local}
    for each in fitting:
        lost.pop(wheels.read(each).name, None)
    if lost:
        raise errors.NodesError(
            f"{', '.join(each.name for each in lost.values())} cannot be installed by {target}: build it for that, or "
            "correct code.python and code.architectures"
        )
    return wheels.gather(fitting, asked.wanted, target, folder, asked.options)


# --- what the cluster file names --------------------------------------------------------------------------------------


def _asked(given: config.Code, root: Path, folder: Path) -> _Asked:
    found = _Asked(local=[own_wheel(folder / "simpleflow")])
    for key, name in [("code.wheel", given.wheel), *(("code.wheels", each) for each in given.wheels)]:
        if name:
            found.local.append(wheels.read(_existing(code.resolved(root, name), key)).path)
    if given.path:
        path = _existing(code.resolved(root, given.path), "code.path")
        if path.is_file() or code.is_project(path):
            found.local += wheels.build([str(path.resolve())], folder / "own", root)
    if given.requirement:
        words = _pip_words(given.requirement)
        _require(requirements.read_words(words, root), words, folder / "requirement", root, found)
    if given.requirements:
        file = _existing(code.resolved(root, given.requirements), "code.requirements").resolve()
        asked = requirements.read_file(file)
        _require(asked, ["-r", str(file)], folder / "requirements", file.parent, found)
    return found


def _pip_words(text: str) -> list[str]:
    """``code.requirement`` as pip's command line has it: one requirement, or whatever else pip takes."""
    try:
        return [str(reqs.Requirement(text))]
    except reqs.InvalidRequirement:
        return [os.path.expanduser(each) for each in shlex.split(text)]


def _require(asked: requirements.Read, words: list[str], folder: Path, directory: Path, found: _Asked) -> None:
    """Names are resolved for each kind of machine; whatever else pip takes becomes a wheel here."""
    found.options += asked.options
    if not asked.others:
        found.wanted += asked.names
        return
    found.local += wheels.build(words, folder, directory)
    found.wanted += [*asked.names, *asked.extras]
    for number, (path, extras) in enumerate(asked.nameless):
        built = wheels.build([path], folder / f"extras-{number}", directory)
        found.wanted.append(f"{wheels.read(built[0]).name}[{extras}]")


def own_wheel(folder: Path) -> Path:
    """simpleflow's wheel: from the checkout that runs, else the installed one as it is; no index is asked for it."""
    checkout = PACKAGE.parent / "pyproject.toml"
    if checkout.exists():
        return wheels.build([str(checkout.parent)], folder, checkout.parent)[0]
    path = repack.wheel(metadata.distribution("simpleflow"), folder)
    if path is None:
        raise errors.NodesError(
            f"simpleflow in {PACKAGE} differs from what was installed there, or has no record of it: install it again"
        )
    return path


def _existing(path: Path, key: str) -> Path:
    if not path.exists():
        raise errors.NodesError(f"{key}: {path} does not exist; paths are relative to the cluster file")
    return path


def _source(path: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a folder that is not a project, as names and content: modules, and data beside them."""
    if not path.is_dir() or code.is_project(path):
        return
    top, size = code.working_folder(path.resolve()), 0
    for folder, names in code.folders(path.resolve(), _skipped):
        for name in names:
            file = folder / name
            if name.startswith(".") or file.suffix == ".pyc" or not file.is_file():
                continue
            content = file.read_bytes()
            size += len(content)
            if size > _LARGEST:
                raise errors.NodesError(
                    f"code.path: {path} holds more than {_LARGEST >> 20} MiB (up to {file}): name the folder of the "
                    "modules alone, or build a wheel"
                )
            yield str(file.relative_to(top)), content


def _skipped(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in _SKIPPED or (folder / "pyvenv.cfg").exists()
