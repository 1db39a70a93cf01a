"""Finds a cluster whose file is gone, broken or renamed: by its name, or by the path that `up` was given."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from simpleflow.core import errors as core_errors
from simpleflow.core import folders
from simpleflow.data import files
from simpleflow.nodes import config, errors, paths, published, stores
from simpleflow.nodes.providers.process import node_folder


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster, and what a person should know of its file."""

    loaded: config.LoadedCluster
    notes: tuple[str, ...] = ()


def remember(loaded: config.LoadedCluster, environment: Mapping[str, str]) -> None:
    """Keep a copy of the file on this machine; ``loaded`` has absolute paths."""
    where = paths.ClusterPaths(loaded.config, environment)
    files.folder(where.folder)
    node_folder.write(where.file, msgspec.json.encode(loaded.config))
    node_folder.write(where.origin, os.fsencode(loaded.path))


def find(given: str | Path, environment: Mapping[str, str] | None = None) -> Found:
    """The cluster of a file, or of a name; raises ClusterFileError when neither leads to one."""
    known = os.environ if environment is None else environment
    try:
        return Found(loaded=config.load(given))
    except errors.ClusterFileError as error:
        name = _named(str(given), known)
        if name is None:
            raise _with_names(error, given, known) from None
        gone = not Path(given).exists()
        why = "" if gone and name == str(given) else f"{error.problems[0]}; "
        copy = _copy(name, known)
        return Found(
            loaded=msgspec.structs.replace(copy, path=str(given)),
            notes=(f"{why}cluster '{name}' is found by what `up` kept of its file",),
        )


def _clusters(environment: Mapping[str, str]) -> Iterator[Path]:
    """The folders of clusters that came up here."""
    with contextlib.suppress(OSError, core_errors.UsageError):
        yield from sorted(each.parent for each in (folders.data(environment) / "clusters").glob("*/cluster.json"))


def _named(given: str, environment: Mapping[str, str]) -> str | None:
    """The name of the cluster that is meant; None for one that never came up here."""
    origins = {}
    for folder in _clusters(environment):
        if folder.name == given and not Path(given).exists():
            return given
        with contextlib.suppress(OSError):
            origins[os.fsdecode((folder / "origin").read_bytes())] = folder.name
    with contextlib.suppress(OSError, ValueError):
        return origins.get(str(folders.real(given)))
    return None


def _copy(name: str, environment: Mapping[str, str]) -> config.LoadedCluster:
    """By what the cluster works: the published file, else the copy of its beginning."""
    loaded = config.load(folders.data(environment) / "clusters" / name / "cluster.json")
    if loaded.config.provider == "ec2":
        return loaded
    with contextlib.suppress(core_errors.SimpleflowError, OSError):
        store = stores.open_store(paths.ClusterPaths(loaded.config, environment).store)
        if (found := published.read(store, name)) is not None:
            return msgspec.structs.replace(loaded, config=found.config)
    return loaded


def _with_names(
    error: errors.ClusterFileError, given: str | Path, environment: Mapping[str, str]
) -> errors.ClusterFileError:
    try:
        folders.data(environment)
    except core_errors.UsageError as unknown:
        return errors.ClusterFileError((*error.problems, f"no cluster is found by its name: {unknown}"))
    names = [each.name for each in _clusters(environment)]
    if not names or Path(str(given).replace("\0", "")).exists():
        return error
    return errors.ClusterFileError(
        (*error.problems, f"clusters that came up here, which may be given by name: {', '.join(names)}")
    )
