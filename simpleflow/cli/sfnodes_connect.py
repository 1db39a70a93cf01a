"""How ``sfnodes`` reaches the coordinator of a cluster: with the connection that every client uses."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from simpleflow.client import connect
from simpleflow.core import retries
from simpleflow.nodes import config, paths
from simpleflow.nodes.manager import coordinator
from simpleflow.process import lock_lifeline
from simpleflow.swf import errors as swf_errors
from simpleflow.swf.transport import base as transports


def use_region(region: str) -> None:
    """Use the region of the cluster file for SWF and the bucket, not the region of the shell."""
    if region:
        os.environ["AWS_DEFAULT_REGION"] = region


def transport(cluster: config.ClusterConfig) -> transports.Transport:
    """Open a transport to the cluster's coordinator."""
    endpoint = paths.ClusterPaths(cluster, os.environ).endpoint
    use_region(cluster.region)
    opened = connect.connect(
        domain=cluster.swf_domain, backend=None if endpoint else "swf", endpoint_url=endpoint or None
    )
    return opened.transport


def connection(cluster: config.ClusterConfig) -> connect.Connection:
    """Reach what the cluster's coordinator remembers; the user's own service is started where none runs."""
    where = paths.ClusterPaths(cluster, os.environ)
    use_region(cluster.region)
    if where.embedded and not lock_lifeline.held(where.lifeline):
        return connect.connect(domain=cluster.swf_domain, backend="embedded")
    return connect.connect(
        domain=cluster.swf_domain, backend=None if where.endpoint else "swf", endpoint_url=where.endpoint or None
    )


def require(cluster: config.ClusterConfig) -> None:
    """Make sure of the coordinator and its domain before anything is started; raises SwfError with what to do."""
    opened = transport(cluster)
    try:
        coordinator.SwfCoordinator(opened, cluster.swf_domain).register_domain()
    finally:
        opened.close()


class Silent(swf_errors.TransportError):
    """The coordinator did not answer before; it is not asked again."""

    kind = retries.Kind.VERDICT


class Silence:
    """A coordinator that does not answer (transports.Transport)."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def call(
        self,
        action: str,
        request: Mapping[str, Any],
        *,
        poll_id: str | None = None,
        ahead: transports.Ahead | None = None,
    ) -> Any:
        """Raise Silent."""
        raise Silent(self._reason)

    def exchange(self, action: str, request: Mapping[str, Any], following: transports.Following) -> Any | None:
        """Raise Silent."""
        raise Silent(self._reason)

    def exchange_several(
        self, answers: Sequence[tuple[str, Mapping[str, Any]]], following: transports.Following | None
    ) -> transports.Exchanged | None:
        """Raise Silent."""
        raise Silent(self._reason)

    def answer_and_poll(
        self, action: str, request: Mapping[str, Any], poll: transports.Poll
    ) -> Callable[[], Any] | None:
        """Raise Silent."""
        raise Silent(self._reason)

    def revoke(self, poll_id: str) -> bool:
        """Nothing is open."""
        return False

    def close(self) -> None:
        """Nothing to drop."""


def transport_or_silence(cluster: config.ClusterConfig) -> transports.Transport:
    """For commands that only read: when the coordinator does not answer, as before the first `up`, warn and go on."""
    where = paths.ClusterPaths(cluster, os.environ)
    if where.embedded and not lock_lifeline.held(where.lifeline):
        return Silence(f"cluster '{cluster.cluster}' is not up; the plan is made from its documents alone")
    try:
        return transport(cluster)
    except swf_errors.TransportError as error:
        return Silence(str(error))
