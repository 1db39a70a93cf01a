"""How clients and deciders join a cluster: which endpoint, domain and task list, and which interceptors."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents, interceptors
from simpleflow.core import errors as core_errors
from simpleflow.process import lock_lifeline

from . import config, ensure, paths, stores
from .manager import demand

SETUP_VARIABLE = "SIMPLEFLOW_CLUSTER_SETUP"


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """Where ``workflow.start --cluster FILE`` starts a workflow."""

    cluster: str
    domain: str
    #: the decision task list
    task_list: str
    #: URL of the coordinator; '' for Amazon SWF in ``region``
    endpoint: str
    region: str
    interceptors: tuple[interceptors.ClientInterceptor, ...] = ()


def client(
    loaded: config.LoadedCluster,
    environment: Mapping[str, str] | None = None,
    group: ensure.DeciderGroup | None = None,
) -> Connection:
    """Join a cluster as a client; raises UsageError for a local cluster that is not up.

    ``group`` is the decider group of clusters that have one (ec2): the client then ensures a decider.
    """
    cluster, path = loaded.config, loaded.path
    where = paths.ClusterPaths(cluster, os.environ if environment is None else environment)
    if where.embedded and not lock_lifeline.held(where.lifeline):
        raise core_errors.UsageError(f"cluster '{cluster.cluster}' is not up; bring it up first: `sfnodes up {path}`")
    if where.embedded and where.ending.exists():
        raise core_errors.UsageError(
            f"cluster '{cluster.cluster}' is going down, and nobody would decide this workflow; wait for its end "
            f"(`sfnodes down {path}`), then `sfnodes up {path}`"
        )
    if group is None and cluster.provider == "ec2":
        from .providers import ec2

        group = ec2.Ec2DeciderGroup(cluster.cluster, ec2.BotoClients(cluster.region))
    return Connection(
        cluster=cluster.cluster,
        domain=cluster.swf_domain,
        task_list=cluster.decision_task_list,
        endpoint=where.endpoint,
        region=cluster.region,
        interceptors=() if group is None else (ensure.EnsureDecider(group),),
    )


def decider(
    environment: Mapping[str, str], group: ensure.DeciderGroup | None = None
) -> tuple[interceptors.DeciderInterceptor, ...]:
    """The interceptors of a decider process; none when it belongs to no cluster (no SIMPLEFLOW_CLUSTER_SETUP).

    Call it in the process that polls: each has a document of its own.
    """
    path = environment.get(SETUP_VARIABLE)
    if not path:
        return ()
    setup = msgspec.json.decode(Path(path).read_bytes(), type=documents.NodeSetup)
    node = environment.get("SIMPLEFLOW_NODE_ID") or "local"
    publisher = demand.DemandPublisher(
        stores.open_store(setup.store),
        f"{node}-{os.getpid()}-{secrets.token_hex(3)}",
        config.from_mapping(setup.times),
        clocks.RealClock(),
    )
    if group is None and setup.provider == "ec2":
        from .providers import ec2
        from .providers.ec2 import keeper

        made = ec2.Ec2DeciderGroup(setup.cluster, ec2.BotoClients(setup.region))
        if environment.get(keeper.FOLDER_VARIABLE):
            return (keeper.HoldMachine(made, Path(environment[keeper.FOLDER_VARIABLE])), publisher)
        group = made
    return (publisher,) if group is None else (ensure.HoldGroup(group), publisher)
