"""What agents and deciders are told at launch, made from the cluster file."""

from __future__ import annotations

import msgspec

from simpleflow.core import documents

from . import config


def node_setup(
    cluster: config.ClusterConfig,
    profile: str,
    *,
    store: str,
    endpoint: str = "",
    directory: str = "",
    lifeline: str = "",
) -> documents.NodeSetup:
    """The setup of one profile's nodes; ``store`` and ``endpoint`` are resolved by the caller."""
    return documents.NodeSetup(
        cluster=cluster.cluster,
        domain=cluster.swf_domain,
        profile=profile,
        provider=cluster.provider,
        store=store,
        task_lists=cluster.lists_of(profile),
        times={name: float(value) for name, value in msgspec.structs.asdict(cluster.settings).items()},
        endpoint=endpoint,
        region=cluster.region,
        modules=cluster.code.modules,
        environment=dict(cluster.profiles[profile].environment),
        directory=directory,
        lifeline=lifeline,
    )


def decider_setup(
    cluster: config.ClusterConfig, *, store: str, endpoint: str = "", directory: str = ""
) -> documents.NodeSetup:
    """What a decider of this cluster must know to publish demand."""
    return documents.NodeSetup(
        cluster=cluster.cluster,
        domain=cluster.swf_domain,
        profile="",
        provider=cluster.provider,
        store=store,
        task_lists=(),
        times={name: float(value) for name, value in msgspec.structs.asdict(cluster.settings).items()},
        endpoint=endpoint,
        region=cluster.region,
        environment=dict(cluster.deciders.environment),
        directory=directory,
    )
