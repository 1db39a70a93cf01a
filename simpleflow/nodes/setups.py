"""What agents and deciders are told at launch, made from the cluster file."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from simpleflow.core import documents

from . import config
from .bundle import code as codes

#: what stands for the deciders' machines where profiles are named
DECIDERS = "deciders"


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
    """The setup of one profile's nodes (process, ssh); ``store`` and ``endpoint`` are resolved by the caller."""
    return msgspec.structs.replace(
        _setup(cluster, profile, store, code),
        endpoint=endpoint,
        environment=dict(cluster.profiles[profile].environment),
        directory=directory,
        lifeline=lifeline,
    )


def decider_setup(
    cluster: config.ClusterConfig, *, store: str, endpoint: str = "", directory: str = "", code: str = ""
) -> documents.NodeSetup:
    """What a decider of this machine must know to publish demand (process, ssh)."""
    return msgspec.structs.replace(
        _setup(cluster, "", store, code),
        endpoint=endpoint,
        environment=dict(cluster.deciders.environment),
        directory=directory,
    )


def machine_setup(cluster: config.ClusterConfig, profile: str, store: str, code: str = "") -> documents.NodeSetup:
    """What the agents of a profile's machines, or of ``DECIDERS``, must know (ec2); ``code`` names what they run."""
    if profile != DECIDERS:
        environment = environment_of(cluster, cluster.profiles[profile], store)
        return msgspec.structs.replace(_setup(cluster, profile, store, code), environment=environment)
    return msgspec.structs.replace(
        _setup(cluster, "", store, code),
        profile=DECIDERS,
        environment=environment_of(cluster, cluster.deciders, store),
        cluster_file=msgspec.json.encode(lean(codes.for_machines(cluster))).decode(),
    )


def _setup(cluster: config.ClusterConfig, profile: str, store: str, code: str) -> documents.NodeSetup:
    """What every setup says; '' is the deciders' profile, which serves no task list of activities."""
    return documents.NodeSetup(
        cluster=cluster.cluster,
        domain=cluster.swf_domain,
        profile=profile,
        provider=cluster.provider,
        store=store,
        task_lists=cluster.lists_of(profile) if profile else (),
        times={name: float(value) for name, value in msgspec.structs.asdict(cluster.settings).items()},
        endpoint=cluster.endpoint,
        region=cluster.region,
        modules=cluster.code.modules,
        version=version_of(cluster, profile, code),
    )


def environment_of(cluster: config.ClusterConfig, machine: config.Machine, store: str = "") -> dict[str, str]:
    """Environment of a machine's programs: the region, which boto3 takes from no metadata, and the cluster file's.

    With ``store``, values too large for SWF go to its bucket unless the cluster file sends them elsewhere.
    """
    given = {"AWS_DEFAULT_REGION": cluster.region}
    if store.startswith("s3://"):
        given["SIMPLEFLOW_JUMBO_FIELDS_BUCKET"] = store.removeprefix("s3://").rstrip("/") + "/blobs"
    return {**given, **machine.environment}


def lean(value: Any) -> Any:
    """A cluster file's value as plain data without what has its default: user data holds 16 kB."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(type(value))
        given = ((field.name, getattr(value, field.name), field) for field in fields)
        return {name: lean(each) for name, each, field in given if field.required or each != _default(field)}
    if isinstance(value, dict):
        return {key: lean(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [lean(each) for each in value]
    return value


def _default(field: msgspec.structs.FieldInfo) -> Any:
    factory = field.default_factory
    return field.default if factory is msgspec.NODEFAULT else factory()


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
