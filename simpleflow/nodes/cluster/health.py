"""Why a local cluster does not work, in words: no manager, passes that fail, a service that cannot be reached."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from simpleflow.nodes import config, paths
from simpleflow.nodes.manager.logs import last_words

from . import supervisor

#: bytes of a socket's path that Linux and the service take
_MOST_PATH = 107
#: bytes below which a disk counts as full
_LEAST_FREE = 64 * 1024
#: lease times without a renewal after which it is told
_LEASES = 3


def notes(
    cluster: config.ClusterConfig, where: paths.ClusterPaths, up: supervisor.Up | None, lease_age: float | None
) -> tuple[str, ...]:
    """Say what is wrong; nothing while the cluster is down."""
    return () if up is None else tuple(_notes(cluster, where, up, lease_age))


def _notes(
    cluster: config.ClusterConfig, where: paths.ClusterPaths, up: supervisor.Up, lease_age: float | None
) -> Iterator[str]:
    folders = {_mount(where.folder): where.folder}
    if where.store.startswith("file://"):
        store = Path(where.store.removeprefix("file://"))
        folders.setdefault(_mount(store), store)
    yield from filter(None, (_full(folder, mount) for mount, folder in folders.items()))
    if where.embedded and not supervisor.reachable(up.endpoint):
        yield _unreachable(up.endpoint, where.logs, up.started)
    if where.embedded and where.endpoint != up.endpoint:
        yield (
            f"the cluster's service is at {up.endpoint}, and this shell looks for it at {where.endpoint}: set "
            f"SIMPLEFLOW_RUNTIME_DIR={Path(up.endpoint.removeprefix('unix://')).parent} to reach it"
        )
    if up.manager is None:
        yield f"no manager lives; its last words: {last_words(where.logs / 'manager.log', up.started)}"
    elif lease_age is not None and min(lease_age, _age(up.manager)) > _LEASES * cluster.settings.lease:
        yield (
            f"the manager (process {up.manager}) has not renewed its lease for {lease_age:.0f} s: its passes fail, and "
            f"nothing is launched or drained; its last words: "
            f"{last_words(where.logs / 'manager.log', up.started)}"
        )


def _full(folder: Path, mount: Path) -> str:
    """Return that the disk of a folder is full, where it is: the logs, which lie there too, cannot say it then."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return ""
    if disk.f_bavail * disk.f_frsize < _LEAST_FREE:
        return f"the disk of {mount} is full: nothing can be written below {folder}; free some space"
    if disk.f_files and not disk.f_favail:
        return f"the disk of {mount} has no inode left: nothing can be made below {folder}; delete some files"
    return ""


def _mount(folder: Path) -> Path:
    return next((each for each in (folder, *folder.parents) if each.is_mount()), folder)


def _age(pid: int) -> float:
    """Return for how many seconds a process lives: one that was just started has not renewed a lease yet."""
    with contextlib.suppress(psutil.Error):
        return max(time.time() - psutil.Process(pid).create_time(), 0.0)
    return math.inf


def not_up(where: paths.ClusterPaths, since: float) -> str:
    """Return why a cluster that was begun at ``since`` (epoch seconds) does not come up."""
    if where.embedded and not supervisor.reachable(where.endpoint):
        return _unreachable(where.endpoint, where.logs, since)
    return f"no manager lives; its last words: {last_words(where.logs / 'manager.log', since)}"


def too_long(where: paths.ClusterPaths) -> str:
    """Return what to do about the path of the service's socket, '' where it is short enough."""
    path = where.endpoint.removeprefix("unix://")
    if not where.embedded or len(os.fsencode(path)) <= _MOST_PATH:
        return ""
    return (
        f"the path of the service's socket, {path}, has more than {_MOST_PATH} bytes; set SIMPLEFLOW_RUNTIME_DIR to a "
        "shorter folder"
    )


def _unreachable(endpoint: str, logs: Path, since: float) -> str:
    """Return why no process answers at a socket, as far as the file system tells."""
    path = Path(endpoint.removeprefix("unix://"))
    if len(bytes(path)) > _MOST_PATH:
        return (
            f"nobody can reach the service: the path of its socket, {path}, has more than {_MOST_PATH} bytes; set "
            "SIMPLEFLOW_RUNTIME_DIR to a shorter folder, then `sfnodes down` and `sfnodes up`"
        )
    if not path.parent.exists():
        return (
            f"nobody can reach the service: {path.parent} is gone (a login's runtime folder is removed at logout: "
            "`loginctl enable-linger` keeps it, SIMPLEFLOW_RUNTIME_DIR names another); the service is "
            "started anew where it can be"
        )
    return f"the service does not answer at {endpoint}; its last words: {last_words(logs / 'service.log', since)}"
