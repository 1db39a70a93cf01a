"""Puts a manager together from a cluster file: stores, provider, coordinator, deciders."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from importlib import metadata as package_metadata
from pathlib import Path

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.data import files
from simpleflow.nodes import config, control, errors, paths, published, setups, stores
from simpleflow.nodes.bundle import code as codes
from simpleflow.nodes.policy import decide, decider_count
from simpleflow.nodes.providers import base as providers
from simpleflow.nodes.providers.process import node_folder
from simpleflow.swf.transport import base as transports

from . import coordinator as coordinators
from . import manager, reconcile

#: providers of this package, imported when a cluster names them; others are found as entry points
_BUILT_IN = {name: f"simpleflow.nodes.providers.{name}" for name in ("process", "ec2", "ssh")}


def provider_of(
    cluster: config.ClusterConfig, where: paths.ClusterPaths, directory: str, code: str = ""
) -> providers.NodeProvider:
    """Make the provider that the cluster file names; raises UsageError for one that is not installed.

    ``code`` names the code that its machines are to run.
    """
    context = providers.ProviderContext(
        cluster=cluster,
        setups={
            name: setups.node_setup(
                cluster,
                name,
                store=where.store,
                endpoint=where.endpoint,
                directory=directory if cluster.provider == "process" else "",
                lifeline=str(where.lifeline) if cluster.provider == "process" else "",
                code=code,
            )
            for name in cluster.profiles
        },
        folder=str(where.folder),
    )
    return factory_of(cluster)(context)


def factory_of(cluster: config.ClusterConfig) -> providers.Factory:
    """Return the factory of the provider that the cluster file names; raises UsageError where it is not installed."""
    if cluster.provider in _BUILT_IN:
        built_in: providers.Factory = importlib.import_module(_BUILT_IN[cluster.provider]).create
        return built_in
    for point in package_metadata.entry_points(group="simpleflow.node_providers", name=cluster.provider):
        plugged: providers.Factory = point.load()
        return plugged
    raise core_errors.UsageError(
        f"provider '{cluster.provider}' is not installed; write provider: process, ec2 or ssh, or install the package "
        "that brings it (entry point group simpleflow.node_providers)"
    )


def code_directory(loaded: config.LoadedCluster, directory: str) -> str:
    """Return the folder in which workers and deciders of this machine run: ``code.path``, else ``directory``.

    Raises UsageError for a path that is not a folder.
    """
    if not loaded.config.code.path:
        return directory
    chosen = codes.resolved(Path(loaded.path).parent, loaded.config.code.path).resolve()
    if not chosen.is_dir():
        raise core_errors.UsageError(
            f"{loaded.path}: code.path '{loaded.config.code.path}' is not a folder ({chosen}); write one that exists, "
            "relative to the cluster file"
        )
    return str(codes.working_folder(chosen))


def located(cluster: config.ClusterConfig) -> config.ClusterConfig:
    """Return the cluster with the URL of its documents: on ec2 the bucket of the stack, unless the file names another.

    Raises ProviderRefused if the stack does not exist yet.
    """
    if cluster.provider != "ec2" or cluster.store:
        return cluster
    from simpleflow.nodes.providers import ec2
    from simpleflow.nodes.providers.ec2 import stackinfo

    bucket = stackinfo.read(ec2.BotoClients(cluster.region), cluster.cluster).bucket
    return msgspec.structs.replace(cluster, store=f"s3://{bucket}")


def reconciler_of(
    loaded: config.LoadedCluster,
    environment: Mapping[str, str],
    directory: str,
    holder: str,
    transport: transports.Transport,
) -> reconcile.Reconciler:
    """Make the reconciler of a cluster by the given file."""
    cluster = located(codes.resolved_file(loaded.config, Path(loaded.path).parent))
    where = paths.ClusterPaths(cluster, environment)
    store = stores.open_store(where.store)
    file = control.ControlFile(store, cluster.cluster, holder, clocks.RealClock())
    coordinator = coordinators.SwfCoordinator(transport, cluster.swf_domain)
    return _reconciler(published.Published(config=cluster), where, directory, file, coordinator)


def _reconciler(
    works_by: published.Published,
    where: paths.ClusterPaths,
    directory: str,
    file: control.ControlFile,
    coordinator: coordinators.SwfCoordinator,
) -> reconcile.Reconciler:
    cluster, code = works_by.config, works_by.code
    provider = provider_of(cluster, where, directory, code)
    versions = works_by.versions if cluster.provider == "ec2" else {}
    if cluster.provider != "ec2" and code:
        # These machines run from this installation, so their version is known here.
        versions = {name: setups.version_of(cluster, name, code) for name in cluster.profiles}
    return reconcile.Reconciler(cluster, file, provider, file.store, coordinator, clocks.RealClock(), versions)


def manager_of(
    loaded: config.LoadedCluster, environment: Mapping[str, str], directory: str, transport: transports.Transport
) -> manager.Manager:
    """Make the manager of a cluster; on process and ssh it keeps the deciders too.

    It works by what `up` published in the cluster's store, and by the given file only before the first `up`. Workers
    and deciders of this machine run in ``directory``, or in the cluster file's ``code.path``.
    """
    return _Maker(loaded, environment, directory, transport).make()


class _Maker:
    """Makes a manager, and new parts when `up` publishes another file or other code."""

    def __init__(
        self,
        loaded: config.LoadedCluster,
        environment: Mapping[str, str],
        directory: str,
        transport: transports.Transport,
    ) -> None:
        cluster = located(codes.resolved_file(loaded.config, Path(loaded.path).parent))
        self._loaded = loaded
        self._environment = environment
        self._directory = directory
        self._where = paths.ClusterPaths(cluster, environment)
        store = stores.open_store(self._where.store)
        self._watch = published.Watch(store, cluster.cluster)
        self._works_by = self._found(self._watch.look()) or published.Published(config=cluster)
        self._file = control.ControlFile(store, cluster.cluster, manager.holder_name(), clocks.RealClock())
        self._coordinator = coordinators.SwfCoordinator(transport, cluster.swf_domain)
        self._deciders: manager.Deciders | None = None
        self._decider_version = ""
        self._made: manager.Manager | None = None

    def _found(self, found: published.Published | None) -> published.Published | None:
        """Return the published cluster, with the URL of the documents beside it."""
        if found is None:
            return None
        return msgspec.structs.replace(
            found, config=msgspec.structs.replace(found.config, store=self._loaded.config.store or self._where_store())
        )

    def _where_store(self) -> str:
        return self._where.store if self._loaded.config.provider == "ec2" else ""

    def make(self) -> manager.Manager:
        """Make the manager."""
        parts = self._parts()
        if self._loaded.config.provider == "ec2":
            self._made = manager.Manager(parts.reconciler, self._coordinator, parts.deciders, renewed=self.renewed)
            return self._made
        if not self._where.ending.exists():
            # A cluster that goes down needs no coordinator: machines drain by their marks.
            self._coordinator.register_domain()
        wakers = []
        if self._where.store.startswith("file://"):
            folder = Path(self._where.store.removeprefix("file://"))
            wakers += [folder / documents.DEMAND_PREFIX, folder / documents.CLUSTER_KEY]
        self._made = manager.Manager(
            parts.reconciler,
            self._coordinator,
            parts.deciders,
            self._where.ending,
            self._where.resume,
            wakers,
            renewed=self.renewed,
        )
        return self._made

    def renewed(self) -> manager.Parts | None:
        """Return the parts by a newly published file; None when nothing was published since the last call."""
        found = self._found(self._watch.look())
        if found is None or found == self._works_by:
            return None
        before, self._works_by = self._works_by, found
        try:
            return self._parts()
        except Exception:
            self._works_by = before
            self._watch.forget()
            raise

    def _parts(self) -> manager.Parts:
        cluster = self._works_by.config
        loaded = msgspec.structs.replace(self._loaded, config=cluster)
        directory = code_directory(loaded, self._directory) if cluster.provider != "ec2" else self._directory
        made = _reconciler(self._works_by, self._where, directory, self._file, self._coordinator)
        # `up` registered the domain of ec2: the machine's role may not (infra/roles.py).
        deciders = self._group(made) if cluster.provider == "ec2" else self._children(cluster, directory)
        return manager.Parts(made, deciders)

    def _children(self, cluster: config.ClusterConfig, directory: str) -> manager.Deciders:
        """Return deciders as child processes: the present ones, unless they need another command."""
        where, code = self._where, self._works_by.code
        setup = setups.decider_setup(
            cluster, store=where.store, endpoint=where.endpoint, directory=directory, code=code
        )
        if self._deciders is not None and setup.version == self._decider_version:
            self._deciders.change(cluster)
            return self._deciders
        files.folder(where.folder)
        node_folder.write(where.decider_setup, msgspec.json.encode(setup))
        self._decider_version = setup.version
        self._deciders = manager.Deciders(
            cluster,
            manager.decider_command(cluster, where.endpoint),
            {**self._environment, **cluster.deciders.environment, "SIMPLEFLOW_CLUSTER_SETUP": str(where.decider_setup)},
            directory,
            where.logs,
            clocks.RealClock(),
        )
        return self._deciders

    def _group(self, reconciler: reconcile.Reconciler) -> manager.Keeper | None:
        """Return the keeper of the decider group; None for a manager that runs by hand on another machine."""
        from simpleflow.nodes.providers import ec2
        from simpleflow.nodes.providers.ec2 import keeper

        given = self._environment.get(keeper.FOLDER_VARIABLE)
        if not given:
            return None
        cluster, folder = reconciler.cluster, Path(given)
        look = keeper.MachineLook(folder, reconciler.times.poll, reconciler.observer.nothing_open, clocks.RealClock())
        group = ec2.Ec2DeciderGroup(cluster.cluster, ec2.BotoClients(cluster.region))
        return keeper.GroupKeeper(
            group,
            look,
            self._file,
            folder,
            machine=self._environment.get("SIMPLEFLOW_NODE_ID", ""),
            count=decider_count.DeciderCount(cluster, clocks.RealClock()),
            left=self._left,
        )

    def _left(self) -> None:
        assert self._made is not None
        self._made.stop()


def plan_now(
    loaded: config.LoadedCluster, environment: Mapping[str, str], transport: transports.Transport
) -> decide.Plan:
    """The plan that the manager would make now, without acting: documents and lists are only read."""
    try:
        reconciler = reconciler_of(loaded, environment, os.getcwd(), "plan", transport)
    except errors.ProviderRefused as refused:
        # On ec2, before the first `up`, no manager runs.
        return decide.Plan(notes=(str(refused),))
    return reconciler.look()
