"""Nodes as process groups of this machine: the embedded default, with the same agent, and metadata as on EC2."""

from __future__ import annotations

from simpleflow.nodes.providers import base

from .metadata_server import MetadataServer
from .provider import ProcessProvider

__all__ = ["MetadataServer", "ProcessProvider", "create"]


def create(context: base.ProviderContext) -> ProcessProvider:
    """Make the provider of a cluster (entry point ``process``)."""
    return ProcessProvider(context.cluster.cluster, context.folder, context.setups)
