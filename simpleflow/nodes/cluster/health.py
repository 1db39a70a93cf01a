"""Why a local cluster does not work, in words: no manager, passes that fail, a service that cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from simpleflow.nodes import config, paths
from simpleflow.nodes.manager.logs import last_words

from . import supervisor

#: bytes of a socket's path that every system takes
_MOST_PATH = 103
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
    if where.embedded and not supervisor.reachable(up.endpoint):
        yield _unreachable(up.endpoint, where.logs)
    if where.embedded and where.endpoint != up.endpoint:
        yield (
            f"the cluster's service is at {up.endpoint}, and this shell looks for it at {where.endpoint}: set "
            f"SIMPLEFLOW_RUNTIME_DIR={Path(up.endpoint.removeprefix('unix://')).parent} to reach it"
        )
    if up.manager is None:
        yield f"no manager lives; its last words: {last_words(where.logs / 'manager.log')}"
    elif lease_age is not None and lease_age > _LEASES * cluster.settings.lease:
        yield (
            f"the manager (process {up.manager}) has not renewed its lease for {lease_age:.0f} s: its passes fail, and "
            f"nothing is launched or drained; its last words: {last_words(where.logs / 'manager.log')}"
        )


def _unreachable(endpoint: str, logs: Path) -> str:
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
    return f"the service does not answer at {endpoint}; its last words: {last_words(logs / 'service.log')}"
