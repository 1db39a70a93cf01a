"""Leftovers of this user's dead clusters: processes, machines over ssh, folders of sockets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import psutil

from simpleflow.core import errors as core_errors
from simpleflow.core import folders
from simpleflow.nodes import config, errors, paths
from simpleflow.nodes.manager import assemble
from simpleflow.nodes.providers import base as providers
from simpleflow.nodes.providers.process import provider as process_module
from simpleflow.process import lock_lifeline, scratch

#: seconds between TERM and KILL of a process
_PATIENCE = 2.0


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that outlived its cluster."""

    cluster: str
    #: process: one of this machine. machine: a node that the provider lists
    kind: str
    id: str
    what: str


class Reaper:
    """Finds leftovers, and ends only these: each belongs to this user, and its cluster is dead."""

    def __init__(self, environment: Mapping[str, str], only: str | None = None) -> None:
        """``only``: the name of the one cluster that is looked at; None for all that came up here."""
        self._environment = environment
        self._only = only
        self._processes: dict[str, psutil.Process] = {}
        self._providers: dict[str, providers.NodeProvider] = {}
        #: clusters whose machines could not be listed, and why
        self.notes: list[str] = []

    def find(self) -> tuple[Leftover, ...]:
        """Look at every cluster of this user's data folder whose supervisor is gone."""
        found: list[Leftover] = []
        for folder in self._dead():
            found += self._of_processes(folder)
            found += self._of_machines(folder)
        return tuple(found)

    def _dead(self) -> Iterator[Path]:
        known = sorted(each.parent for each in (folders.data(self._environment) / "clusters").glob("*/cluster.json"))
        for folder in known:
            if self._only in (None, folder.name) and not lock_lifeline.held(folder / "lifeline.lock"):
                yield folder

    def _of_processes(self, folder: Path) -> Iterator[Leftover]:
        for process in process_module.node_processes(str(folder)):
            with contextlib.suppress(psutil.Error):
                command = " ".join(process.cmdline())
                node = process.environ().get("SIMPLEFLOW_NODE_ID", "")
                self._processes[str(process.pid)] = process
                yield Leftover(
                    cluster=folder.name,
                    kind="process",
                    id=str(process.pid),
                    what=f"{f'node {node}: ' if node else ''}{command}",
                )

    def _of_machines(self, folder: Path) -> Iterator[Leftover]:
        """Yield nodes of provider ssh: this machine has a record of where it placed them."""
        if not (folder / "ssh-nodes").exists():
            return
        try:
            cluster = config.load(folder / "cluster.json").config
            where = paths.ClusterPaths(cluster, self._environment)
            provider = assemble.provider_of(cluster, where, os.getcwd())
            listed = provider.list().instances
        except (core_errors.SimpleflowError, OSError) as error:
            self.notes.append(f"the machines of cluster '{folder.name}' cannot be looked at: {error}")
            return
        for each in listed:
            if each.state != "terminated":
                self._providers[each.id] = provider
                yield Leftover(
                    cluster=folder.name, kind="machine", id=each.id, what=f"node on {each.zone}, last seen {each.state}"
                )

    def end(self, found: tuple[Leftover, ...]) -> tuple[str, ...]:
        """End what ``find`` found, and sweep folders of sockets; returns what could not be ended, and why."""
        # A cluster that came up meanwhile looks after its own nodes.
        dead = {folder.name for folder in self._dead()}
        problems = [f"cluster '{name}' is up again: left alone" for name in sorted({f.cluster for f in found} - dead)]
        mine = [each for each in found if each.cluster in dead]
        process_module.end_processes(
            [self._processes[each.id] for each in mine if each.id in self._processes], _PATIENCE
        )
        for each in mine:
            if each.id in self._providers:
                try:
                    self._providers[each.id].terminate(each.id)
                except errors.NodesError as error:
                    problems.append(f"node {each.id} of cluster '{each.cluster}' could not be ended: {error}")
        scratch.sweep()
        return tuple(problems)
