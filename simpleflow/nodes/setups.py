"""What agents and deciders are told at launch, made from the cluster file."""

from __future__ import annotations

import hashlib

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
    code: str = "",
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
        version=version_of(cluster, profile, code),
    )


def decider_setup(
    cluster: config.ClusterConfig, *, store: str, endpoint: str = "", directory: str = "", code: str = ""
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
        version=version_of(cluster, "", code),
    )


#: keys of a machine that are built into it; the others (prices, numbers, rights) change around a living one
_BUILT_IN = ("types", "market", "image", "arch", "disk", "environment", "secrets", "ssh")
_DECIDERS_OWN = ("task_list", "workflows", "processes", "sleep")


def version_of(cluster: config.ClusterConfig, profile: str, code: str) -> str:
    """Name of what a profile's machines (or '' for the deciders) are made of: settings, a dash, the code.

    Equal names mean that a living machine need not be replaced. ``code`` stands in it whole: in a template it is a
    token that the stack replaces.
    """
    machine: config.Machine = cluster.profiles[profile] if profile else cluster.deciders
    keys = _BUILT_IN if profile else _BUILT_IN + _DECIDERS_OWN
    made_of = {
        **{key: msgspec.to_builtins(getattr(machine, key)) for key in keys if hasattr(machine, key)},
        "image": cluster.image_of(machine),
        "lists": cluster.lists_of(profile) if profile else cluster.decision_task_list,
        "domain": cluster.swf_domain,
        "endpoint": cluster.endpoint,
        "modules": cluster.code.modules,
        "times": msgspec.to_builtins(cluster.settings),
    }
    return f"{hashlib.sha256(msgspec.json.encode(made_of, order='sorted')).hexdigest()[:12]}-{code}"
