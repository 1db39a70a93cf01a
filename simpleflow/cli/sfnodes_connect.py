"""How ``sfnodes`` reaches the coordinator of a cluster: through the same door as every client."""

from __future__ import annotations

import os

from simpleflow.client import connect
from simpleflow.nodes import config, paths
from simpleflow.swf.transport import base as transports


def transport(cluster: config.ClusterConfig) -> transports.Transport:
    """Open a transport to the cluster's coordinator."""
    endpoint = paths.ClusterPaths(cluster, os.environ).endpoint
    if cluster.region:
        os.environ.setdefault("AWS_DEFAULT_REGION", cluster.region)
    opened = connect.connect(
        domain=cluster.swf_domain, backend=None if endpoint else "swf", endpoint_url=endpoint or None
    )
    return opened.transport
