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
from simpleflow.swf.transport import base as transports

from . import config, control, errors, manager, paths, policy, reconcile, service, setups, stores
from .providers import base as providers
from .providers.process import records

#: ours, imported only when a cluster names them; other people's are entry points
_BUILT_IN = {name: f"simpleflow.nodes.providers.{name}" for name in ("process", "ec2", "ssh")}


def provider_of(cluster: config.ClusterConfig, where: paths.ClusterPaths, directory: str) -> providers.NodeProvider:
    """Make the provider that the cluster file names; raises UsageError for one that is not installed."""
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
            )
            for name in cluster.profiles
        },
        folder=str(where.folder),
    )
    return factory_of(cluster)(context)


def factory_of(cluster: config.ClusterConfig) -> providers.Factory:
    """What makes the provider that the cluster file names; raises UsageError for one that is not installed."""
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
    """Where workers and deciders of this machine run: the file's ``code.path``, else ``directory``.

    Raises UsageError for a path that is no folder.
    """
    if not loaded.config.code.path:
        return directory
    chosen = (Path(loaded.path).parent / loaded.config.code.path).resolve()
    if not chosen.is_dir():
        raise core_errors.UsageError(
            f"{loaded.path}: code.path '{loaded.config.code.path}' is no folder ({chosen}); write one that exists, "
            "relative to the cluster file"
        )
    return str(chosen)


def located(cluster: config.ClusterConfig) -> config.ClusterConfig:
    """The cluster with the place of its documents: on ec2 the stack's own bucket, unless the file names another.

    Raises ProviderRefused where there is no stack yet.
    """
    if cluster.provider != "ec2" or cluster.store:
        return cluster
    from .providers import ec2
    from .providers.ec2 import stackinfo

    bucket = stackinfo.read(ec2.BotoClients(cluster.region), cluster.cluster).bucket
    return msgspec.structs.replace(cluster, store=f"s3://{bucket}")


def reconciler_of(
    loaded: config.LoadedCluster,
    environment: Mapping[str, str],
    directory: str,
    holder: str,
    transport: transports.Transport,
) -> tuple[reconcile.Reconciler, service.SwfCoordinator]:
    """Make the reconciler and the coordinator of a cluster."""
    cluster = located(loaded.config)
    where = paths.ClusterPaths(cluster, environment)
    store = stores.open_store(where.store)
    coordinator = service.SwfCoordinator(transport, cluster.swf_domain)
    clock = clocks.RealClock()
    file = control.ControlFile(store, cluster.cluster, holder, clock)
    provider = provider_of(cluster, where, directory)
    return reconcile.Reconciler(cluster, file, provider, store, coordinator, clock), coordinator


def manager_of(
    loaded: config.LoadedCluster, environment: Mapping[str, str], directory: str, transport: transports.Transport
) -> manager.Manager:
    """Make the manager of a cluster; on process and ssh it keeps the deciders too.

    Workers and deciders of this machine run in ``directory``, or in the cluster file's ``code.path``.
    """
    cluster = loaded.config
    directory = code_directory(loaded, directory)
    where = paths.ClusterPaths(cluster, environment)
    reconciler, coordinator = reconciler_of(loaded, environment, directory, manager.holder_name(), transport)
    if cluster.provider == "ec2":
        # `up` registered the domain: the machine's role may not (infra/roles.py).
        return _on_a_decider_machine(cluster, environment, reconciler, coordinator)
    if not where.ending.exists():
        # What goes down may do so without its coordinator: machines drain by their marks.
        coordinator.register_domain()
    setup = setups.decider_setup(cluster, store=where.store, endpoint=where.endpoint, directory=directory)
    where.folder.mkdir(parents=True, exist_ok=True)
    records.write(where.decider_setup, msgspec.json.encode(setup))
    deciders = manager.Deciders(
        cluster,
        manager.decider_command(cluster, where.endpoint),
        {**environment, **cluster.deciders.environment, "SIMPLEFLOW_CLUSTER_SETUP": str(where.decider_setup)},
        directory,
        where.logs,
        clocks.RealClock(),
    )
    wakers = []
    if where.store.startswith("file://"):
        wakers.append(Path(where.store.removeprefix("file://")) / documents.DEMAND_PREFIX)
    return manager.Manager(reconciler, coordinator, deciders, where.ending, where.resume, wakers)


def _on_a_decider_machine(
    cluster: config.ClusterConfig,
    environment: Mapping[str, str],
    reconciler: reconcile.Reconciler,
    coordinator: service.SwfCoordinator,
) -> manager.Manager:
    """The manager beside a decider of the group: alone and without work, it sets the group to 0 and leaves."""
    from .providers import ec2
    from .providers.ec2 import keeper

    given = environment.get(keeper.FOLDER_VARIABLE)
    if not given:
        # Run by hand elsewhere: it manages the workers and leaves the group alone.
        return manager.Manager(reconciler, coordinator, None)
    folder = Path(given)
    look = keeper.MachineLook(folder, reconciler.times.poll, reconciler.observer.nothing_open, clocks.RealClock())
    group = ec2.Ec2DeciderGroup(cluster.cluster, ec2.BotoClients(cluster.region))
    made: manager.Manager | None = None

    def left() -> None:
        assert made is not None
        made.stop()

    made = manager.Manager(
        reconciler,
        coordinator,
        keeper.GroupKeeper(group, look, reconciler.file, folder, least=cluster.deciders.min, left=left),
    )
    return made


def plan_now(
    loaded: config.LoadedCluster, environment: Mapping[str, str], transport: transports.Transport
) -> policy.Plan:
    """The plan that the manager would make now, without acting: documents and lists are only read."""
    try:
        reconciler, _ = reconciler_of(loaded, environment, os.getcwd(), "plan", transport)
    except errors.ProviderRefused as refused:
        # On ec2, before the first `up`: nobody manages anything yet.
        return policy.Plan(notes=(str(refused),))
    return reconciler.look()
